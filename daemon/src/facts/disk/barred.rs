//! What was barred in the clear last: one network in each line of `barred`.
//!
//! For the time before the agent: at boot nothing else says what belongs to other zones. Written anew
//! whenever it changes; a line that is no network bars nothing and is said.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;

use super::{DiskWriter, Write, regular};

/// The networks that were barred last.
pub(crate) fn read(state_folder: &Path) -> io::Result<BTreeSet<IpNet>> {
    let file = file(state_folder);
    let text = match regular::read_text(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text?,
    };
    let mut networks = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.parse::<IpNet>() {
            Ok(net) => drop(networks.insert(net.trunc())),
            Err(error) => {
                tracing::warn!(file = %file.display(), line, %error, "this line bars nothing");
            }
        }
    }
    Ok(networks)
}

/// Writes down what is barred, whenever it changes, until it is dropped.
pub(crate) async fn run(
    mut barred: watch::Receiver<Arc<BTreeSet<IpNet>>>,
    disk: DiskWriter,
    state_folder: PathBuf,
) -> anyhow::Result<()> {
    loop {
        let networks = barred.borrow_and_update().clone();
        if let Err(error) = disk.write(vec![write(&state_folder, &networks)]).await {
            tracing::warn!(%error, "what is barred is not written down for the next boot");
        }
        if barred.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn write(state_folder: &Path, networks: &BTreeSet<IpNet>) -> Write {
    let lines: String = networks.iter().map(|net| format!("{net}\n")).collect();
    Write::replace(file(state_folder), lines)
}

fn file(state_folder: &Path) -> PathBuf {
    state_folder.join("barred")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn what_is_barred_is_known_before_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        let networks =
            BTreeSet::from(["10.10.11.0/24", "fd00:11::/64"].map(|text| text.parse().unwrap()));
        write_all(&mut FileSystem, &[write(folder.path(), &networks)]).unwrap();
        assert_eq!(read(folder.path()).unwrap(), networks);
        let text = std::fs::read_to_string(file(folder.path())).unwrap() + "10.10.1\n";
        std::fs::write(file(folder.path()), text).unwrap();
        assert_eq!(read(folder.path()).unwrap(), networks, "one bad line is one bad line");
    }
}

//! What was barred in the clear last: one network in each line of `barred`.
//!
//! For the time before the agent: at boot nothing else says what belongs to other zones. Written anew
//! whenever it changes; a line that is no network bars nothing and is said.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

use super::{DiskWriter, Write, regular};
use crate::facts::findings::FindingBoard;

/// Between two tries to write it down.
const RETRY: Duration = Duration::from_secs(30);

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

/// The same; what cannot be read is said and bars nothing.
pub(crate) fn last(state_folder: &Path) -> BTreeSet<IpNet> {
    read(state_folder).unwrap_or_else(|error| {
        tracing::warn!(%error, "what was barred last cannot be read");
        BTreeSet::new()
    })
}

/// Writes down what is barred, whenever it changes, until it is dropped. While it cannot, the next boot
/// bars something else than this gateway does: that is told, and tried again.
pub(crate) async fn run(
    mut barred: watch::Receiver<Arc<BTreeSet<IpNet>>>,
    disk: DiskWriter,
    findings: Arc<FindingBoard>,
    state_folder: PathBuf,
) -> anyhow::Result<()> {
    let name = file(&state_folder).display().to_string();
    let subject = Subject::File(name.clone());
    loop {
        let networks = barred.borrow_and_update().clone();
        let written = disk.write(vec![write(&state_folder, &networks)]).await;
        match &written {
            Ok(()) => findings.clear(Code::BarsNotKept, &subject),
            Err(error) => {
                tracing::warn!(%error, "what is barred is not written down for the next boot");
                let found = Finding::new(Code::BarsNotKept, subject.clone());
                findings.raise(found.with(Evidence::Reason(format!("{error:#}"))));
            }
        }
        tokio::select! {
            changed = barred.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = tokio::time::sleep(RETRY), if written.is_err() => {}
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

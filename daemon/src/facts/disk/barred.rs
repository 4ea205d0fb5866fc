//! What was barred in the clear last: one network in each line of `barred`.
//!
//! For the time before the agent: at boot nothing else says what belongs to other zones. Written anew
//! whenever it changes; a line that is no network bars nothing and is said. A line that ends with
//! `written` is of a section of the configuration file, and bars no longer than that.

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

/// Behind a network that is barred because the configuration file says so.
const WRITTEN: &str = " written";

/// What is barred in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BarredNetworks {
    /// What is, or was, other zones'.
    pub(crate) lasting: BTreeSet<IpNet>,
    /// What a section of the configuration file owns that is no zone's.
    pub(crate) written: BTreeSet<IpNet>,
}

impl BarredNetworks {
    /// All of it.
    pub(crate) fn all(self) -> BTreeSet<IpNet> {
        self.lasting.into_iter().chain(self.written).collect()
    }
}

/// The networks that were barred last.
pub(crate) fn read(state_folder: &Path) -> io::Result<BarredNetworks> {
    let file = file(state_folder);
    let text = match regular::read_text(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BarredNetworks::default()),
        text => text?,
    };
    let mut networks = BarredNetworks::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (net, kind) = match line.strip_suffix(WRITTEN) {
            Some(net) => (net, &mut networks.written),
            None => (line, &mut networks.lasting),
        };
        match net.parse::<IpNet>() {
            Ok(net) => drop(kind.insert(net.trunc())),
            Err(error) => {
                tracing::warn!(file = %file.display(), line, %error, "this line bars nothing");
            }
        }
    }
    Ok(networks)
}

/// What is, or was, other zones'; what cannot be read is said and bars nothing.
pub(crate) fn last(state_folder: &Path) -> BTreeSet<IpNet> {
    let read = read(state_folder).map(|networks| networks.lasting);
    read.unwrap_or_else(|error| {
        tracing::warn!(%error, "what was barred last cannot be read");
        BTreeSet::new()
    })
}

/// Writes down what is barred, whenever it changes, until it is dropped. While it cannot, the next boot
/// bars something else than this gateway does: that is told, and tried again.
pub(crate) async fn run(
    mut barred: watch::Receiver<Arc<BarredNetworks>>,
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

fn write(state_folder: &Path, networks: &BarredNetworks) -> Write {
    let lasting = networks.lasting.iter().map(|net| format!("{net}\n"));
    let written = networks.written.iter().map(|net| format!("{net}{WRITTEN}\n"));
    Write::replace(file(state_folder), lasting.chain(written).collect::<String>())
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
        assert_eq!(read(folder.path()).unwrap(), BarredNetworks::default());
        let nets = |nets: [&str; 2]| nets.map(|text| text.parse().unwrap()).into();
        let networks = BarredNetworks {
            lasting: nets(["10.10.11.0/24", "fd00:11::/64"]),
            written: nets(["10.10.20.0/24", "fd00:20::/64"]),
        };
        write_all(&mut FileSystem, &[write(folder.path(), &networks)]).unwrap();
        assert_eq!(read(folder.path()).unwrap(), networks);
        let text = std::fs::read_to_string(file(folder.path())).unwrap() + "10.10.1\n";
        std::fs::write(file(folder.path()), text).unwrap();
        assert_eq!(read(folder.path()).unwrap(), networks, "one bad line is one bad line");
        assert_eq!(last(folder.path()), networks.lasting, "what is written is read where it is");
        assert_eq!(networks.all().len(), 4);
    }
}

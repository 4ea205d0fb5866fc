//! Signed records on disk: one file per gateway, `records/<zone>@<gateway>.record`. Release 0.1.0 had
//! one per zone, `records/<zone>.record`; it is read too.
//!
//! Payload and signature are kept as they were received; whether they hold is decided anew each
//! time they are read. A file that cannot be used is set aside and fetched again from others.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::SignedRecord;

use super::{Write, files_of, usable};

const SUFFIX: &str = "record";

/// The folder of records.
pub(crate) struct RecordFiles {
    folder: PathBuf,
}

impl RecordFiles {
    /// Opens (and makes) the folder below the state folder.
    pub(crate) fn open(state_folder: &Path) -> io::Result<Self> {
        let folder = state_folder.join("records");
        super::make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Everything that can be read; what cannot is set aside.
    pub(crate) fn read_all(&self) -> io::Result<Vec<(PathBuf, SignedRecord)>> {
        self.read_where(|_| true)
    }

    /// The same of what gateways of these zones have said.
    pub(crate) fn read_of(&self, zones: &BTreeSet<&ZoneName>) -> io::Result<Vec<SignedRecord>> {
        let is_theirs = |name: &str| {
            let zone = name.split_once('@').map(|(zone, _)| zone);
            zones.iter().any(|one| Some(one.as_str()) == zone)
        };
        Ok(self.read_where(is_theirs)?.into_iter().map(|(_, record)| record).collect())
    }

    fn read_where(
        &self,
        is_asked: impl Fn(&str) -> bool,
    ) -> io::Result<Vec<(PathBuf, SignedRecord)>> {
        let mut records = Vec::new();
        for path in files_of(&self.folder, SUFFIX)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if !name.is_some_and(&is_asked) {
                continue;
            }
            if let Some(record) = usable(&path, SignedRecord::from_file_bytes)? {
                records.push((path, record));
            }
        }
        records.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(records)
    }

    /// The record of a gateway, in place of the one before.
    pub(crate) fn write(&self, id: &GatewayId, record: &SignedRecord) -> Write {
        let file = format!("{}@{}.{SUFFIX}", id.zone, id.gateway);
        Write::replace(self.folder.join(file), record.to_file_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_passed_over_and_holds_no_start_up() {
        let folder = tempfile::tempdir().unwrap();
        let files = RecordFiles::open(folder.path()).unwrap();
        let fifo = folder.path().join("records/madrid@gw1.record");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(folder.path().join("records/kiel@gw1.record")).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(files.read_all().unwrap().len()));
        assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(10)), Ok(0));
        assert!(fifo.exists());
    }
}

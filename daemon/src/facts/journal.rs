//! The gateway's journals on disk: `events`, findings that came and went; `audit`, who changed what.
//!
//! Promises: the line of a change is written in the same step as the change, and one that cannot be
//! written lets the change fail; findings are told later and never hold anybody up. Both files are
//! bounded. The lines: `zonemesh_core::journal`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::mpsc;
use zonemesh_core::journal::{AuditEntry, JournalEvent, JournalLine};
use zonemesh_core::time::UnixMillis;

use crate::facts::disk::{DiskWriter, Write};

/// Where changes are written down.
pub(crate) struct AuditFile(PathBuf);

impl AuditFile {
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self(state_folder.join("audit"))
    }

    /// The line of a change, to be written with it, after everything else.
    pub(crate) fn write(&self, entry: AuditEntry) -> Write {
        Write::Append(self.0.clone(), line(JournalEvent::Changed(entry)))
    }
}

/// Writes down findings that came and went, until it is dropped.
pub(crate) async fn run(
    mut events: mpsc::Receiver<JournalEvent>,
    disk: DiskWriter,
    state_folder: PathBuf,
) -> anyhow::Result<()> {
    let file = state_folder.join("events");
    while let Some(event) = events.recv().await {
        let written = disk.write(vec![Write::Append(file.clone(), line(event))]).await;
        if let Err(error) = written {
            tracing::debug!(file = %file.display(), %error, "an event is not written down");
        }
    }
    std::future::pending().await
}

fn line(event: JournalEvent) -> String {
    JournalLine { at: UnixMillis::from(SystemTime::now()), event }.to_text()
}

#[cfg(test)]
mod tests {
    use zonemesh_core::finding::{Code, Finding, Subject};
    use zonemesh_core::journal::{AuditAct, lines};

    use super::*;
    use crate::facts::disk::writer;
    use crate::facts::findings::FindingBoard;

    #[tokio::test]
    async fn a_change_is_written_down_with_the_change() {
        let folder = tempfile::tempdir().unwrap();
        let audit = AuditFile::new(folder.path());
        let entry = AuditEntry {
            act: AuditAct::Revoke,
            by: "root".to_owned(),
            about: "rome".to_owned(),
            detail: String::new(),
        };
        let file = folder.path().join("change");
        let writes = vec![Write::replace(file.clone(), "1"), audit.write(entry.clone())];
        writer().write(writes).await.unwrap();
        let text = std::fs::read_to_string(folder.path().join("audit")).unwrap();
        let told: Vec<_> = lines(&text).map(|line| line.event).collect();
        assert_eq!(told, [JournalEvent::Changed(entry)]);
        assert!(file.exists());
    }

    #[tokio::test]
    async fn a_finding_is_written_down_when_it_comes_and_when_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let board = FindingBoard::default();
        let events = board.events().unwrap();
        assert!(board.events().is_none(), "one writes them down");
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(run(events, writer(), folder.path().to_owned()));
        for _ in 0..3 {
            board.raise(Finding::new(Code::ZoneBlocked, Subject::Here));
        }
        board.clear(Code::ZoneBlocked, &Subject::Here);
        let file = folder.path().join("events");
        let told = || std::fs::read_to_string(&file).map_or(0, |text| lines(&text).count());
        while told() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(told(), 2);
    }
}

//! How it goes, as a file for people, scripts and tests.
//!
//! Shape: [`GatewayReport`], `"schema": "zonemesh/gateway/v1"`. It promises that the file is whole
//! and as new as the last change. A file that cannot be written stops nothing.

use std::fs::FileType;
use std::path::PathBuf;

use serde::Serialize;
use zonemesh_appliance::files::{make_folder, write_atomic};
use zonemesh_appliance::startup;

/// All that the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct GatewayReport {
    pub(super) schema: &'static str,
    /// The zone, if CONTEXT says it.
    pub(super) zone: Option<String>,
    /// True once nothing is missing.
    pub(super) ready: bool,
    /// What it waits for.
    pub(super) missing: Option<String>,
    /// The code of the finding that it is.
    pub(super) code: Option<&'static str>,
    /// What to do about it.
    pub(super) fix: Option<String>,
    /// Where the zone's VMs reach the local API, as OneGate is told.
    pub(super) local_api: Option<String>,
}

/// Writes it when it changes.
pub(super) struct ReportFile {
    path: PathBuf,
    last: Option<GatewayReport>,
}

impl ReportFile {
    pub(super) fn new(path: PathBuf) -> Self {
        if let Some(folder) = path.parent()
            && let Err(error) = make_folder(folder, 0o755, None)
        {
            tracing::warn!(error = format!("{error}"), "no folder for the status file");
        }
        Self { path, last: None }
    }

    pub(super) fn write(&mut self, report: GatewayReport) {
        if self.last.as_ref() == Some(&report) {
            return;
        }
        match self.replace(&report) {
            Ok(()) => self.last = Some(report),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the status file was not written");
            }
        }
    }

    /// A pipe or a device was named by mistake, and is somebody's.
    fn replace(&self, report: &GatewayReport) -> anyhow::Result<()> {
        let is_strange = |kind: FileType| !kind.is_file() && !kind.is_symlink();
        let there = std::fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| is_strange(there.file_type())) {
            anyhow::bail!("{} is no regular file: name another with --status", self.path.display());
        }
        let json = startup::json(report)?;
        Ok(write_atomic(&self.path, json.as_bytes(), 0o644, None)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_in_its_place_stays_and_another_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let report = GatewayReport {
            schema: "zonemesh/gateway/v1",
            zone: None,
            ready: true,
            missing: None,
            code: None,
            fix: None,
            local_api: None,
        };
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = ReportFile::new(pipe.clone());
        let refused = file.replace(&report).unwrap_err().to_string();
        assert!(refused.ends_with("is no regular file: name another with --status"), "{refused}");
        assert!(!pipe.metadata().unwrap().is_file());
        let usual = folder.path().join("status.json");
        std::fs::write(&usual, "old").unwrap();
        ReportFile::new(usual.clone()).write(report);
        assert!(std::fs::read_to_string(&usual).unwrap().contains("zonemesh/gateway/v1"));
    }
}

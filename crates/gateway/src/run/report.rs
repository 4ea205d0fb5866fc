//! How it goes, as a file for people, scripts and tests.
//!
//! Shape: [`GatewayReport`], `"schema": "zonemesh/gateway/v1"`. It promises that the file is whole
//! and as new as the last change. A file that cannot be written stops nothing.

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
        let written = startup::json(&report)
            .map_err(anyhow::Error::from)
            .and_then(|json| Ok(write_atomic(&self.path, json.as_bytes(), 0o644, None)?));
        match written {
            Ok(()) => self.last = Some(report),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the status file was not written");
            }
        }
    }
}

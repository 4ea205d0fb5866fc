//! `zonemesh state`: what was saved or restored. Contents have no view.

use serde::Serialize;

use crate::output::{Page, Rendered};
use crate::quantity;
use crate::state::{BackupAction, StateBackup};
use crate::table::plain;

/// A backup and where it lies.
#[derive(Debug, Serialize)]
pub(crate) struct StateView {
    schema: &'static str,
    action: &'static str,
    zone_key: String,
    /// Whose state it is.
    zone: Option<String>,
    /// The zone of the configuration here, if it is another.
    configured_zone: Option<String>,
    state_dir: String,
    file: String,
    files: usize,
    bytes: u64,
    is_managed: bool,
}

impl From<StateBackup> for StateView {
    fn from(backup: StateBackup) -> Self {
        Self {
            schema: "zonemesh/state/v1",
            action: match backup.action {
                BackupAction::Saved => "saved",
                BackupAction::Restored => "restored",
            },
            zone_key: backup.zone_key,
            zone: backup.zone,
            configured_zone: None,
            state_dir: backup.state_dir.display().to_string(),
            file: backup.file.display().to_string(),
            files: backup.files,
            bytes: backup.bytes,
            is_managed: backup.is_managed,
        }
    }
}

impl StateView {
    /// Says so if the configuration here names another zone.
    pub(crate) fn beside(self, configured: Option<String>) -> Self {
        let configured_zone =
            configured.filter(|name| self.zone.as_ref().is_some_and(|own| own != name));
        Self { configured_zone, ..self }
    }
}

/// Nobody reaches a gateway that knows no zone, and nothing then tells it what it lacks.
const OLDER: &str = "it knows the mesh of the time when it was saved: who came since is missing\n\
    if zonemesh zone list lacks a zone: zonemesh trust export at another gateway, \
    zonemesh trust import here\n";

impl Rendered for StateView {
    fn text(&self, _page: Page) -> String {
        let (size, files, key) = (quantity::bytes(self.bytes), self.files, &self.zone_key);
        let zone = self.zone.as_ref().map(|zone| format!("zone {}, ", plain(zone)));
        let what = format!("{}{files} files, {size}, zone key {key}", zone.unwrap_or_default());
        let other = self.configured_zone.as_ref().map(|configured| {
            format!(
                "! the configuration here is for zone {} (zone.name): the daemon would speak for it with another zone's keys\n",
                plain(configured)
            )
        });
        let other = other.unwrap_or_default();
        match self.action {
            "restored" => format!(
                "restored {} from {}: {what}\n{other}never start two gateways with these keys\n{}",
                self.state_dir,
                self.file,
                if self.is_managed { OLDER } else { "" }
            ),
            _ => format!(
                "saved {} in {}: {what}\nwhoever has this file is this zone: keep it in a safe place\n",
                self.state_dir, self.file
            ),
        }
    }
}

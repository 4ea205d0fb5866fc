//! `zonemesh state`: what was saved or restored. Contents have no view.

use std::path::Path;

use serde::Serialize;

use crate::output::{Page, Rendered};
use crate::quantity;
use crate::state::Document;

/// A backup and where it lies.
#[derive(Debug, Serialize)]
pub(crate) struct StateView {
    schema: &'static str,
    action: &'static str,
    zone_key: String,
    state_dir: String,
    file: String,
    files: usize,
    bytes: u64,
}

impl StateView {
    pub(crate) fn new(
        action: &'static str,
        document: &Document,
        (dir, file): (&Path, &Path),
    ) -> Self {
        Self {
            schema: "zonemesh/state/v1",
            action,
            zone_key: document.zone_key.clone(),
            state_dir: dir.display().to_string(),
            file: file.display().to_string(),
            files: document.files.len(),
            bytes: document.size(),
        }
    }
}

impl Rendered for StateView {
    fn text(&self, _page: Page) -> String {
        let (size, files, key) = (quantity::bytes(self.bytes), self.files, &self.zone_key);
        let what = format!("{files} files, {size}, zone key {key}");
        match self.action {
            "restored" => format!(
                "restored {} from {}: {what}\nnever start two gateways with these keys\n",
                self.state_dir, self.file
            ),
            _ => format!(
                "saved {} in {}: {what}\nwhoever has this file is this zone: keep it in a safe place\n",
                self.state_dir, self.file
            ),
        }
    }
}

//! `flwr supernode`, run beside the SuperLink as its user.
//!
//! It promises that the SuperLink is asked at its registered address over TLS with the federation's CA,
//! and that what a foreign zone calls a key is one before Flower sees it. It refuses to know who is
//! wanted.

use std::time::Duration;

use zonemesh_appliance::asked::FlowerQuestion;
use zonemesh_appliance::files::{FileError, FileOwner, make_folder, write_atomic};
use zonemesh_appliance::flower::control::{
    self, ControlCommand, ControlError, FlowerControl, ListedNode,
};
use zonemesh_appliance::flower::{FlowerHome, InstalledFlower};
use zonemesh_appliance::node_key::registered_form;
use zonemesh_core::exit::error_line;

/// Python starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The key that is being registered.
const KEY_FILE: &str = "supernode.pub";

/// Where and as whom it runs.
pub(crate) struct FlwrPlace {
    pub(crate) control: FlowerControl,
    pub(crate) flower: InstalledFlower,
    pub(crate) home: FlowerHome,
    pub(crate) owner: Option<FileOwner>,
}

pub(crate) struct Flwr {
    place: FlwrPlace,
}

impl Flwr {
    pub(crate) fn new(place: FlwrPlace) -> Self {
        Self { place }
    }

    pub(crate) async fn list(&self) -> Result<Vec<ListedNode>, ControlError> {
        control::listed(&self.run(&ControlCommand::List).await?)
    }

    pub(crate) async fn register(&self, key: &[u8]) -> Result<u64, ControlError> {
        let line = registered_form(key)
            .ok_or_else(|| ControlError::Failed("a zone names a key that is none".to_owned()))?;
        let file = self.place.control.folder.join(KEY_FILE);
        self.make_folders().map_err(failed)?;
        write_atomic(&file, line.as_bytes(), 0o644, None).map_err(failed)?;
        control::registered(&self.run(&ControlCommand::Register(file)).await?)
    }

    pub(crate) async fn unregister(&self, id: u64) -> Result<(), ControlError> {
        control::unregistered(&self.run(&ControlCommand::Unregister(id)).await?)
    }

    async fn run(&self, command: &ControlCommand) -> Result<String, ControlError> {
        let FlwrPlace { control, flower, home, owner } = &self.place;
        self.make_folders().map_err(failed)?;
        for file in [control.file(*flower), control.ignored()] {
            write_atomic(&file.path, file.contents.as_bytes(), 0o644, None).map_err(failed)?;
        }
        let question = FlowerQuestion {
            program: control::control_program(home),
            arguments: control.arguments(*flower, command),
            environment: control.environment(home),
            owner: *owner,
            patience: PATIENCE,
        };
        let answer = question.answer().await;
        answer.map_err(|error| ControlError::Failed(format!("flwr supernode {error}")))
    }

    /// Flower's user reads there and no more: what it could put there this program would follow.
    fn make_folders(&self) -> Result<(), FileError> {
        let folders = self.place.control.folders();
        folders.iter().try_for_each(|folder| make_folder(folder, 0o755, None))
    }
}

fn failed(error: FileError) -> ControlError {
    ControlError::Failed(error_line(&error))
}

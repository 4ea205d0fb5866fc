//! What is wrong with the disk below the state folder.

use anyhow::Result;

use super::FaultOutcome::Told;
use super::{CataloguedFault, FORGOTTEN, FaultStage, FaultTold, HERE, SOON};
use crate::wait::{Look, until};

/// What fills the disk, in the state folder.
const BALLAST: &str = "ballast";

pub(super) fn faults() -> Vec<CataloguedFault> {
    let unwritable = |words| Told(vec![FaultTold::new("C104", words).advice("free space")]);
    vec![
        CataloguedFault {
            name: "the disk is full",
            make: |stage| {
                on_a_small_disk(stage)?;
                let state = stage.state_folder()?.display().to_string();
                stage.begins_now();
                stage.shell(&format!("cat /dev/zero >{state}/{BALLAST} 2>/dev/null || true"))
            },
            undo: |stage| {
                std::fs::remove_file(stage.state_folder()?.join(BALLAST))?;
                until("the disk to be told no more", SOON, || {
                    let status = stage.status(HERE)?;
                    Ok(Look::<()>::when(!status.complains(), status.findings()))
                })?;
                on_its_own_disk(stage)
            },
            outcome: unwritable("No space left on device"),
        },
        CataloguedFault {
            name: "the state folder can only be read",
            make: |stage| {
                let state = stage.state_folder()?.display().to_string();
                stage.shell(&format!(
                    "mount --bind {state} {state}; mount -o remount,bind,ro {state}"
                ))
            },
            undo: |stage| {
                let state = stage.state_folder()?.display().to_string();
                stage.shell(&format!("umount -l {state}"))
            },
            outcome: unwritable("Read-only file system"),
        },
    ]
}

/// Starts the gateway anew with its state on a disk that is soon full.
fn on_a_small_disk(stage: &mut FaultStage<'_>) -> Result<()> {
    stage.mesh.gateway(HERE)?.daemon()?.kill_9()?;
    let state = stage.state_folder()?.display().to_string();
    stage.shell(&format!(
        "mv {state} {state}.kept; mkdir -m 700 {state}; \
         mount -t tmpfs -o size=1m,mode=700 none {state}; cp -a {state}.kept/. {state}/"
    ))?;
    stage.mesh.start_one(stage.lab, HERE)?;
    stage.quiet_within(FORGOTTEN).map(drop)
}

fn on_its_own_disk(stage: &mut FaultStage<'_>) -> Result<()> {
    stage.mesh.gateway(HERE)?.daemon()?.kill_9()?;
    let state = stage.state_folder()?.display().to_string();
    stage.shell(&format!(
        "rm -rf {state}.kept; cp -a {state} {state}.kept; umount {state}; \
         rmdir {state}; mv {state}.kept {state}"
    ))?;
    stage.mesh.start_one(stage.lab, HERE)
}

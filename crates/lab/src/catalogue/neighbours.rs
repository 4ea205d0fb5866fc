//! What becomes of the other zones' gateways.

use anyhow::{Context as _, Result};

use super::FaultOutcome::Told;
use super::{CataloguedFault, FaultStage, FaultTold, MEASURED};
use crate::mesh::patience;
use crate::namespace::run;

pub(super) fn faults() -> Vec<CataloguedFault> {
    vec![
        CataloguedFault {
            name: "a peer's gateway is killed",
            make: |stage| stage.mesh.gateway("madrid")?.daemon()?.kill_9(),
            undo: |stage| stage.mesh.start_one(stage.lab, "madrid"),
            outcome: Told(vec![FaultTold::new("N205", "madrid")]),
        },
        CataloguedFault {
            name: "a peer's gateway is stopped on purpose",
            make: |stage| stage.mesh.gateway("madrid")?.daemon()?.terminate(patience()).map(drop),
            undo: |stage| stage.mesh.start_one(stage.lab, "madrid"),
            outcome: Told(vec![
                FaultTold::new("N230", "goodbye").advice("systemctl start zonemeshd"),
            ]),
        },
        CataloguedFault {
            name: "a peer's gateway was cloned with its keys",
            make: paris_is_a_copy_of_madrid,
            undo: paris_is_itself,
            outcome: Told(vec![
                FaultTold::new("N235", "madrid").advice("cloned").within(MEASURED),
                FaultTold::new("N230", "paris").within(MEASURED),
            ]),
        },
    ]
}

/// Paris stops, and on its machine runs what was copied from madrid's.
fn paris_is_a_copy_of_madrid(stage: &mut FaultStage<'_>) -> Result<()> {
    stage.mesh.gateway("paris")?.daemon()?.terminate(patience())?;
    let paris = stage.mesh.gateway("paris")?;
    let folder = paris.folder().display().to_string();
    run(std::process::Command::new("cp").args(["-a", &folder, &format!("{folder}.kept")]))?;
    stage.by_hand.insert("paris", paris.config.clone());
    let berlin = paris.peer("berlin")?.clone();
    paris.set_peers(vec![berlin]);
    stage.mesh.copy_disk("madrid", "paris")?;
    stage.begins_now();
    stage.mesh.start_one(stage.lab, "paris")
}

fn paris_is_itself(stage: &mut FaultStage<'_>) -> Result<()> {
    let kept = stage.by_hand.remove("paris").context("paris was not copied")?;
    let paris = stage.mesh.gateway("paris")?;
    paris.daemon()?.kill_9()?;
    paris.config = kept;
    let folder = paris.folder().display().to_string();
    std::fs::remove_dir_all(&folder)?;
    std::fs::rename(format!("{folder}.kept"), &folder)?;
    stage.mesh.start_one(stage.lab, "paris")
}

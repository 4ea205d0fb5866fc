//! Who is put out of a managed mesh. The stage's mesh, which is written by hand, becomes one for
//! that, and forgets it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::FaultOutcome::Told;
use super::{CataloguedFault, FORGOTTEN, FaultStage, FaultTold, HERE, ZONES};

/// Its tunnels are down after a part of this.
const ALONE: Duration = Duration::from_secs(20);

pub(super) fn faults() -> Vec<CataloguedFault> {
    vec![CataloguedFault {
        name: "a zone is revoked",
        make: |stage| {
            becomes_managed(stage)?;
            stage.begins_now();
            say(stage, HERE, "zone revoke madrid --confirm madrid --reason stolen")
        },
        undo: |stage| {
            // Nobody answers it any more: that is the same trouble.
            let told = stage.tells_nothing_but("madrid", &["T409"], ALONE);
            is_written_by_hand(stage)?;
            told
        },
        outcome: Told(vec![
            FaultTold::new("T409", "stolen").advice("new invitation").at("madrid"),
            FaultTold::nothing(HERE),
            FaultTold::nothing("paris"),
        ]),
    }]
}

/// What an administrator types; it must succeed.
fn say(stage: &mut FaultStage<'_>, zone: &str, line: &str) -> Result<()> {
    let gateway = stage.mesh.gateway(zone)?;
    let mut command = std::process::Command::new(gateway.program("zonemesh")?);
    command.arg("--socket").arg(gateway.socket()).args(line.split(' '));
    // The owner's key is written where it is typed.
    let output = command.stdin(Stdio::null()).current_dir(gateway.folder()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{zone}: zonemesh {line}: {said}");
    Ok(())
}

/// Berlin founds, the others join, and nothing of it is written by hand.
fn becomes_managed(stage: &mut FaultStage<'_>) -> Result<()> {
    for zone in ZONES {
        let written = stage.mesh.gateway(zone.name)?.config.clone();
        stage.by_hand.insert(zone.name, written);
    }
    say(stage, HERE, "mesh init --grant-configured")?;
    for zone in ["madrid", "paris"] {
        let file = stage.lab.folder().join(format!("{zone}.invitation")).display().to_string();
        // Left by a run before.
        drop(std::fs::remove_file(&file));
        let place = stage.lab.zone(zone)?;
        let (prefix, ip) = (place.prefix(), place.tunnel_address);
        let claims = format!("--prefix {prefix} --tunnel-ip {ip}");
        say(stage, HERE, &format!("zone invite {zone} {claims} --out {file}"))?;
        say(stage, zone, &format!("zone join {file}"))?;
    }
    for zone in ZONES {
        let gateway = stage.mesh.gateway(zone.name)?;
        gateway.set_peers(Vec::new());
        gateway.daemon()?.kill_9()?;
    }
    stage.mesh.start(stage.lab)?;
    stage.quiet_within(FORGOTTEN).map(drop)
}

/// All start with their keys and nothing else that they have known.
fn is_written_by_hand(stage: &mut FaultStage<'_>) -> Result<()> {
    for (zone, config) in std::mem::take(&mut stage.by_hand) {
        let gateway = stage.mesh.gateway(zone)?;
        gateway.config = config;
        if gateway.daemon()?.ended()?.is_none() {
            gateway.daemon()?.kill_9()?;
        }
        std::fs::remove_dir_all(gateway.folder().join("state"))?;
    }
    drop(std::fs::remove_file(stage.mesh.gateway(HERE)?.folder().join("zonemesh-owner.key")));
    stage.mesh.start(stage.lab)
}

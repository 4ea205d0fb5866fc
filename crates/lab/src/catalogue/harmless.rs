//! What must change nothing: forgeries, noise, and what a crash leaves behind.

use anyhow::{Result, ensure};

use super::FaultOutcome::Borne;
use super::holders::{FORGE_ICMP, SEND_GARBAGE, python};
use super::{CataloguedFault, FaultStage, HERE, LAGGING, nothing};
use crate::mesh::{FEDERATION, WIREGUARD_PORT};

/// Of a tunnel over a path of 1500 bytes.
const INNER_MTU: u64 = 1420;
/// How long noise comes.
const SECONDS: &str = "5";
/// As the writer calls a file until it is whole.
const HALF: &str = "records/.tmpHaLf42";

pub(super) fn faults() -> Vec<CataloguedFault> {
    vec![
        CataloguedFault {
            name: "somebody on the path says that nothing above 576 bytes passes",
            make: |stage| {
                let [here, there] = [HERE, "madrid"].map(|zone| stage.lab.zone(zone));
                let [here, there] = [here?, there?].map(|zone| zone.wan_address.to_string());
                let port = WIREGUARD_PORT.to_string();
                python(stage.lab.router(), FORGE_ICMP, &[&here, &there, &port])
            },
            undo: nothing,
            outcome: Borne {
                but: &[],
                holds: |stage| {
                    let mtu = stage.status(HERE)?.of_peer("madrid", "mtu");
                    ensure!(mtu == INNER_MTU, "{mtu} bytes pass to madrid");
                    Ok(())
                },
            },
        },
        CataloguedFault {
            name: "garbage comes to the WireGuard port",
            make: |stage| {
                let here = stage.lab.zone(HERE)?.wan_address.to_string();
                let port = WIREGUARD_PORT.to_string();
                python(stage.lab.router(), SEND_GARBAGE, &[&here, &port, SECONDS])
            },
            undo: nothing,
            outcome: Borne { but: &[], holds: nothing },
        },
        CataloguedFault {
            name: "a crash has left half of what was being written",
            make: after_a_crash,
            undo: nothing,
            outcome: Borne { but: LAGGING, holds: is_whole },
        },
    ]
}

/// A time that no calendar has, the key of a CA without its certificate, and a temporary file.
fn after_a_crash(stage: &mut FaultStage<'_>) -> Result<()> {
    stage.mesh.gateway(HERE)?.daemon()?.kill_9()?;
    let state = stage.state_folder()?;
    std::fs::write(state.join("clock"), "999999999999999999\n")?;
    std::fs::remove_file(state.join(format!("federations/{FEDERATION}/ca.pem")))?;
    std::fs::write(state.join(HALF), "half")?;
    stage.mesh.start_one(stage.lab, HERE)
}

fn is_whole(stage: &mut FaultStage<'_>) -> Result<()> {
    let state = stage.state_folder()?;
    let is_there = |name: &str| state.join(name).exists();
    ensure!(is_there(&format!("federations/{FEDERATION}/ca.pem")), "the CA is not whole");
    ensure!(is_there("clock.bad1"), "the time was not set aside");
    ensure!(!is_there(HALF), "half a file is still there");
    Ok(())
}

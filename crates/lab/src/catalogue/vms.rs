//! What keeps a VM of the gateway's zone from the other zones, or from its gateway. A companion
//! runs there: who has none is not asked.

use anyhow::{Context as _, Result};

use super::FaultOutcome::Told;
use super::companions::SUPERNODE;
use super::{CataloguedFault, FaultStage, FaultTold, HERE, MEASURED, VM};

/// As Docker leaves a machine.
const DOCKER: &str =
    "nft 'table ip docker { chain f { type filter hook forward priority 0; policy drop; }; }'";

pub(super) fn faults() -> Vec<CataloguedFault> {
    let cut_off = || {
        let told = FaultTold::new("N234", "not what comes through the tunnel");
        Told(vec![told.advice("a route back").within(MEASURED)])
    };
    vec![
        CataloguedFault {
            name: "Docker drops what is forwarded",
            make: |stage| {
                stage.with_supernode(HERE)?;
                stage.begins_now();
                stage.shell(DOCKER)
            },
            undo: |stage| {
                stage.shell("nft delete table ip docker")?;
                stage.end(SUPERNODE)
            },
            outcome: cut_off(),
        },
        CataloguedFault {
            // Where nobody has set one, its companion does.
            name: "a VM has a route to nowhere for other zones",
            make: |stage| {
                stage.with_supernode(HERE)?;
                stage.begins_now();
                blackholes(stage, "replace")
            },
            undo: |stage| {
                blackholes(stage, "del")?;
                stage.end(SUPERNODE)
            },
            outcome: cut_off(),
        },
        CataloguedFault {
            name: "a VM shows a token that its gateway does not know",
            make: |stage| {
                let good = stage.mesh.gateway(HERE)?.tokens.supernode.token.clone();
                let last = if good.ends_with('A') { 'B' } else { 'A' };
                let rest = good.get(..good.len() - 1).context("a token of ASCII")?;
                stage.start_companion(HERE, SUPERNODE, format!("{rest}{last}"))
            },
            undo: |stage| stage.end(SUPERNODE),
            outcome: Told(vec![
                FaultTold::new("P322", "token is not known").advice("zonemesh key generate token"),
            ]),
        },
    ]
}

/// Routes to nowhere for the tunnel addresses, from which a gateway asks its VMs.
fn blackholes(stage: &mut FaultStage<'_>, change: &str) -> Result<()> {
    let tunnels = stage.lab.zones().iter().map(|zone| zone.tunnel_address);
    let lines: Vec<String> =
        tunnels.map(|tunnel| format!("ip route {change} blackhole {tunnel}/32")).collect();
    in_the_vm(stage, &lines.join("; "))
}

fn in_the_vm(stage: &mut FaultStage<'_>, line: &str) -> Result<()> {
    let vm = stage.lab.zone(HERE)?.vm(VM)?;
    vm.namespace.run(&["sh", "-ec", line]).map(drop)
}

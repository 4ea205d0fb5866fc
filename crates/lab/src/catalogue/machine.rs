//! What is wrong with the gateway's machine: its LAN, its ports, its clock.

use anyhow::Context as _;

use super::FaultOutcome::Told;
use super::holders::{HOLD_TCP, HOLD_UDP, HOLDER, taken};
use super::{CataloguedFault, FaultStage, FaultTold, HERE, ZONES};
use crate::mesh::{LOCAL_API_PORT, WIREGUARD_PORT, patience};

pub(super) fn faults() -> Vec<CataloguedFault> {
    [of_the_lan(), of_ports(), vec![of_the_clock()]].into_iter().flatten().collect()
}

fn of_the_lan() -> Vec<CataloguedFault> {
    let forwards = |stage: &mut FaultStage<'_>| stage.shell("sysctl -qw net.ipv4.ip_forward=1");
    let off = || FaultTold::new("N214", "ip_forward").advice("sysctl -w");
    vec![
        CataloguedFault {
            name: "the kernel no longer forwards",
            make: |stage| stage.shell("sysctl -qw net.ipv4.ip_forward=0"),
            undo: forwards,
            outcome: Told(vec![off()]),
        },
        CataloguedFault {
            name: "the kernel does not forward at a start",
            make: |stage| {
                stage.shell("sysctl -qw net.ipv4.ip_forward=0")?;
                stage.restarted()
            },
            undo: forwards,
            outcome: Told(vec![off()]),
        },
        CataloguedFault {
            name: "the LAN's interface is down",
            make: |stage| stage.shell("ip link set lan0 down"),
            undo: |stage| stage.shell("ip link set lan0 up"),
            outcome: Told(vec![FaultTold::new("N233", "lan0").advice("ip link")]),
        },
        CataloguedFault {
            name: "the LAN address is removed",
            make: |stage| {
                let lan = stage.lab.zone(HERE)?.lan_address;
                stage.shell(&format!("ip addr del {lan}/24 dev lan0"))
            },
            undo: |stage| {
                let lan = stage.lab.zone(HERE)?.lan_address;
                stage.shell(&format!("ip addr add {lan}/24 dev lan0"))
            },
            outcome: Told(vec![FaultTold::new("N233", "no interface has").advice("ip address")]),
        },
        CataloguedFault {
            name: "the LAN address is missing at a start",
            make: |stage| {
                let lan = stage.lab.zone(HERE)?.lan_address;
                stage.shell(&format!("ip addr del {lan}/24 dev lan0"))?;
                stage.with_configuration(|_| Ok(()))
            },
            undo: |stage| {
                let lan = stage.lab.zone(HERE)?.lan_address;
                stage.shell(&format!("ip addr add {lan}/24 dev lan0"))?;
                stage.restored()
            },
            outcome: Told(vec![FaultTold::new("N226", "Cannot assign requested address")]),
        },
    ]
}

fn of_ports() -> Vec<CataloguedFault> {
    let held = |words, advice| Told(vec![FaultTold::new("N226", words).advice(advice)]);
    vec![
        CataloguedFault {
            name: "another program has the port of the local API at a start",
            make: |stage| {
                let lan = stage.lab.zone(HERE)?.lan_address.to_string();
                taken(stage, HOLD_TCP, &lan, LOCAL_API_PORT)
            },
            undo: |stage| stage.end(HOLDER),
            outcome: held("local_api.listen", "free the port"),
        },
        CataloguedFault {
            name: "another program has the tunnels' UDP port at a start",
            make: |stage| taken(stage, HOLD_UDP, "0.0.0.0", WIREGUARD_PORT),
            undo: |stage| stage.end(HOLDER),
            outcome: held("held by python3", "stop that program"),
        },
    ]
}

fn of_the_clock() -> CataloguedFault {
    CataloguedFault {
        name: "the clock is 30 hours ahead at a start",
        make: |stage| {
            let gateway = stage.mesh.gateway(HERE)?;
            gateway.clock = Some("+30h".to_owned());
            gateway.kill_9_and_start(stage.lab)?;
            gateway.wait_until_ready(patience())
        },
        undo: forgets_the_clock,
        outcome: Told(vec![
            FaultTold::new("T413", "one of the two clocks is wrong").advice("timedatectl"),
        ]),
    }
}

/// Everybody's memory of later handshakes goes, which in a real mesh takes 30 hours.
fn forgets_the_clock(stage: &mut FaultStage<'_>) -> anyhow::Result<()> {
    stage.mesh.gateway(HERE)?.clock.take().context("its clock was right")?;
    for zone in ZONES {
        stage.mesh.gateway(zone.name)?.daemon()?.kill_9()?;
    }
    std::fs::remove_file(stage.state_folder()?.join("clock"))?;
    stage.mesh.start(stage.lab)
}

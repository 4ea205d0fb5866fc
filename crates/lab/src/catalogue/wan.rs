//! What happens on the way between gateways.

use std::time::Duration;

use super::FaultOutcome::Told;
use super::{CataloguedFault, FaultTold, HERE, MEASURED};

/// Handshakes are tried and not answered for most of it.
const LONG: Duration = Duration::from_secs(45);
/// Each way, which makes a tenth of the rounds.
const LOSS_EACH_WAY: f64 = 5.13;

pub(super) fn faults() -> Vec<CataloguedFault> {
    vec![
        CataloguedFault {
            name: "a zone is cut off the WAN",
            make: |stage| stage.lab.cut("madrid"),
            undo: |stage| stage.lab.heal("madrid"),
            outcome: Told(vec![
                FaultTold::new("N205", "madrid"),
                FaultTold::new("N205", "berlin").at("madrid"),
            ]),
        },
        CataloguedFault {
            name: "packets from madrid to berlin vanish, not those to madrid",
            make: |stage| {
                let rules = "add table inet one_way; \
                    add chain inet one_way c { type filter hook prerouting priority -300; }; \
                    add rule inet one_way c ip saddr 192.0.2.0/24 udp dport 51820 drop";
                let madrid = stage.lab.zone("madrid")?.wan_address;
                stage
                    .shell(&format!("nft '{}'", rules.replace("192.0.2.0/24", &madrid.to_string())))
            },
            undo: |stage| stage.shell("nft delete table inet one_way"),
            outcome: Told(vec![
                FaultTold::new("N205", "nothing arrives"),
                FaultTold::new("N232", "berlin").advice("firewall").at("madrid"),
            ]),
        },
        CataloguedFault {
            name: "a tenth of the packets is lost",
            make: |stage| stage.lab.lose("madrid", LOSS_EACH_WAY),
            undo: |stage| stage.lab.lose("madrid", 0.0),
            outcome: Told(vec![FaultTold::new("N208", "loss of ").advice("mtr").within(MEASURED)]),
        },
        CataloguedFault {
            name: "packets above 1300 bytes vanish",
            make: |stage| stage.lab.mtu_hole("madrid", Some(1300)),
            undo: |stage| stage.lab.mtu_hole("madrid", None),
            outcome: Told(vec![
                FaultTold::new("N209", "madrid").within(MEASURED),
                FaultTold::new("N209", "berlin").at("madrid").within(MEASURED),
            ]),
        },
        CataloguedFault {
            name: "a zone stays cut off for longer than a session lasts",
            make: |stage| {
                stage.lab.cut("madrid")?;
                stage.tells_nothing_but(HERE, &["N205"], LONG)?;
                stage.begins_now();
                Ok(())
            },
            undo: |stage| stage.lab.heal("madrid"),
            outcome: Told(vec![FaultTold::new("N205", "madrid").advice("the path broke")]),
        },
    ]
}

/// What keeps packets from leaving at all: each is refused, with a reason.
pub(super) fn refused() -> Vec<CataloguedFault> {
    vec![
        CataloguedFault {
            name: "the WAN cable is pulled",
            make: |stage| stage.lab.unplug(HERE, true),
            undo: |stage| {
                stage.lab.unplug(HERE, false)?;
                default_route(stage)
            },
            outcome: Told(vec![
                FaultTold::new("N237", "wan0 has no carrier").advice("plug it in"),
                FaultTold::new("N205", "berlin").at("madrid"),
            ]),
        },
        CataloguedFault {
            name: "the WAN interface is set down",
            make: |stage| stage.shell("ip link set wan0 down"),
            undo: |stage| {
                stage.shell("ip link set wan0 up")?;
                default_route(stage)
            },
            outcome: Told(vec![FaultTold::new("N237", "wan0 is down").advice("set it up")]),
        },
        CataloguedFault {
            name: "the default route is gone",
            make: |stage| stage.shell("ip route del default"),
            undo: default_route,
            outcome: Told(vec![FaultTold::new("N231", "no route").advice("ip route get")]),
        },
        CataloguedFault {
            name: "the gateway's own firewall refuses its packets",
            make: |stage| {
                stage.shell(
                    "nft 'add table inet own; \
                     add chain inet own out { type filter hook output priority 0; }; \
                     add rule inet own out udp dport 51820 drop'",
                )
            },
            undo: |stage| stage.shell("nft delete table inet own"),
            outcome: Told(vec![FaultTold::new("N231", "EPERM").advice("nft list ruleset")]),
        },
    ]
}

fn default_route(stage: &mut super::FaultStage<'_>) -> anyhow::Result<()> {
    let [a, b, c, _] = stage.lab.zone(HERE)?.wan_address.octets();
    stage.shell(&format!("ip route replace default via {a}.{b}.{c}.254"))
}

//! What other programs do to a gateway's own things in its kernel, and what they put beside them.

use super::FaultOutcome::{Repaired, Told};
use super::configuration::set;
use super::{CataloguedFault, FaultStage, FaultTold, nothing};

/// What Docker does, when an engineer has chosen that network.
const BRIDGE: &str = "ip link add docker9 type bridge; ip addr add 10.10.11.200/24 dev docker9; \
                      ip link set docker9 up";

/// Put right before anybody has to act.
fn repaired(name: &'static str, object: &'static str, make: super::Step) -> CataloguedFault {
    CataloguedFault { name, make, undo: nothing, outcome: Repaired(object) }
}

pub(super) fn faults() -> Vec<CataloguedFault> {
    let mut all = put_right();
    all.extend(in_the_way());
    all
}

fn put_right() -> Vec<CataloguedFault> {
    vec![
        repaired("the interface is set down", "link", |stage| stage.shell("ip link set zm0 down")),
        repaired("the interface is deleted", "link", |stage| stage.shell("ip link del zm0")),
        repaired("the interface is renamed", "link", |stage| {
            stage.shell("ip link set zm0 down; ip link set zm0 name other9")
        }),
        repaired("the interface's MTU is changed", "mtu", |stage| {
            stage.shell("ip link set zm0 mtu 1300")
        }),
        repaired("the tunnel address is removed", "address", |stage| {
            stage.shell("ip addr flush dev zm0")
        }),
        repaired("a route to a peer is deleted", "route", |stage| {
            stage.shell("ip route del 10.10.11.0/24 dev zm0 table 9091")
        }),
        repaired("all routes of the gateway are flushed", "route", |stage| {
            stage.shell("ip route flush table 9091")
        }),
        repaired("the rule is deleted", "rule", |stage| stage.shell("ip rule del pref 9091")),
        repaired("the packet filter is flushed", "guard", |stage| stage.shell("nft flush ruleset")),
    ]
}

fn in_the_way() -> Vec<CataloguedFault> {
    let without_bridge = |stage: &mut FaultStage<'_>| stage.shell("ip link del docker9");
    let inside = || FaultTold::new("N223", "10.10.11.0/24").advice("other addresses");
    vec![
        CataloguedFault {
            name: "a local bridge has a peer's prefix",
            make: |stage| stage.shell(BRIDGE),
            undo: without_bridge,
            outcome: Told(vec![inside(), FaultTold::nothing("paris")]),
        },
        CataloguedFault {
            name: "a local bridge has a peer's prefix at a start",
            make: |stage| {
                stage.shell(BRIDGE)?;
                stage.restarted()
            },
            undo: without_bridge,
            outcome: Told(vec![inside(), FaultTold::nothing("paris")]),
        },
        CataloguedFault {
            name: "another program routes a peer's prefix",
            make: |stage| stage.shell("ip route add 10.10.11.0/25 via 10.10.10.5 table main"),
            undo: |stage| stage.shell("ip route del 10.10.11.0/25 table main"),
            outcome: Told(vec![FaultTold::new("N224", "10.10.11.0/25").exit(0)]),
        },
        CataloguedFault {
            name: "IPv6 is switched off and a peer has a prefix of it",
            make: |stage| {
                let prefixes = ["10.10.11.0/24", "fd00:11::/64"].map(toml::Value::from).to_vec();
                stage.with_configuration(|config| set(config, "prefixes", prefixes.into()))
            },
            undo: |stage| stage.restored(),
            outcome: Told(vec![FaultTold::new("N229", "disable_ipv6").advice("sysctl -w")]),
        },
    ]
}

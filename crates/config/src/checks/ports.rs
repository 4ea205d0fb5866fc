//! Ports: each has one use where it is open.
//!
//! A port that two parts of a gateway want is refused to the second at its start, far from the line that
//! says so; one of a lane is only said to be taken by somebody.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use zonemesh_core::finding::Code;

use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::mistakes::{Mistakes, Placed};
use crate::value::Lanes;

const WIREGUARD: u16 = 51_820;
const REGISTRY: u16 = 51_821;
const JOIN: u16 = 51_823;
/// How far the first lane's port is above WireGuard's, and the most lanes beside the first.
const LANES_ABOVE: u16 = 11;
const MOST_LANES: u16 = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Udp,
    Tcp,
}

/// Where a port is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// On every address of this machine.
    Everywhere,
    /// On the tunnel addresses.
    Tunnel,
    /// On one.
    At(IpAddr),
}

impl Scope {
    fn of(address: IpAddr) -> Self {
        if address.is_unspecified() { Self::Everywhere } else { Self::At(address) }
    }

    fn meets(self, other: Self) -> bool {
        self == other || self == Self::Everywhere || other == Self::Everywhere
    }
}

/// Ports that one setting takes.
struct PortUse {
    setting: &'static str,
    protocol: Protocol,
    scope: Scope,
    ports: RangeInclusive<u16>,
    /// Where it is written: key and offset; nowhere if it is the default.
    written: Option<(String, usize)>,
}

impl PortUse {
    fn meets(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.scope.meets(other.scope)
            && self.ports.start() <= other.ports.end()
            && other.ports.start() <= self.ports.end()
    }
}

fn place<T>(placed: Option<&Placed<T>>) -> Option<(String, usize)> {
    placed.map(|placed| (placed.key.clone(), placed.offset))
}

/// What a listening address takes.
fn listener(
    setting: &'static str,
    listen: Option<&Placed<SocketAddr>>,
    usual: Option<u16>,
) -> Option<PortUse> {
    let (scope, port) = match listen {
        Some(placed) => (Scope::of(placed.value.ip()), placed.value.port()),
        None => (Scope::Everywhere, usual?),
    };
    let (protocol, written) = (Protocol::Tcp, place(listen));
    Some(PortUse { setting, protocol, scope, ports: port..=port, written })
}

/// Lanes beside the first.
fn further_lanes(draft: &ConfigDraft) -> u16 {
    match draft.tunnel.lanes.as_ref().map(|lanes| lanes.value) {
        None => 0,
        Some(Lanes::Count(count)) => u16::from(count.saturating_sub(1)),
        // As many as the machine may come to have.
        Some(Lanes::Auto) => MOST_LANES,
    }
}

fn uses(draft: &ConfigDraft) -> Vec<PortUse> {
    let (tunnel, registry) = (&draft.tunnel, &draft.registry);
    let first = tunnel.listen_port.as_ref().map_or(WIREGUARD, |port| port.value);
    let lanes = further_lanes(draft);
    let port = registry.port.as_ref().map_or(REGISTRY, |port| port.value);
    let of_registry = |setting, protocol| {
        let written = place(registry.port.as_ref());
        PortUse { setting, protocol, scope: Scope::Tunnel, ports: port..=port, written }
    };
    let wireguard = |setting, ports, written| PortUse {
        setting,
        protocol: Protocol::Udp,
        scope: Scope::Everywhere,
        ports,
        written,
    };
    let written = place(tunnel.listen_port.as_ref());
    let above = first.saturating_add(LANES_ABOVE);
    let of_lanes = (lanes > 0).then(|| {
        let written = place(tunnel.lanes.as_ref()).or_else(|| written.clone());
        wireguard("the ports of tunnel.lanes", above..=above.saturating_add(lanes - 1), written)
    });
    let api = draft.local_api.as_ref();
    let view = api.and_then(|api| api.onegate_view.as_ref());
    let api = api.and_then(|api| api.listen.as_ref());
    let all = [
        Some(wireguard("tunnel.listen_port", first..=first, written.clone())),
        of_lanes,
        Some(of_registry("registry.port, for probes", Protocol::Udp)),
        Some(of_registry("registry.port", Protocol::Tcp)),
        listener("join.listen", draft.join.listen.as_ref(), Some(JOIN)),
        listener("local_api.listen", api, None),
        listener("local_api.onegate_view", view, None),
    ];
    all.into_iter().flatten().collect()
}

/// Reports lanes whose ports would lie beyond the last one there is: they would not be opened.
pub(super) fn lanes_have_theirs(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let (port, lanes) = (draft.tunnel.listen_port.as_ref(), further_lanes(draft));
    let most = u16::MAX - LANES_ABOVE - lanes.saturating_sub(1);
    let Some(port) = port.filter(|port| lanes > 0 && port.value > most) else { return };
    let last = u32::from(port.value) + u32::from(LANES_ABOVE + lanes - 1);
    let complaint = Complaint::new(
        format!("the ports of tunnel.lanes would end at {last}, beyond 65535"),
        format!("at most {most} with these lanes"),
        "51820 is usual; or take tunnel.lanes out",
    );
    mistakes.report_conflict(port, complaint);
}

/// Reports each setting whose ports another one takes too, at one that is written.
pub(super) fn each_has_one_use(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let all = uses(draft);
    for (index, later) in all.iter().enumerate() {
        for earlier in all[..index].iter().filter(|earlier| earlier.meets(later)) {
            let (here, other) = match later.written {
                Some(_) => (later, earlier),
                None => (earlier, later),
            };
            // Two defaults never meet.
            let Some((key, offset)) = &here.written else { continue };
            let port = here.ports.start().max(other.ports.start());
            let complaint = Complaint::new(
                format!("port {port} is that of {} too", other.setting),
                "a port of its own for each",
                "51820 to 51823, and 51831 and up for lanes, are usual",
            );
            mistakes.report(key, *offset, complaint.coded(Code::ConfigConflict));
        }
    }
}

//! From a mesh and a kernel to changes, and that the changes lead there.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::kernel::GuardState;
use zonemesh_core::key::WireGuardPublicKey;

use super::*;
use crate::plan::PeerPlan;
use crate::plan::peers::GatewayRole;

/// What somebody does to the kernel.
type Meddle = fn(&mut KernelState, RouteSlot);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn own() -> OwnLink {
    OwnLink { name: "zm0".to_owned(), addresses: vec!["10.255.0.1".parse().unwrap()] }
}

fn mtus() -> WantedMtus {
    WantedMtus { link: 1420, routes: BTreeMap::new() }
}

/// A mesh with one other zone, whose prefixes are routed to it.
fn mesh(prefixes: &[&str]) -> MeshPlan {
    let peer = PeerPlan {
        id: GatewayId::assumed("madrid".parse().unwrap()),
        role: GatewayRole::Active,
        wireguard_key: WireGuardPublicKey([2; 32]),
        next_key: None,
        lanes: Vec::new(),
        endpoints: Vec::new(),
        prefixes: prefixes.iter().map(|text| net(text)).collect(),
        tunnel_ips: Vec::new(),
        aside: Vec::new(),
        registry_port: 51_821,
        is_neighbour: true,
        keeps_alive: true,
        plain: None,
    };
    let backstops = peer.prefixes.iter().copied().collect();
    MeshPlan { peers: vec![peer], backstops, ..MeshPlan::default() }
}

fn plan(mesh: &MeshPlan, seen: &KernelState) -> KernelPlan {
    KernelPlan::of(mesh, &own(), &mtus(), seen)
}

/// What a kernel has after a change.
fn change(seen: &mut KernelState, change: KernelChange) {
    if let KernelChange::MakeLink { name } = &change {
        seen.link = Some(TunnelLink { name: name.clone(), mtu: 1500, ..TunnelLink::default() });
        return;
    }
    let link = seen.link.get_or_insert_default();
    match change {
        KernelChange::MakeLink { .. } => {}
        KernelChange::RenameLink { to, .. } => link.name = to,
        KernelChange::MarkLink => link.is_marked = true,
        KernelChange::LinkMtu { to, .. } => link.mtu = to,
        KernelChange::LinkUp => link.is_up = true,
        KernelChange::AddAddress(net) => {
            link.unheard.remove(&net);
            link.addresses.insert(net);
        }
        KernelChange::RemoveAddress(net) => drop(link.addresses.remove(&net)),
        KernelChange::SetRoute { slot, to, .. } => drop(seen.routes.insert(slot, to)),
        KernelChange::RemoveRoute { slot, .. } => drop(seen.routes.remove(&slot)),
        KernelChange::AddRule(rule) => drop(seen.rules.insert(rule)),
        KernelChange::RemoveRule(rule) => drop(seen.rules.remove(&rule)),
        KernelChange::SetGuard { to, .. } => seen.guard = GuardState::Set(to),
    }
}

/// Changes the kernel until it is as planned.
fn settle(mesh: &MeshPlan, seen: &mut KernelState) -> KernelPlan {
    for _ in 0..3 {
        for one in plan(mesh, seen).difference(seen) {
            change(seen, one);
        }
    }
    plan(mesh, seen)
}

#[test]
fn from_nothing_the_kernel_gets_what_is_planned_and_then_nothing_more() {
    let (mesh, mut seen) = (mesh(&["10.10.11.0/24", "fd00:11::/64"]), KernelState::default());
    let wanted = settle(&mesh, &mut seen);
    assert_eq!(wanted.difference(&seen), []);
    assert_eq!(seen.link.as_ref(), Some(&wanted.link));
    assert_eq!(seen.rules.len(), 2, "one for each family: {:?}", seen.rules);
    let ways = |prefix: &str| {
        let of = seen.routes.iter().filter(|(slot, _)| slot.prefix == net(prefix));
        of.map(|(_, way)| way.clone()).collect::<Vec<_>>()
    };
    let both = [RouteWay::Tunnel { mtu: None }, RouteWay::Unreachable];
    assert_eq!(ways("10.10.11.0/24"), both);
    assert_eq!(ways("fd00:11::/64"), both);
}

#[test]
fn what_bars_comes_before_what_opens_and_needs_no_tunnel() {
    let (mesh, seen) = (mesh(&["10.10.11.0/24"]), KernelState::default());
    let plan = plan(&mesh, &seen);
    let bars = plan.bars(&seen);
    assert!(bars.iter().any(|one| matches!(one, KernelChange::SetGuard { .. })), "{bars:?}");
    assert!(bars.iter().any(|one| matches!(one, KernelChange::AddRule(_))), "{bars:?}");
    let is_way = |one: &KernelChange| {
        matches!(one, KernelChange::SetRoute { to: RouteWay::Tunnel { .. }, .. })
    };
    assert!(!bars.iter().any(is_way), "{bars:?}");
    let gone = KernelChange::MakeLink { name: "zm0".to_owned() };
    assert_eq!(plan.ways(&seen), [gone], "the rest is seen when it is there");
}

#[test]
fn each_thing_that_is_taken_or_changed_is_put_right_alone_and_told_as_a_repair() {
    let (mesh, mut seen) = (mesh(&["10.10.11.0/24"]), KernelState::default());
    let wanted = settle(&mesh, &mut seen);
    let slot = |metric| RouteSlot { table: TABLE, prefix: net("10.10.11.0/24"), metric };
    let extra = RouteSlot { prefix: net("10.77.0.0/16"), ..slot(0) };
    let link: [Meddle; 6] = [
        |seen, _| seen.link.as_mut().unwrap().is_up = false,
        |seen, _| seen.link.as_mut().unwrap().mtu = 1300,
        |seen, _| seen.link.as_mut().unwrap().name = "eth9".to_owned(),
        |seen, _| seen.link.as_mut().unwrap().addresses.clear(),
        |seen, _| _ = seen.link.as_mut().unwrap().unheard.insert(net("10.255.0.1/32")),
        |seen, _| _ = seen.link.as_mut().unwrap().addresses.insert(net("10.1.1.1/32")),
    ];
    let others: [Meddle; 5] = [
        |seen, slot| drop(seen.routes.remove(&slot)),
        |seen, slot| drop(seen.routes.insert(slot, RouteWay::Other("via 10.0.0.1".to_owned()))),
        |seen, _| seen.rules.clear(),
        |seen, _| seen.guard = GuardState::Absent,
        |seen, _| seen.guard = GuardState::Altered,
    ];
    for meddle in link.into_iter().chain(others) {
        for at in [slot(TUNNEL_METRIC), slot(LAST_METRIC)] {
            let mut meddled = seen.clone();
            meddle(&mut meddled, at);
            let changes = wanted.difference(&meddled);
            assert_eq!(changes.len(), 1, "{changes:?}");
            assert!(wanted.holds(&changes[0], &wanted), "{changes:?}");
            change(&mut meddled, changes[0].clone());
            assert_eq!(meddled, seen);
        }
    }
    let mut meddled = seen.clone();
    meddled.routes.insert(extra, RouteWay::Unreachable);
    let changes = wanted.difference(&meddled);
    assert!(matches!(changes[..], [KernelChange::RemoveRoute { slot, .. }] if slot == extra));
}

#[test]
fn a_local_network_inside_another_zones_wins_for_itself_alone() {
    let mesh = mesh(&["10.10.0.0/16"]);
    let local = LocalNetwork {
        net: net("10.10.11.0/24"),
        interface: "br9".to_owned(),
        index: 7,
        source: "10.10.11.1".parse().ok(),
    };
    let elsewhere = LocalNetwork { net: net("192.168.1.0/24"), ..local.clone() };
    let seen = KernelState { local: [local.clone(), elsewhere].into(), ..KernelState::default() };
    let plan = plan(&mesh, &seen);
    let slot = RouteSlot { table: TABLE, prefix: local.net, metric: LOCAL_METRIC };
    let way = RouteWay::Local { index: 7, source: local.source };
    assert_eq!(plan.routes.get(&slot), Some(&way));
    let of_zone = plan.routes.keys().filter(|slot| slot.prefix == net("10.10.0.0/16"));
    assert_eq!(of_zone.count(), 2, "the rest of the zone is in the tunnel or nowhere");
    let exceptions: Vec<_> =
        plan.guard.local.iter().map(|one| (&*one.interface, one.net)).collect();
    assert_eq!(exceptions, [("br9", local.net)]);
}

#[test]
fn what_is_for_the_gateway_itself_goes_nowhere_when_its_address_is_gone() {
    let plan = plan(&mesh(&["10.10.11.0/24"]), &KernelState::default());
    let prefix = net("10.255.0.1/32");
    let slot = RouteSlot { table: TABLE, prefix, metric: LAST_METRIC };
    assert_eq!(plan.routes.get(&slot), Some(&RouteWay::Unreachable));
    assert!(plan.guard.zones.contains(&prefix), "{:?}", plan.guard);
}

#[test]
fn what_is_barred_as_the_file_says_so_is_told_from_what_is_barred_for_good() {
    let mut mesh = mesh(&["10.10.11.0/24"]);
    mesh.backstops.insert(net("10.10.20.0/24"));
    mesh.written.insert(net("10.10.20.0/24"));
    let plan = plan(&mesh, &KernelState::default());
    let metric = |prefix: &str| {
        let of = plan.routes.keys().filter(|slot| slot.prefix == net(prefix));
        of.filter(|slot| slot.metric > TUNNEL_METRIC).map(|slot| slot.metric).collect::<Vec<_>>()
    };
    assert_eq!(metric("10.10.11.0/24"), [LAST_METRIC]);
    assert_eq!(metric("10.10.20.0/24"), [WRITTEN_METRIC]);
    assert!(plan.guard.zones.contains(&net("10.10.20.0/24")), "the guard bars both");
}

#[test]
fn a_change_of_the_plan_is_no_repair() {
    let mut seen = KernelState::default();
    let before = settle(&mesh(&["10.10.11.0/24"]), &mut seen);
    let after = plan(&mesh(&["10.10.12.0/24"]), &seen);
    let changes = after.difference(&seen);
    assert!(changes.len() >= 5, "{changes:?}");
    for one in &changes {
        let told = before.holds(one, &after);
        assert!(!told, "{one:?}");
    }
}

#[test]
fn a_route_of_ipv6_never_takes_less_than_its_family_demands() {
    let mesh = mesh(&["10.10.11.0/24", "fd00:11::/64"]);
    let routes = mesh.routed().into_iter().map(|net| (net, 900)).collect();
    let mtus = WantedMtus { link: 1420, routes };
    let plan = KernelPlan::of(&mesh, &own(), &mtus, &KernelState::default());
    let mtu = |prefix: &str| {
        let slot = RouteSlot { table: TABLE, prefix: net(prefix), metric: TUNNEL_METRIC };
        plan.routes[&slot].clone()
    };
    assert_eq!(mtu("10.10.11.0/24"), RouteWay::Tunnel { mtu: Some(900) });
    assert_eq!(mtu("fd00:11::/64"), RouteWay::Tunnel { mtu: Some(1280) });
}

#[test]
fn an_address_that_tunnels_go_around_is_barred_to_all_others_in_a_table_before() {
    let mut mesh = mesh(&["203.0.113.0/24"]);
    let address: IpAddr = "203.0.113.1".parse().unwrap();
    mesh.aside.insert(address);
    mesh.peers[0].aside.push(address);
    let plan = plan(&mesh, &KernelState::default());
    let slot = |metric| RouteSlot { table: ASIDE_TABLE, prefix: IpNet::from(address), metric };
    assert_eq!(plan.routes[&slot(LAST_METRIC)], RouteWay::Unreachable);
    assert_eq!(plan.routes[&slot(TUNNEL_METRIC)], RouteWay::Tunnel { mtu: None });
    let holds = |slot: &&RouteSlot| slot.table == TABLE && slot.prefix.contains(&address);
    assert_eq!(plan.routes.keys().find(holds), None, "the tunnels' datagrams find main");
    assert_eq!(plan.rules.len(), 2);
    let barred = [net("10.255.0.1/32"), net("203.0.113.0/24")];
    assert_eq!(plan.guard.zones, barred, "the guard bars the whole");
}

#[test]
fn without_ipv6_all_of_ipv4_is_wanted_and_nothing_that_the_kernel_would_refuse() {
    let mesh = mesh(&["10.10.11.0/24", "fd00:11::/64"]);
    let mut own = own();
    own.addresses.push("fd00:255::1".parse().unwrap());
    let with = |ipv6| {
        let seen = KernelState { ipv6, ..KernelState::default() };
        KernelPlan::of(&mesh, &own, &mtus(), &seen)
    };
    let of_v6 = |plan: &KernelPlan| {
        let routes = plan.routes.iter().filter(|(slot, _)| slot.prefix.addr().is_ipv6());
        let ways: Vec<_> = routes.map(|(_, way)| way.clone()).collect();
        (ways, plan.rules.iter().filter(|rule| !rule.is_v4).count())
    };
    let (on, off, absent) = (with(Ipv6State::On), with(Ipv6State::Off), with(Ipv6State::Absent));
    assert!(of_v6(&on).0.contains(&RouteWay::Tunnel { mtu: None }));
    assert_eq!(on.link.addresses.len(), 2);
    // Another interface may have IPv6: what bars stays.
    assert_eq!(of_v6(&off), (vec![RouteWay::Unreachable; 2], 1));
    assert_eq!(of_v6(&absent), (Vec::new(), 0));
    for plan in [&off, &absent] {
        assert_eq!(plan.link.addresses, [net("10.255.0.1/32")].into());
        let is_v4 = |(slot, _): &(&RouteSlot, &RouteWay)| slot.prefix.addr().is_ipv4();
        assert!(plan.routes.iter().filter(is_v4).eq(on.routes.iter().filter(is_v4)));
        assert_eq!(plan.guard, on.guard);
    }
}

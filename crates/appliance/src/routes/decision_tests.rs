//! From what a gateway tells and what a kernel has to routes, and who is never overruled.

use super::*;

const LAN: u32 = 2;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn told(networks: &[&str]) -> ToldNetworks {
    let networks = networks.iter().map(|text| (net(text), Some(1420))).collect();
    let addresses = vec![ip("10.10.10.1"), ip("fd00:10::1")];
    ToldNetworks { called: ip("10.10.10.1"), behind: NetworksBehind { networks, addresses } }
}

fn connected_to(prefix: &str, interface: u32) -> SeenRoute {
    SeenRoute {
        prefix: net(prefix),
        metric: 0,
        via: None,
        interface: Some(interface),
        mtu: None,
        is_plain: true,
        is_own: false,
        words: format!("to interface {interface}"),
    }
}

fn foreign(prefix: &str, via: &str) -> SeenRoute {
    let words = format!("via {via}");
    SeenRoute { via: Some(ip(via)), words, ..connected_to(prefix, LAN) }
}

fn own(route: &OwnRoute) -> SeenRoute {
    SeenRoute {
        prefix: route.prefix,
        metric: VM_METRIC,
        via: Some(route.via),
        interface: Some(route.interface),
        mtu: route.mtu,
        is_plain: true,
        is_own: true,
        words: String::new(),
    }
}

/// A VM of the zone 10.10.10.0/24, fd00:10::/64, with these routes besides.
fn vm(besides: &[SeenRoute]) -> SeenRouting {
    let mut routes = vec![connected_to("10.10.10.0/24", LAN), connected_to("fd00:10::/64", LAN)];
    routes.extend_from_slice(besides);
    let local = BTreeSet::from([ip("127.0.0.1"), ip("10.10.10.5"), ip("fd00:10::5")]);
    SeenRouting { routes, mtus: BTreeMap::from([(LAN, 1500), (3, 1500)]), local }
}

fn decided(told: &ToldNetworks, seen: &SeenRouting) -> RouteDecision {
    decide(told, &[ip("192.0.2.9")], seen)
}

fn wanted(prefix: &str, via: &str) -> OwnRoute {
    OwnRoute { prefix: net(prefix), via: ip(via), interface: LAN, mtu: Some(1420) }
}

#[test]
fn a_vm_without_routes_gets_one_to_each_network_with_the_mtu_and_then_nothing_more() {
    let told = told(&["10.10.11.0/24", "fd00:11::/64"]);
    let first = decided(&told, &vm(&[]));
    let expected = [wanted("10.10.11.0/24", "10.10.10.1"), wanted("fd00:11::/64", "fd00:10::1")];
    assert_eq!(first.set, expected);
    assert_eq!((first.remove, first.problems), (vec![], vec![]));
    let settled = vm(&first.set.iter().map(own).collect::<Vec<_>>());
    assert_eq!(decided(&told, &settled), RouteDecision::default());
}

#[test]
fn a_default_route_elsewhere_is_no_hindrance_and_one_to_the_gateway_is_enough() {
    let told = told(&["10.10.11.0/24"]);
    let elsewhere = vm(&[foreign("0.0.0.0/0", "10.10.10.254")]);
    assert_eq!(decided(&told, &elsewhere).set, [wanted("10.10.11.0/24", "10.10.10.1")]);
    for enough in [foreign("0.0.0.0/0", "10.10.10.1"), foreign("10.0.0.0/8", "10.10.10.1")] {
        assert_eq!(decided(&told, &vm(&[enough])), RouteDecision::default());
    }
    // The kernel takes the better one of two.
    let worse = SeenRoute { metric: 100, ..foreign("0.0.0.0/0", "10.10.10.1") };
    let both = vm(&[worse, foreign("0.0.0.0/0", "10.10.10.254")]);
    assert_eq!(decided(&told, &both).set.len(), 1);
}

#[test]
fn a_route_of_another_is_left_alone_and_named_if_it_leads_elsewhere() {
    let told = told(&["10.10.11.0/24"]);
    let kept = own(&wanted("10.10.11.0/24", "10.10.10.1"));
    let blackhole =
        SeenRoute { via: None, interface: None, is_plain: false, ..foreign("10.10.11.0/24", "::") };
    for other in
        [foreign("10.10.11.0/24", "10.10.10.254"), foreign("10.0.0.0/8", "10.10.10.254"), blackhole]
    {
        let decision = decided(&told, &vm(&[other.clone(), kept.clone()]));
        assert_eq!(decision.set, [], "{other:?}");
        assert_eq!(decision.remove, [(net("10.10.11.0/24"), VM_METRIC)], "its own steps aside");
        let [problem] = &decision.problems[..] else { panic!("{decision:?}") };
        assert!(problem.contains(&other.prefix.to_string()), "{problem}");
    }
    let same = foreign("10.10.11.0/24", "10.10.10.1");
    assert_eq!(decided(&told, &vm(&[same])), RouteDecision::default());
    let part = foreign("10.10.11.128/25", "10.10.10.254");
    let decision = decided(&told, &vm(&[part]));
    assert_eq!(decision.set.len(), 1, "the rest is led to the gateway");
    assert!(decision.problems[0].contains("10.10.11.128/25, a part of"), "{decision:?}");
}

#[test]
fn what_would_take_more_than_another_zones_is_refused_by_name() {
    for (lie, why) in [
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
        ("0.0.0.0/1", "which no zone may have"),
        ("192.0.0.0/3", "more than any zone has"),
        ("2000::/3", "more than any zone has"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("169.254.16.9/32", "link-local"),
        ("fe80::/10", "link-local"),
        ("10.10.10.0/24", "at an interface"),
        ("10.10.10.128/25", "at an interface"),
        ("10.10.10.7/32", "at an interface"),
        ("fd00:10::/64", "at an interface"),
        ("10.10.0.0/16", "holds its own address"),
        ("fd00::/16", "holds its own address"),
        ("192.0.2.0/24", "holds OneGate's address"),
    ] {
        let decision = decided(&told(&[lie, "10.10.11.0/24"]), &vm(&[]));
        let [problem] = &decision.problems[..] else { panic!("{lie}: {decision:?}") };
        assert!(problem.contains(lie) && problem.contains(why), "{problem}");
        assert_eq!(decision.set, [wanted("10.10.11.0/24", "10.10.10.1")], "the rest is set");
    }
}

#[test]
fn a_zone_that_joins_leaves_or_gets_another_mtu_is_followed_and_others_are_not_touched() {
    let before = wanted("10.10.11.0/24", "10.10.10.1");
    let operators = foreign("10.10.13.0/24", "10.10.10.1");
    let seen = vm(&[own(&before), operators]);
    let decision = decided(&told(&["10.10.12.0/24"]), &seen);
    assert_eq!(decision.set, [wanted("10.10.12.0/24", "10.10.10.1")]);
    assert_eq!(decision.remove, [(net("10.10.11.0/24"), VM_METRIC)]);
    let mut narrower = told(&["10.10.11.0/24"]);
    narrower.behind.networks.insert(net("10.10.11.0/24"), Some(1300));
    let decision = decided(&narrower, &seen);
    assert_eq!(decision.set, [OwnRoute { mtu: Some(1300), ..before.clone() }]);
    assert_eq!(decision.remove, [], "it is set in the place of the other");
    let mut moved = told(&["10.10.11.0/24"]);
    moved.called = ip("10.10.10.2");
    assert_eq!(decided(&moved, &seen).set, [OwnRoute { via: ip("10.10.10.2"), ..before }]);
}

#[test]
fn a_gateway_that_is_no_neighbour_is_led_to_by_others() {
    let mut far = told(&["10.10.11.0/24", "fd00:11::/64"]);
    far.called = ip("198.51.100.1");
    far.behind.addresses.clear();
    assert_eq!(decided(&far, &vm(&[])), RouteDecision::default());
    // What it had set here before goes with it.
    let before = own(&wanted("10.10.11.0/24", "10.10.10.1"));
    assert_eq!(decided(&far, &vm(&[before])).remove.len(), 1);
}

/// A VM that is gateway and SuperLink: the kernel takes no own address as a next hop.
#[test]
fn a_gateway_in_the_same_vm_needs_no_route_to_itself() {
    let mut seen = vm(&[]);
    seen.local.insert(ip("10.10.10.1"));
    for called in ["10.10.10.1", "127.0.0.1"] {
        let here = ToldNetworks { called: ip(called), ..told(&["10.10.11.0/24", "fd00:11::/64"]) };
        assert_eq!(decided(&here, &seen), RouteDecision::default(), "{called}");
    }
}

#[test]
fn of_two_interfaces_in_the_gateways_network_the_one_that_the_kernel_takes_is_taken() {
    let besides = SeenRoute { metric: 100, ..connected_to("10.10.10.0/24", 3) };
    let decision = decided(&told(&["10.10.11.0/24"]), &vm(&[besides]));
    assert_eq!(decision.set, [wanted("10.10.11.0/24", "10.10.10.1")]);
}

#[test]
fn an_mtu_is_set_only_where_the_link_takes_more_and_never_below_what_each_link_takes() {
    let mut seen = vm(&[]);
    let mut told = told(&["10.10.11.0/24", "fd00:11::/64"]);
    let mtus = |told: &ToldNetworks, seen: &SeenRouting| {
        decided(told, seen).set.iter().map(|route| route.mtu).collect::<Vec<_>>()
    };
    seen.mtus.insert(LAN, 1420);
    assert_eq!(mtus(&told, &seen), [None, None], "CONTEXT's GUEST_MTU is enough");
    seen.mtus.insert(LAN, 1500);
    told.behind.networks.values_mut().for_each(|mtu| *mtu = Some(1));
    assert_eq!(mtus(&told, &seen), [Some(576), Some(1280)]);
    told.behind.networks.values_mut().for_each(|mtu| *mtu = None);
    assert_eq!(mtus(&told, &seen), [None, None]);
}

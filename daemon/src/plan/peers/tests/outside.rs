//! What is granted may hold addresses that gateways have outside.

use zonemesh_core::kernel::{KernelState, LocalNetwork};

use super::*;

/// Three zones, the third of which is granted `more` beside its own prefix.
fn granted(more: &str) -> (Registry, Config) {
    let config = config("");
    let prefixes = |zone| {
        let more = (zone == 3).then(|| net(more));
        std::iter::once(prefix(zone)).chain(more).collect()
    };
    let mut registry = managed_with(3, &config, prefixes);
    announce(&mut registry, 2, key(2), "198.51.100.2:51820");
    announce(&mut registry, 3, key(3), "198.51.100.3:51820");
    (registry, config)
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn a_prefix_that_holds_another_gateways_outer_address_does_not_catch_its_tunnel() {
    let (registry, config) = granted("198.51.100.0/24");
    let plan = plan(&registry, &config);
    let [second, third]: [IpAddr; 2] = [2, 3].map(|n| IpAddr::from([198, 51, 100, n]));
    for nets in [plan.routed(), plan.barred()] {
        assert!(nets.iter().all(|net| !net.contains(&second) && !net.contains(&third)), "{nets:?}");
        assert!(nets.contains(&net("198.51.100.128/25")), "{nets:?}");
    }
    assert_eq!(plan.aside, BTreeSet::from([second, third]));
    // Inside the tunnel the whole prefix is its zone's still.
    assert!(plan.peers[1].prefixes.contains(&net("198.51.100.0/24")));
    let told: Vec<_> = plan.covered.iter().map(|one| (one.address, one.of.clone())).collect();
    assert_eq!(
        told,
        [2, 3].map(|zone| (
            IpAddr::from([198, 51, 100, zone]),
            AddressOwner::Other(Subject::Zone(name(zone)))
        ))
    );
    assert!(plan.clone().closed().barred().contains(&net("198.51.100.0/24")));
}

#[test]
fn a_net_that_holds_an_own_outer_address_is_not_routed_here_and_its_others_are() {
    let (registry, config) = granted("192.0.2.0/28");
    let plan = plan(&registry, &config);
    assert_eq!(plan.peers[1].prefixes, [prefix(3)]);
    assert!(!plan.routed().contains(&net("192.0.2.0/28")));
    assert!(plan.barred().contains(&net("192.0.2.0/28")), "nothing leaves in the clear");
    let [covered] = &plan.covered[..] else { panic!("{:?}", plan.covered) };
    assert_eq!(
        (&covered.owner, covered.address, &covered.of),
        (&Subject::Zone(name(3)), OWN_OUTER, &AddressOwner::Here)
    );
}

#[test]
fn where_a_tunnel_leads_to_now_counts_as_well() {
    let (registry, config) = granted("203.0.113.0/24");
    let roamed: IpAddr = "203.0.113.77".parse().unwrap();
    let others = BTreeMap::from([(roamed, Subject::Zone(name(2)))]);
    let outer = &OuterAddresses { others, ..OuterAddresses::default() };
    let (registry, config, hints) = (&registry, &config, &BTreeMap::new());
    let (own_keys, most_lanes, is_gone) = (&[key(1)][..], 8, false);
    let kept = &BTreeSet::new();
    let plan = MeshPlan::of(&PlanSources {
        registry,
        config,
        own_keys,
        hints,
        outer,
        most_lanes,
        is_gone,
        kept,
    });
    assert_eq!(plan.aside, BTreeSet::from([roamed]));
}

#[test]
fn a_tunnel_address_that_is_left_out_is_told() {
    let (registry, config) = granted("203.0.113.0/24");
    let machine =
        MachineAddresses { outside: vec![tunnel_ip(1), tunnel_ip(2)], left_out: vec![OWN_OUTER] };
    let outer = &OuterAddresses { machine, ..OuterAddresses::default() };
    let (registry, config, hints) = (&registry, &config, &BTreeMap::new());
    let (own_keys, most_lanes, is_gone) = (&[key(1)][..], 8, false);
    let kept = &BTreeSet::new();
    let sources =
        PlanSources { registry, config, own_keys, hints, outer, most_lanes, is_gone, kept };
    let found = crate::plan::troubles::of_plan(&MeshPlan::of(&sources), &KernelState::default());
    let said = "N222 z1: 10.255.0.1/32 holds 10.255.0.1, which this gateway has outside: \
        it is no tunnel address here";
    let of_peer = "N222 z2: 10.255.0.2/32 holds 10.255.0.2, which this machine has: \
        what is for it stays here";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [said, of_peer]);
    let all = OuterAddresses::own_left_out(outer, &name(1), &[tunnel_ip(1)]);
    assert_eq!(all.iter().map(|one| one.address).collect::<Vec<_>>(), [tunnel_ip(1), OWN_OUTER]);
}

#[test]
fn an_address_that_the_machine_comes_to_have_in_a_zones_net_is_told_unless_its_network_is() {
    let (registry, config) = granted("203.0.113.0/24");
    let address: IpAddr = "203.0.113.77".parse().unwrap();
    let elsewhere = "192.0.2.9".parse().unwrap();
    let machine = MachineAddresses { outside: vec![address, elsewhere], left_out: Vec::new() };
    let outer = &OuterAddresses { machine, ..OuterAddresses::default() };
    let (registry, config, hints) = (&registry, &config, &BTreeMap::new());
    let (own_keys, most_lanes, is_gone) = (&[key(1)][..], 8, false);
    let kept = &BTreeSet::new();
    let sources =
        PlanSources { registry, config, own_keys, hints, outer, most_lanes, is_gone, kept };
    let plan = MeshPlan::of(&sources);
    let of = |seen: &KernelState| {
        let found = crate::plan::troubles::of_plan(&plan, seen);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = "N222 z3: 203.0.113.0/24 holds 203.0.113.77, which this machine has: \
        what is for it stays here";
    assert_eq!(of(&KernelState::default()), [said]);
    assert!(plan.routed().contains(&net("203.0.113.0/24")), "all others are the zone's");
    let mut seen = KernelState::default();
    let (net, interface) = (net("203.0.113.64/26"), "br9".to_owned());
    seen.local.insert(LocalNetwork { net, interface, index: 9, source: Some(address) });
    assert_eq!(of(&seen), [""; 0]);
}

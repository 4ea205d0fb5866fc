//! What a gateway's CONTEXT means, right and wrong.

use std::collections::BTreeMap;

use zonemesh_context::source::Environment;

use super::given::tests::made;
use super::*;
use crate::nics;

/// Settings from these values of CONTEXT.
pub(crate) fn told(values: &[(&str, &str)]) -> Result<GatewaySettings, SettingsErrors> {
    let values: BTreeMap<&str, &str> = values.iter().copied().collect();
    let find = |key: &str| values.get(key).map(|value| (*value).to_owned());
    let nics = nics::VmNics::read(values.keys().copied(), find);
    read(Variables::new(vec![&Environment(find)]), nics)
}

fn values(values: &[(&str, &str)]) -> ZoneValues {
    match told(values).unwrap().wanted {
        Some(WantedGateway::Values(values)) => *values,
        other => panic!("{other:?}"),
    }
}

/// Berlin's bundle and madrid's invitation.
pub(crate) fn usual() -> [String; 2] {
    made(&["10.10.10.0/24"], &["10.10.11.0/24"])
}

#[test]
fn an_invitation_and_what_opennebula_writes_are_enough() {
    let [_, invitation] = usual();
    let madrid = values(&[
        ("ONEAPP_ZONEMESH_INVITATION", &invitation),
        ("ONEAPP_ZONEMESH_ENDPOINT", ""),
        ("ETH0_IP", "10.10.11.254"),
        ("ETH0_MASK", "255.255.255.0"),
        ("ETH1_IP", "203.0.113.2"),
    ]);
    assert_eq!(madrid.given.zone.as_str(), "madrid");
    assert_eq!(madrid.listen.to_string(), "10.10.11.254:51822");
    assert_eq!(madrid.endpoints, ["203.0.113.2:51820".parse().unwrap()]);
}

#[test]
fn what_is_said_comes_before_what_follows() {
    let [bundle, _] = usual();
    let berlin = values(&[
        ("ONEAPP_ZONEMESH_INVITATION", &bundle),
        ("ONEAPP_ZONEMESH_ENDPOINT", "gw.berlin.example, 203.0.113.1:7  [2001:db8::1]"),
        ("ONEAPP_ZONEMESH_LISTEN", "0.0.0.0"),
        ("ETH0_IP", "10.10.10.1"),
        ("ETH1_IP", "203.0.113.77"),
    ]);
    let endpoints: Vec<String> = berlin.endpoints.iter().map(ToString::to_string).collect();
    let said = ["gw.berlin.example:51820", "203.0.113.1:7", "[2001:db8::1]:51820"];
    assert_eq!(
        (endpoints, berlin.listen.to_string()),
        (said.map(str::to_owned).into(), "0.0.0.0:51822".to_owned())
    );
    for (text, listen) in
        [("[::]", "[::]:51822"), ("10.10.10.1:7", "10.10.10.1:7"), ("::", "[::]:51822")]
    {
        let nics = nics::tests::nics(&[("ETH0_IP", "10.10.10.1")]);
        assert_eq!(super::listen(text, &[], &nics).unwrap().to_string(), listen);
    }
}

#[test]
fn all_faults_are_told_at_once_and_no_secret_is() {
    let [_, invitation] = usual();
    let cut = &invitation[..invitation.len() - 8];
    let message = told(&[
        ("ONEAPP_ZONEMESH_INVITATION", cut),
        ("ONEAPP_ZONEMESH_ENDPOINT", "https://gw"),
        ("ONEAPP_ZONEMESH_LISTEN", "10.10.11.9"),
        ("ETH0_IP", "10.10.11.1"),
        ("ONEGATE_ENDPOINT", "169.254.16.9"),
    ])
    .unwrap_err()
    .to_string();
    assert_eq!(message.lines().count(), 4, "{message}");
    for words in [
        "ONEAPP_ZONEMESH_INVITATION (environment): its value is not usable: this invitation is cut off",
        "ONEAPP_ZONEMESH_ENDPOINT (environment): \"https://gw\" is not usable",
        "this VM does not have the address 10.10.11.9; seen: ETH0 10.10.11.1/24",
        "ONEGATE_ENDPOINT",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert!(!message.contains(&cut[40..]), "{message}");
}

#[test]
fn the_local_api_listens_in_the_zone_or_everywhere() {
    let [bundle, _] = usual();
    let message = told(&[
        ("ONEAPP_ZONEMESH_INVITATION", &bundle),
        ("ONEAPP_ZONEMESH_LISTEN", "203.0.113.1:51822"),
        ("ETH0_IP", "10.10.10.1"),
        ("ETH1_IP", "203.0.113.1"),
    ]);
    let message = message.unwrap_err().to_string();
    assert!(message.starts_with("ONEAPP_ZONEMESH_LISTEN"), "{message}");
    assert!(message.contains("203.0.113.1 is not in the zone (10.10.10.0/24)"), "{message}");
}

#[test]
fn an_invitation_for_another_network_is_refused_with_what_was_seen() {
    let [_, invitation] = usual();
    let message = told(&[("ONEAPP_ZONEMESH_INVITATION", &invitation), ("ETH0_IP", "10.10.10.1")])
        .unwrap_err();
    let message = message.to_string();
    let words = "no NIC of this VM is in 10.10.11.0/24, which is to be this zone's; seen: ETH0 10.10.10.1/24";
    assert!(
        message.contains(words) && message.contains("a NIC in the zone's network"),
        "{message}"
    );
}

#[test]
fn two_sources_are_refused_with_what_to_do() {
    let [_, invitation] = usual();
    let toml = "[zone]\nname = \"madrid\"\nprefixes = [\"10.10.11.0/24\"]\n";
    let config = ("ONEAPP_ZONEMESH_CONFIG", toml);
    let lan = ("ETH0_IP", "10.10.11.1");
    for other in [
        ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()),
        ("ONEAPP_ZONEMESH_ENDPOINT", "203.0.113.2"),
        ("ONEAPP_ZONEMESH_LISTEN", "0.0.0.0"),
        ("ONEAPP_WG_PEER_PUBLIC_KEY", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="),
        ("ONEAPP_WG_PEER_ENDPOINT", "203.0.113.9:51820"),
    ] {
        let message = told(&[config, other, lan]).unwrap_err().to_string();
        assert!(message.contains(&format!("is given beside {}", other.0)), "{message}");
        assert!(message.contains("Take ONEAPP_ZONEMESH_CONFIG out"), "{message}");
    }
    let alone = told(&[config, lan]).unwrap();
    assert!(matches!(alone.wanted, Some(WantedGateway::Whole(text)) if text == toml));
    assert!(told(&[lan]).unwrap().wanted.is_none());
}

#[test]
fn what_is_without_effect_is_checked_here_too_and_a_private_key_is_refused() {
    let [_, invitation] = usual();
    let good = [
        ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()),
        ("ETH0_IP", "10.10.11.1"),
        ("ONEAPP_FL_LOG_LEVEL", "DEBUG"),
    ];
    told(&good).unwrap();
    let wrong = [
        ("ONEAPP_WG_PRIVATE_KEY", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="),
        ("ONEAPP_FL_LOG_FORMAT", "xml"),
    ];
    let message = told(&[&good[..], &wrong].concat()).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 2, "{message}");
    for (key, _) in wrong {
        assert!(message.contains(&format!("{key} (environment): ")), "{message}");
    }
    assert!(message.contains("a private key never leaves the VM") && !message.contains("yAnz5"));
}

#[test]
fn a_value_is_judged_outside_the_vm_as_the_gateway_judges_it() {
    const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let [bundle, invitation] = usual();
    let config = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
    let damaged = &invitation[..invitation.len() - 8];
    let values = [
        "../\u{7f} !",
        "abc",
        KEY,
        "ed25519:xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        "0",
        "25",
        "25s",
        "65536",
        "1.2.3.4",
        "1.2.3.4:0",
        "1.2.3.4:51820",
        "1.2.3.999:51820",
        "0.0.0.0:51820",
        "office.example:51820",
        "-office.example:51820",
        "office.example",
        "2001:db8::9:51820",
        "[2001:db8::9]:51820",
        "[2001:db8::9]",
        ":51820",
        "10.77.30.0/24",
        "10.77.300.0/24",
        "10.77.30.1/24",
        "0.0.0.0/0",
        "127.0.0.0/8",
        ",",
        "YES",
        "INFO",
        "/run/status.json",
        config,
        damaged,
        &bundle,
        &invitation,
    ];
    let base = [
        ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()),
        ("ETH0_IP", "10.10.11.1"),
        ("ONEAPP_WG_PEER_PUBLIC_KEY", KEY),
        ("ONEAPP_WG_PEER_ALLOWED_IPS", "10.10.20.0/24"),
    ];
    for key in keys::of(Appliance::Gateway) {
        for value in values {
            let beside = if key.name == gateway::CONFIG.name { &base[1..2] } else { &base[..] };
            let refusals = told(&[beside, &[(key.name, value)]].concat()).err();
            // What this VM has, and whether a daemon can run with a configuration, it alone knows.
            let of_vm = ["no NIC of this VM", "this VM does not have", "has mistakes"];
            let of_key = |error: &&zonemesh_context::SettingError| {
                error.key == key.name && !of_vm.iter().any(|words| error.problem.contains(words))
            };
            let found = refusals.as_ref().and_then(|errors| errors.0.iter().find(of_key));
            let is_refused = found.is_some();
            let judged = zonemesh_context::judged::judged(key, value);
            assert_eq!(judged.is_err(), is_refused, "{}={value}: {judged:?}", key.name);
        }
    }
}

//! Settings from an environment and a context: what is taken, and what each problem says.

use std::collections::BTreeMap;
use std::path::Path;

use zonemesh_appliance::flower::{COMPATIBILITY, PREFERRED, generation_of};
use zonemesh_appliance::settings::{
    self, GatewayPlace, SuperLinkPlace, SuperLinkSettings, SuperNodeSettings, TOKEN_EXAMPLE,
    onegate_lack,
};
use zonemesh_context::judged::judged;
use zonemesh_context::keys::KEYS;
use zonemesh_context::source::Environment;
use zonemesh_context::source::context::ContextFile;
use zonemesh_context::{Appliance, KeyReaders, SettingsErrors, Variables};

fn good() -> BTreeMap<String, String> {
    [
        ("ONEAPP_ZONEMESH_FEDERATION", "health-eu"),
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1:51822"),
        ("ONEAPP_ZONEMESH_TOKEN", TOKEN_EXAMPLE),
        ("ETH0_IP", "10.10.10.5"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn with(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = good();
    all.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    all
}

fn superlink(environment: &BTreeMap<String, String>) -> Result<SuperLinkSettings, SettingsErrors> {
    let environment = Environment(|key: &str| environment.get(key).cloned());
    settings::superlink(Variables::new(vec![&environment]))
}

fn supernode(environment: &BTreeMap<String, String>) -> Result<SuperNodeSettings, SettingsErrors> {
    let environment = Environment(|key: &str| environment.get(key).cloned());
    settings::supernode(Variables::new(vec![&environment]))
}

fn message(result: Result<SuperLinkSettings, SettingsErrors>) -> String {
    result.err().map(|errors| errors.to_string()).expect("the settings are wrong")
}

#[test]
fn the_least_that_is_needed_gives_settings_with_defaults() {
    let settings = superlink(&good()).expect("the settings are right");
    assert_eq!(settings.address.to_string(), "10.10.10.5");
    assert_eq!(settings.mesh.token.reveal(), TOKEN_EXAMPLE);
    let usual = generation_of(PREFERRED).expect("it is supported").ports();
    let ports = settings.ports.or(usual);
    assert_eq!((ports.fleet, ports.for_runs()), (9092, 9093));
    assert_eq!((ports.serverappio, ports.health), (Some(9091), Some(9099)));
    assert_eq!(settings.common.state_dir, Path::new("/var/lib/zonemesh-superlink"));
    assert_eq!(settings.common.flower_bin, Path::new("/opt/flower/bin"));
    assert!(settings.common.onegate.is_none());
    let node = supernode(&good()).unwrap();
    assert_eq!(node.common.state_dir, Path::new("/var/lib/zonemesh-supernode"));
    assert_eq!((node.ports.or(usual).clientappio, node.node_config), (9094, None));
}

#[test]
fn a_gateway_without_a_port_gets_the_usual_one() {
    for (text, gateway) in [("10.10.10.1", "10.10.10.1:51822"), ("fd00::1", "[fd00::1]:51822")] {
        let settings = superlink(&with(&[("ONEAPP_ZONEMESH_GATEWAY", text)])).unwrap();
        let GatewayPlace::Given(given) = settings.mesh.gateway else { panic!("it is given") };
        assert_eq!(given.to_string(), gateway);
    }
}

#[test]
fn each_wrong_key_is_named_with_what_was_expected_and_an_example() {
    let cases = [
        (
            "ONEAPP_ZONEMESH_FEDERATION",
            "Health EU",
            "for example ONEAPP_ZONEMESH_FEDERATION=health-eu",
        ),
        ("ONEAPP_ZONEMESH_GATEWAY", "gateway.example", "IP:PORT"),
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1:0", "IP:PORT"),
        ("ONEAPP_ZONEMESH_ADDRESS", "10.10.10", "the IP address of this VM"),
        ("ONEAPP_ZONEMESH_ADDRESS", "0.0.0.0", "SuperNodes cannot connect"),
        ("ONEAPP_ZONEMESH_FLOWER_BIN", "bin", "an absolute path"),
        ("ONEAPP_ZONEMESH_STATE_DIR", "state", "an absolute path"),
        (
            "ONEAPP_ZONEMESH_FLOWER_VERSION",
            "1.25",
            "for example ONEAPP_ZONEMESH_FLOWER_VERSION=1.25.0",
        ),
        ("ONEAPP_ZONEMESH_FLOWER_USER", "a b", "the name of a user"),
        ("ONEAPP_ZONEMESH_FLEET_PORT", "0", "a TCP port from 1 to 65535"),
        ("ONEAPP_ZONEMESH_CONTROL_PORT", "70000", "a TCP port from 1 to 65535"),
    ];
    for (key, value, part) in cases {
        let message = message(superlink(&with(&[(key, value)])));
        assert!(message.starts_with(&format!("{key} (environment): ")), "{message}");
        assert!(message.contains(part) && message.contains(value), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let error = supernode(&with(&[("ONEAPP_ZONEMESH_NODE_CONFIG", "partition")])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("for example ONEAPP_ZONEMESH_NODE_CONFIG=partition-id=0 num-partitions=2")
    );
}

#[test]
fn keys_of_the_single_site_appliances_are_taken_or_refused_with_the_reason() {
    const FLEET: &str = "ONEAPP_FL_FLEET_API_ADDRESS";
    for (key, value, refusal) in [
        ("ONEAPP_FL_TLS_ENABLED", "yes", ""),
        ("ONEAPP_FL_TLS_ENABLED", "NO", "Flower never runs without TLS across zones"),
        ("ONEAPP_FL_ISOLATION", "subprocess", ""),
        ("ONEAPP_FL_ISOLATION", "process", "nobody here would start the processes of the apps"),
        ("ONEAPP_FL_ISOLATION", "docker", "it is no way to run apps"),
        ("ONEAPP_FL_DATABASE", "state/state.db", ""),
        ("ONEAPP_FL_DATABASE", "/srv/fl.db", ""),
        ("ONEAPP_FL_DATABASE", ":flwr-in-memory:", "a restart makes every SuperNode unknown"),
        ("ONEAPP_FL_DATABASE", "../fl.db", "it leads out of the folder"),
        ("ONEAPP_FL_DATABASE", "state/", "it names no file"),
        ("ONEAPP_FL_GRPC_KEEPALIVE_TIME", "60", ""),
        ("ONEAPP_FL_GRPC_KEEPALIVE_TIME", "30", "all ends of all zones keep 60 s"),
        ("ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT", "20", ""),
        ("ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT", "60", "all ends of all zones keep 20 s"),
        ("ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT", "20s", "no whole number of seconds"),
        ("ONEAPP_FL_LOG_LEVEL", "DEBUG", ""),
        ("ONEAPP_FL_LOG_LEVEL", "verbose", "it is none of DEBUG, INFO, WARNING, ERROR"),
        ("ONEAPP_FL_LOG_FORMAT", "xml", "it is none of text, json"),
        ("ONEAPP_FL_NUM_ROUNDS", "3", ""),
        ("ONEAPP_FL_NUM_ROUNDS", "three", "it is no whole number from 1 on"),
        (FLEET, "0.0.0.0:19092", ""),
        (FLEET, "[::]:19092", ""),
        (FLEET, "10.10.10.5", "it is no ADDRESS:PORT"),
        (FLEET, "127.0.0.1:9092", "SuperNodes cannot connect there"),
        ("ONEAPP_ZONEMESH_CONTROL_PORT", "19092", ""),
    ] {
        let said = superlink(&with(&[(key, value)])).err().map(|errors| errors.to_string());
        let said = said.unwrap_or_default();
        assert!(said.contains(refusal) && said.is_empty() == refusal.is_empty(), "{key}: {said}");
        assert!(said.is_empty() || said.starts_with(key), "{said}");
    }
    for (value, refusal) in [
        ("all", ""),
        ("0,1", ""),
        ("GPU-5fc8b2a1-0b3c,MIG-7/1", ""),
        ("-1", ""),
        ("0 1", "that names no GPUs"),
        ("0,,1", "that names no GPUs"),
    ] {
        let said = supernode(&with(&[("ONEAPP_FL_CUDA_VISIBLE_DEVICES", value)]));
        let said = said.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(said.contains(refusal) && said.is_empty() == refusal.is_empty(), "{value}: {said}");
    }
}

#[test]
fn what_is_said_of_the_fleet_is_one_address_and_ports_that_differ() {
    const FLEET: &str = "ONEAPP_FL_FLEET_API_ADDRESS";
    let place = |changes: &[(&str, &str)]| {
        let settings = superlink(&with(changes)).map_err(|errors| errors.to_string())?;
        Ok::<_, String>(format!("{} {:?}", settings.address, settings.ports.fleet))
    };
    assert_eq!(place(&[(FLEET, "0.0.0.0:7")]).unwrap(), "10.10.10.5 Some(7)");
    assert_eq!(place(&[(FLEET, "10.10.10.9:7")]).unwrap(), "10.10.10.9 Some(7)");
    let same = [(FLEET, "10.10.10.9:7"), ("ONEAPP_ZONEMESH_FLEET_PORT", "7")];
    assert_eq!(place(&same).unwrap(), "10.10.10.9 Some(7)");
    for (changes, words) in [
        (
            [(FLEET, "0.0.0.0:7"), ("ONEAPP_ZONEMESH_FLEET_PORT", "8")],
            "its port is another than ONEAPP_ZONEMESH_FLEET_PORT says",
        ),
        (
            [(FLEET, "10.10.10.9:7"), ("ONEAPP_ZONEMESH_ADDRESS", "10.10.10.5")],
            "ONEAPP_ZONEMESH_ADDRESS says that this VM's address is 10.10.10.5",
        ),
        (
            [("ONEAPP_ZONEMESH_FLEET_PORT", "7"), ("ONEAPP_ZONEMESH_HEALTH_PORT", "7")],
            "ONEAPP_ZONEMESH_FLEET_PORT has that port, too",
        ),
    ] {
        let said = place(&changes).unwrap_err();
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn all_problems_are_told_together() {
    let message = message(superlink(&BTreeMap::new()));
    for key in ["FEDERATION", "GATEWAY", "TOKEN", "ADDRESS"] {
        assert!(message.contains(&format!("ONEAPP_ZONEMESH_{key}: is not set")), "{message}");
    }
}

#[test]
fn a_wrong_token_is_not_repeated() {
    let damaged = format!("{TOKEN_EXAMPLE}hunter2=");
    for token in ["hunter2 hunter3", &damaged, "zmt1.hunter2.hunter3"] {
        let message = message(superlink(&with(&[("ONEAPP_ZONEMESH_TOKEN", token)])));
        assert!(message.starts_with("ONEAPP_ZONEMESH_TOKEN"), "{message}");
        assert!(message.contains("zonemesh key generate token"), "{message}");
        assert!(!message.contains("hunter"), "{message}");
    }
}

#[test]
fn a_vm_shows_its_onegate_token_if_told_so_and_if_it_has_one() {
    let told = ("ONEAPP_ZONEMESH_IDENTITY", "onegate");
    let onegate =
        [("ONEGATE_ENDPOINT", "http://169.254.16.9:5030"), ("VMID", "7"), ("TOKENTXT", "abc=")];
    assert!(!superlink(&with(&onegate)).unwrap().shows_onegate);
    assert!(superlink(&with(&[onegate.as_slice(), &[told]].concat())).unwrap().shows_onegate);
    let without = message(superlink(&with(&[told])));
    assert!(without.contains("its CONTEXT lacks TOKEN=YES"), "{without}");
    let other = message(superlink(&with(&[("ONEAPP_ZONEMESH_IDENTITY", "passport")])));
    assert!(other.contains("that is no way to prove a VM"), "{other}");
}

/// With OneGate, and these changes, in a VM whose CONTEXT names no gateway.
fn without_gateway(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let none = [("ONEAPP_ZONEMESH_GATEWAY", "")];
    let onegate =
        [("ONEGATE_ENDPOINT", "http://169.254.16.9:5030"), ("VMID", "7"), ("TOKENTXT", "abc=")];
    with(&[&none[..], &onegate, changes].concat())
}

#[test]
fn a_vm_whose_context_names_no_gateway_asks_onegate() {
    let settings = superlink(&without_gateway(&[])).unwrap();
    let GatewayPlace::Published(onegate) = settings.mesh.gateway else { panic!("it is asked") };
    assert_eq!(onegate.vm, "7");
}

#[test]
fn a_onegate_that_cannot_be_asked_for_the_gateway_is_refused_by_the_variable_that_is_wrong() {
    for (key, value, words) in [
        ("TOKENTXT", "", "TOKENTXT: is not set or empty, and without it OneGate tells nobody"),
        ("TOKENTXT", " ", "expected what OpenNebula gives with TOKEN=YES"),
        ("VMID", "", "VMID: is not set or empty"),
        ("ONEGATE_ENDPOINT", "", "ONEAPP_ZONEMESH_GATEWAY: is not set, and this VM has no OneGate"),
        ("ONEGATE_ENDPOINT", "169.254.16.9:5030", "it is no http:// address"),
        ("TOKENTXT", "to\nken", "it has a character that no header can have"),
    ] {
        let said = message(superlink(&without_gateway(&[(key, value)])));
        assert!(said.contains(words) && !said.contains("to\nken"), "{key}={value:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn an_empty_onegate_token_is_told_also_where_the_gateway_is_given() {
    let lack = |changes: &[(&str, &str)]| {
        let all = with(changes);
        let environment = Environment(|key: &str| all.get(key).cloned());
        onegate_lack(&Variables::new(vec![&environment]))
    };
    assert_eq!(lack(&[]), None, "a VM without OneGate");
    let endpoint = ("ONEGATE_ENDPOINT", "http://169.254.16.9:5030");
    assert_eq!(lack(&[endpoint, ("VMID", "7"), ("TOKENTXT", "abc=")]), None);
    let said = lack(&[endpoint, ("VMID", "7"), ("TOKENTXT", "")]).unwrap();
    assert!(
        said.starts_with("TOKENTXT is not set or empty: OneGate will never hear READY"),
        "{said}"
    );
    assert!(said.contains("TOKEN=YES"), "{said}");
}

#[test]
fn a_token_of_0_1_0_is_refused_with_the_command_that_makes_a_new_one() {
    let old = [("ONEAPP_ZONEMESH_TOKEN", "kntYxMidj3dFQp8G-YJbCa1tgHXuJcACjx4i2bSicjY")];
    let texts = [
        superlink(&with(&old)).err().map(|errors| errors.to_string()),
        supernode(&with(&old)).err().map(|errors| errors.to_string()),
    ];
    for text in texts {
        let text = text.expect("it is refused");
        assert!(text.contains("it has the form of 0.1.0, which pins no zone"), "{text}");
        assert!(text.contains("make a new one with `zonemesh key generate token`"), "{text}");
        assert!(!text.contains("kntYx"), "{text}");
    }
}

#[test]
fn the_context_is_read_after_the_environment_and_named_with_its_line() {
    let text = format!(
        "ETH0_IP='10.10.10.5'\nONEAPP_ZONEMESH_FEDERATION='research'\nONEAPP_ZONEMESH_GATEWAY='10.10.10.1'\n\
         ONEAPP_ZONEMESH_TOKEN='{TOKEN_EXAMPLE}'\nONEAPP_ZONEMESH_FLEET_PORT='x'\n\
         ONEGATE_ENDPOINT='http://169.254.16.9:5030/'\nVMID='7'\nTOKENTXT='abc='\nONEAPP_ZONEMESH_FLOWER_USER=''\n"
    );
    let context = ContextFile::parse(text.as_bytes(), Path::new("context.sh"));
    let read = |environment: &[(&str, &str)]| {
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        let lookup = |key: &str| environment.get(key).map(|value| (*value).to_owned());
        settings::superlink(Variables::new(vec![&Environment(lookup), &context]))
    };
    let message = message(read(&[]));
    assert!(message.starts_with("ONEAPP_ZONEMESH_FLEET_PORT (context.sh:5): \"x\""), "{message}");
    let fixed =
        [("ONEAPP_ZONEMESH_FLEET_PORT", "19092"), ("ONEAPP_ZONEMESH_FEDERATION", "health-eu")];
    let settings = read(&fixed).expect("the environment repairs the port");
    assert_eq!(settings.common.federation.as_str(), "health-eu");
    assert_eq!(settings.ports.fleet, Some(19092));
    assert_eq!(settings.common.flower_user, None);
    let onegate = settings.common.onegate.expect("all three values are there");
    assert_eq!((onegate.endpoint.as_str(), onegate.vm.as_str()), ("http://169.254.16.9:5030", "7"));
    assert!(!format!("{onegate:?}").contains("abc="));
}

#[test]
fn the_usual_values_in_the_table_are_those_in_force() {
    let of = |name: &str| {
        let name = format!("ONEAPP_ZONEMESH_{name}");
        KEYS.iter().find(|key| key.names().any(|known| known == name)).expect("it is in the table")
    };
    for era in COMPATIBILITY {
        let ports = era.generation.ports();
        for (name, port) in [
            ("FLEET_PORT", Some(ports.fleet)),
            ("CONTROL_PORT", ports.control),
            ("SERVERAPPIO_PORT", ports.serverappio),
            ("HEALTH_PORT", ports.health),
            ("CLIENTAPPIO_PORT", Some(ports.clientappio)),
        ] {
            let usual = port.map_or_else(|| "1.40".to_owned(), |port| port.to_string());
            assert!(of(name).default.contains(&usual), "{name}: {usual}");
        }
    }
    assert_eq!(of("FLOWER_VERSION").example, PREFERRED.to_string());
    let settings = superlink(&good()).expect("the settings are right");
    let state_dir = settings.common.state_dir.display().to_string();
    assert!(of("STATE_DIR").default.contains(&state_dir));
    assert!(of("FLOWER_BIN").default.contains(&settings.common.flower_bin.display().to_string()));
}

#[test]
fn every_key_that_a_fix_names_is_one_that_a_companion_reads_by_its_preferred_name() {
    let mut named = std::collections::BTreeSet::new();
    for code in zonemesh_core::finding::Code::ALL {
        let fix = zonemesh_core::finding::Fix::from(code.fix()).spelled();
        let words = fix.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        named.extend(words.filter(|word| word.starts_with("ONEAPP_")).map(ToOwned::to_owned));
    }
    assert!(named.len() > 5, "{named:?}");
    for key in named {
        let of_companions = KEYS.iter().filter(|known| known.readers != KeyReaders::Gateway);
        let is_read = of_companions.map(|known| known.name).any(|known| known == key);
        assert!(is_read, "no companion reads {key}");
    }
}

#[test]
fn a_superlink_finds_a_gateway_in_its_own_vm_and_a_supernode_does_not_look_there() {
    let none = ("ONEAPP_ZONEMESH_GATEWAY", "");
    let beside = ("ONEAPP_ZONEMESH_GATEWAY_STATUS", "/run/zonemesh-gateway/status.json");
    let settings = superlink(&with(&[none, beside])).unwrap();
    let GatewayPlace::SameVm(file) = &settings.mesh.gateway else { panic!("it is here") };
    assert_eq!(Some(file), settings.common.gateway_status.as_ref());
    // Who names one means it, and READY is of both all the same.
    let settings = superlink(&with(&[beside])).unwrap();
    assert!(matches!(settings.mesh.gateway, GatewayPlace::Given(_)));
    assert!(settings.common.gateway_status.is_some());
    let settings = supernode(&without_gateway(&[beside])).unwrap();
    let SuperLinkPlace::Mesh(mesh) = &settings.superlink else { panic!("it has a token") };
    assert!(matches!(mesh.gateway, GatewayPlace::Published(_)));
    assert_eq!(settings.common.gateway_status, None);
    let wrong = message(superlink(&with(&[("ONEAPP_ZONEMESH_GATEWAY_STATUS", "status.json")])));
    assert!(wrong.contains("ONEAPP_ZONEMESH_GATEWAY_STATUS"), "{wrong}");
    assert!(wrong.contains("an absolute path"), "{wrong}");
}

/// A SuperNode without a mesh, with these changes.
fn without_mesh(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let none = [("ONEAPP_ZONEMESH_GATEWAY", ""), ("ONEAPP_ZONEMESH_TOKEN", "")];
    let ca = zonemesh_pki::FederationCa::generate("lab", std::time::SystemTime::now());
    let ca = ca.expect("a CA is made");
    let ca = base64_of(ca.certificate_pem());
    let fixed = [
        ("ONEAPP_FL_SUPERLINK_ADDRESS", "10.10.10.5:9092"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", ca.as_str()),
    ];
    with(&[&none[..], &fixed, changes].concat())
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_supernode_with_an_address_and_a_ca_needs_no_token_and_no_gateway() {
    for (given, dialled) in [
        ("10.10.10.5:9092", "10.10.10.5:9092"),
        ("[2001:db8::5]:8000", "[2001:db8::5]:8000"),
        ("FL.example.org:9092", "fl.example.org:9092"),
    ] {
        let settings = supernode(&without_mesh(&[("ONEAPP_FL_SUPERLINK_ADDRESS", given)]));
        let SuperLinkPlace::Fixed(superlink) = settings.unwrap().superlink else { panic!() };
        assert_eq!(superlink.address.to_string(), dialled);
        assert!(superlink.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
    }
}

#[test]
fn what_is_wrong_with_a_superlink_without_a_mesh_is_refused_by_its_key() {
    let now = std::time::SystemTime::now();
    let ca = zonemesh_pki::FederationCa::generate("lab", now).unwrap();
    let (leaf, _key) = zonemesh_standin::leaf(&ca, &[zonemesh_pki::San::Dns("a.b".into())], now);
    let leaf = base64_of(&leaf);
    let with_key = base64_of(&format!("{}{}", ca.certificate_pem(), *ca.key_pem()));
    let key = base64_of(&ca.key_pem());
    let broken = base64_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (key, value, words) in [
        ("ONEAPP_ZONEMESH_TOKEN", TOKEN_EXAMPLE, "given beside ONEAPP_ZONEMESH_TOKEN"),
        ("ONEAPP_ZONEMESH_GATEWAY", "10.10.10.1", "given beside ONEAPP_ZONEMESH_GATEWAY"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", "", "ONEAPP_FL_SSL_CA_CERTFILE: is not set"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", "hunter2", "no base64 of a PEM text"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", leaf.as_str(), "is no CA certificate"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", with_key.as_str(), "\"[a private key]\" is not usable"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", key.as_str(), "\"[a private key]\" is not usable"),
        ("ONEAPP_FL_SSL_CA_CERTFILE", broken.as_str(), "ONEAPP_FL_SSL_CA_CERTFILE"),
        ("ONEAPP_FL_SUPERLINK_ADDRESS", "10.10.10.5", "it is no ADDRESS:PORT or NAME:PORT"),
        ("ONEAPP_FL_SUPERLINK_ADDRESS", "0.0.0.0:9092", "nobody can be dialled there"),
        ("ONEAPP_FL_SUPERLINK_ADDRESS", "", "and that is not set"),
    ] {
        let error =
            supernode(&without_mesh(&[(key, value)])).err().map(|errors| errors.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains(words), "{key}={value}: {error}");
    }
}

/// Of every kind, right and wrong.
const VALUES: [&str; 38] = [
    "../\u{7f} !",
    "YES",
    "NO",
    "perhaps",
    "0",
    "1",
    "20",
    "60",
    "9092",
    "70000",
    "-1",
    "0.5",
    "a b",
    "a-b",
    "a_b",
    "Health EU",
    "10.10.10.5",
    "0.0.0.0",
    "239.1.1.1",
    "10.10.10.5:9092",
    "10.10.10.5:0",
    "0.0.0.0:9092",
    "127.0.0.1:9092",
    "[2001:db8::5]:8000",
    "fl.example:9092",
    "/srv/x",
    "x/",
    ":memory:",
    "all",
    "GPU-1,MIG-2",
    "subprocess",
    "process",
    "onegate",
    "LOUD",
    "1.25.0",
    "1.25",
    "http://169.254.16.9:5030",
    "site='berlin' n=1",
];

#[test]
fn a_value_is_judged_outside_the_vm_as_its_companion_judges_it() {
    let onegate =
        [("ONEGATE_ENDPOINT", "http://169.254.16.9:5030"), ("VMID", "7"), ("TOKENTXT", "abc=")];
    let of_fixed = ["ONEAPP_FL_SUPERLINK_ADDRESS", "ONEAPP_FL_SSL_CA_CERTFILE"];
    let more = [TOKEN_EXAMPLE, "INFO", "json", "health-eu", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"];
    for key in KEYS {
        for value in VALUES.iter().chain(&more) {
            let given = [&onegate[..], &[(key.name, *value)]].concat();
            let refusals = match key.readers {
                readers if readers.has(Appliance::SuperLink) => superlink(&with(&given)).err(),
                readers if !readers.has(Appliance::SuperNode) => continue,
                _ if of_fixed.contains(&key.name) => supernode(&without_mesh(&given)).err(),
                _ => supernode(&with(&given)).err(),
            };
            let of_key = |error: &zonemesh_context::SettingError| error.key == key.name;
            let is_refused = refusals.is_some_and(|errors| errors.0.iter().any(of_key));
            assert_eq!(judged(key, value).is_err(), is_refused, "{}={value}", key.name);
        }
    }
}

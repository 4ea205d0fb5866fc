//! A bad `[[peer]]` section beside good ones: what a gateway starts with, and what is refused still.

use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Subject};

const BEFORE: &str = r#"[zone]
name = "berlin"
prefixes = ["10.10.10.0/24"]
[tunnel]
addresses = ["10.255.0.1"]
"#;
const MADRID: &str = r#"[[peer]]
zone = "madrid"
wireguard_key = "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY="
zone_key = "ed25519:hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI="
endpoints = ["203.0.113.50:51820"]
prefixes = ["10.10.11.0/24"]
tunnel_addresses = ["10.255.0.2"]
"#;
const PARIS: &str = r#"[[peer]]
zone = "paris"
wireguard_key = "VI/UIripDSWOUs98L2VJZG4ABLzugVw7wPhVDKEwxUc="
zone_key = "ed25519:KVNVkjqvVVT2Xny25RMyHw3C0zC1l+yLvsgDuBFCiAI="
prefixes = ["10.10.12.0/24"]
tunnel_addresses = ["10.255.0.3"]
"#;

fn with(peers: &[&str]) -> String {
    format!("{BEFORE}{}", peers.concat())
}

fn usable(text: &str) -> Config {
    Config::parse_usable(text, "zm.toml").expect("the rest can be used")
}

#[test]
fn a_bad_section_is_left_out_for_a_start_and_refused_by_a_check() {
    let bad = MADRID.replace("wN48+", "wN48");
    let text = with(&[&bad, PARIS]);
    let config = usable(&text);
    let zones: Vec<_> = config.peers.iter().map(|peer| peer.zone.as_str()).collect();
    assert_eq!(zones, ["paris"]);
    let [madrid] = &config.left_out[..] else { panic!("{:?}", config.left_out) };
    assert_eq!(madrid.zone.as_ref().map(|zone| zone.as_str()), Some("madrid"));
    // What it owns is known all the same, and barred.
    let networks: Vec<_> = madrid.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.10.11.0/24", "10.255.0.2/32"]);
    let finding = madrid.finding().unwrap();
    assert_eq!(
        (finding.code, &finding.subject),
        (Code::ConfigValue, &Subject::Setting("peer[0]".to_owned()))
    );
    assert!(finding.sentence().starts_with("zm.toml:8:17: peer[0].wireguard_key: "), "{finding}");
    assert!(finding.fix.as_str().contains("until then zone madrid is left out"), "{finding:?}");
    let refused = Config::parse(&text, "zm.toml").unwrap_err();
    assert_eq!(refused.iter().cloned().collect::<Vec<_>>(), madrid.mistakes);
}

#[test]
fn places_are_those_of_the_sections_that_are_left() {
    let bad = MADRID.replace("zone = \"madrid\"", "zone = \"Madrid!\"\nporto = 1");
    let text = with(&[&bad, PARIS]);
    let config = usable(&text);
    let line = 1 + text.lines().position(|line| line.contains("zone = \"paris\"")).unwrap();
    assert_eq!(config.place("peer[0].zone").unwrap().line, line);
    assert!(config.place("peer[1].zone").is_none());
    let [madrid] = &config.left_out[..] else { panic!("{:?}", config.left_out) };
    assert_eq!((madrid.zone.as_ref(), madrid.mistakes.len()), (None, 2));
    let fix = madrid.finding().unwrap().fix.as_str().to_owned();
    assert!(fix.contains("this [[peer]] is left out (2 mistakes)"), "{fix}");
}

#[test]
fn of_two_sections_that_contradict_each_other_the_later_is_left_out() {
    let twin = PARIS.replace("10.10.12.0/24", "10.10.11.128/25");
    let config = usable(&with(&[MADRID, &twin]));
    assert_eq!(config.peers[0].zone.as_str(), "madrid");
    assert_eq!(config.left_out[0].finding().unwrap().code, Code::ConfigConflict);
}

#[test]
fn nothing_is_left_out_of_a_file_with_another_mistake_or_without_a_good_section() {
    let bad = MADRID.replace("wN48+", "wN48");
    for text in [
        with(&[&bad]),
        with(&[&bad, &PARIS.replace("10.10.12.0/24", "10.10.12.0/33")]),
        with(&[&bad, PARIS, "[log]\nlevel = \"loud\"\n"]),
        with(&[&bad, PARIS, "[logs]\n"]),
        with(&[&bad, PARIS, "[["]),
        format!("peer = [1, 2]\n{BEFORE}"),
    ] {
        let told = Config::parse_usable(&text, "zm.toml").expect_err(&text);
        assert_eq!(told, Config::parse(&text, "zm.toml").unwrap_err());
    }
}

#[test]
fn a_peer_that_cannot_be_used_here_is_left_out_under_the_number_that_it_has_in_the_file() {
    let bad = MADRID.replace("wN48+", "wN48");
    let rome = PARIS.replace("paris", "rome").replace("VI/", "VJ/").replace("KVNV", "KVNX");
    let rome = rome.replace("10.10.12", "10.10.13").replace("10.255.0.3", "10.255.0.4");
    let text = with(&[&bad, PARIS, &rome]);
    let mut config = usable(&text);
    config.leave_out(0, "preshared_key_file", "no such file");
    let [peer] = &config.peers[..] else { panic!("{:?}", config.peers) };
    assert_eq!(peer.zone.as_str(), "rome");
    let subjects: Vec<_> =
        config.left_out.iter().map(|peer| peer.finding().unwrap().subject).collect();
    let sections = ["peer[0]", "peer[1]"].map(|section| Subject::Setting(section.to_owned()));
    assert_eq!(subjects, sections);
    let line = 1 + text.lines().position(|line| line.contains("zone = \"rome\"")).unwrap();
    assert_eq!(config.place("peer[0].zone").unwrap().line, line);
}

const OFFICE: &str = r#"[[wireguard_peer]]
name = "office"
public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
allowed_ips = ["10.10.20.0/24"]
"#;
const DEPOT: &str = r#"[[wireguard_peer]]
name = "depot"
public_key = "2Fb9CKZr7BpYcW0dUqPqm8sTl7ZrJ0hBqgC3tYh1nXk="
allowed_ips = ["10.10.21.0/24"]
"#;

#[test]
fn a_bad_wireguard_peer_cuts_off_neither_a_zone_nor_another_of_its_kind() {
    let bad = OFFICE.replace("xTIBA5", "xTIB");
    for others in [&[MADRID, bad.as_str(), DEPOT][..], &[MADRID, bad.as_str()]] {
        let text = with(others);
        let config = usable(&text);
        assert_eq!(config.peers.len(), 1);
        assert_eq!(config.wireguard_peers.len(), others.len() - 2);
        let [office] = &config.left_out[..] else { panic!("{:?}", config.left_out) };
        assert!(!office.is_zone());
        let networks: Vec<_> = office.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.10.20.0/24"], "barred all the same");
        let finding = office.finding().unwrap();
        assert_eq!(finding.subject, Subject::Setting("wireguard_peer[0]".to_owned()));
        assert!(finding.fix.as_str().contains("the WireGuard peer office is left out"));
        Config::parse(&text, "zm.toml").unwrap_err();
    }
    let config = usable(&with(&[MADRID, &bad, DEPOT]));
    let place = config.place("wireguard_peer[0].name").unwrap();
    assert_eq!(place.line, 18, "that of the depot, which is the first that is used");
}

#[test]
fn what_only_this_machine_can_say_leaves_out_the_same_way() {
    let mut config = usable(&with(&[MADRID, OFFICE, DEPOT]));
    config.leave_out_wireguard_peer(1, "preshared_key_file", "it is not there");
    config.leave_out_wireguard_peer(0, "public_key", "found this gateway's own WireGuard key");
    assert!(config.wireguard_peers.is_empty());
    let keys: Vec<_> = config.left_out.iter().map(|one| one.mistakes[0].key.as_str()).collect();
    assert_eq!(keys, ["wireguard_peer[1].preshared_key_file", "wireguard_peer[0].public_key"]);
}

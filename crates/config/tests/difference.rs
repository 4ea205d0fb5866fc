//! Two valid files: which keys differ, and when each of them counts.

use std::path::Path;

use zonemesh_config::{Config, SECTIONS, TakesEffect};

const EXAMPLE: &str = include_str!("../../../configs/zonemesh.example.toml");

fn parse(text: &str) -> Config {
    Config::parse(text, "zm.toml").expect("the file is valid")
}

fn shown(before: &str, new: &str) -> Vec<String> {
    parse(before).difference(&parse(new)).iter().map(ToString::to_string).collect()
}

#[test]
fn comments_order_and_spelling_are_no_difference() {
    let spelled =
        format!("# mine\n{EXAMPLE}").replace("= 51820", "= 51_820").replace("25s", "25000ms");
    assert_eq!(shown(EXAMPLE, &spelled), [] as [&str; 0]);
    let one = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
    let f = |name: &str| format!("[[federation]]\nname = \"{name}\"\n");
    assert_eq!(
        shown(&format!("{one}{}{}", f("a"), f("b")), &format!("{one}{}{}", f("b"), f("a"))),
        [] as [&str; 0]
    );
}

/// Another value for a key of the example that has one.
fn other(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    Some(match (section, key) {
        ("zone", "name") => ("name = \"berlin\"\n", "name = \"bonn\"\n"),
        ("zone", "prefixes") => ("[\"10.10.10.0/24\"]", "[\"10.10.10.0/24\", \"10.20.0.0/16\"]"),
        ("gateway", "name") => ("\"berlin-gw1\"", "\"berlin-gw2\""),
        ("gateway", "admin_socket") => ("/run/zonemesh/admin.sock\"\n", "/run/zm.sock\"\n"),
        ("gateway", "wg_sockets") => ("\"/var/run/wireguard\"\n", "\"off\"\n"),
        ("http", "listen") => ("\"127.0.0.1:9824\"\n", "\"127.0.0.1:9825\"\n"),
        ("gateway", "endpoints") => ("[\"203.0.113.1:51820\"]", "[\"203.0.113.2:51820\"]"),
        ("tunnel", "interface") => ("\"zm0\"\n", "\"zm1\"\n"),
        ("tunnel", "addresses") => ("[\"10.255.0.1\"]", "[\"10.255.0.9\"]"),
        ("tunnel", "mtu") => ("mtu = 1420", "mtu = 1400"),
        ("tunnel", "listen_port") => ("listen_port = 51820", "listen_port = 51819"),
        ("tunnel", "lanes") => ("lanes = 1\n", "lanes = 2\n"),
        ("tunnel", "realtime") => ("realtime = true", "realtime = false"),
        ("keepalive", "wireguard") => ("wireguard = \"25s\"", "wireguard = \"20s\""),
        ("keepalive", "grpc_interval") => ("\"60s\"\n", "\"61s\"\n"),
        ("keepalive", "grpc_timeout") => ("\"20s\"\n", "\"21s\"\n"),
        ("probes", "interval") => ("interval = \"1s\"", "interval = \"2s\""),
        ("registry", "port") => ("port = 51821", "port = 51818"),
        ("registry.etcd", "prefix") => ("\"/zonemesh\"\n", "\"/other\"\n"),
        ("mesh", "neighbours") => ("neighbours = 6", "neighbours = 7"),
        ("join", "listen") => ("\"0.0.0.0:51823\"\n", "\"0.0.0.0:51824\"\n"),
        ("local_api", "listen") => ("\"10.10.10.1:51822\"", "\"10.10.10.1:51832\""),
        ("local_api", "onegate_view") => ("\"10.10.10.1:5030\"", "\"10.10.10.1:5031\""),
        ("local_api.token", "expires") => ("2027-01-01", "2028-01-01"),
        ("federation", "extra_sans") => (", \"198.51.100.20\"]", "]"),
        ("peer", "endpoints") => ("[\"203.0.113.50:51820\", ", "["),
        ("peer", "prefixes") => ("[\"10.10.11.0/24\"]", "[\"10.10.12.0/24\"]"),
        ("wireguard_peer", "allowed_ips") => ("[\"10.10.20.0/24\"]", "[\"10.10.21.0/24\"]"),
        ("wireguard_peer", "endpoint") => ("\"203.0.113.70:51820\"", "\"203.0.113.71:51820\""),
        ("wireguard_peer", "persistent_keepalive") => {
            ("persistent_keepalive = \"25s\"", "persistent_keepalive = \"24s\"")
        }
        ("log", "level") => ("level = \"info\"", "level = \"warn\""),
        ("log", "format") => ("format = \"text\"", "format = \"json\""),
        _ => return None,
    })
}

#[test]
fn each_key_is_told_by_its_dotted_name_and_counts_when_the_table_says() {
    let mut seen = 0;
    for section in SECTIONS {
        for key in section.keys {
            let Some((from, to)) = other(section.name, key.name) else { continue };
            assert!(EXAMPLE.contains(from), "{from}");
            let found = parse(EXAMPLE).difference(&parse(&EXAMPLE.replacen(from, to, 1)));
            let inside = match section.name {
                "peer" => "peer[madrid]",
                "wireguard_peer" => "wireguard_peer[office]",
                "federation" => "federation[health-eu]",
                "local_api.token" => "local_api.token[superlink-vm]",
                once => once,
            };
            let [one] = &found[..] else { panic!("{}.{}: {found:?}", section.name, key.name) };
            assert_eq!(one.key, format!("{inside}.{}", key.name));
            assert_eq!(one.effect, key.effect, "{}", one.key);
            seen += 1;
        }
    }
    assert_eq!(seen, 32);
}

#[test]
fn sections_come_and_go_by_their_names() {
    let without = |from: &str, to: &str| {
        let line = |heading: &str| EXAMPLE.find(&format!("\n{heading}\n")).unwrap() + 1;
        let (start, end) = (line(from), line(to));
        format!("{}{}", &EXAMPLE[..start], &EXAMPLE[end..])
    };
    let fewer = without("[[peer]]", "[[wireguard_peer]]");
    assert_eq!(shown(EXAMPLE, &fewer), ["peer[madrid] (removed)"]);
    assert_eq!(shown(&fewer, EXAMPLE), ["peer[madrid] (added)"]);
    assert_eq!(shown(EXAMPLE, &without("[registry.etcd]", "[mesh]")), ["registry.etcd (removed)"]);
    assert_eq!(shown(&without("[local_api]", "[[federation]]"), EXAMPLE), ["local_api (added)"]);
    let renamed = EXAMPLE.replace("name = \"superlink-vm\"", "name = \"vm-1\"");
    let told = ["local_api.token[superlink-vm] (removed)", "local_api.token[vm-1] (added)"];
    assert_eq!(shown(EXAMPLE, &renamed), told);
    let all = parse(EXAMPLE).difference(&parse(&fewer));
    assert!(all.iter().all(|one| one.effect == TakesEffect::OnReload));
}

#[test]
fn a_file_that_is_broken_still_says_where_its_gateway_keeps_its_state() {
    let folder = |text: &str| Config::state_dir_of(text.as_bytes());
    let named = "[gateway]\nstate_dir = \"/srv/zm\"\n";
    assert_eq!(folder(named), Path::new("/srv/zm"));
    assert_eq!(folder(&format!("{named}[zone]\nname = \"Berlin !\n")), Path::new("/srv/zm"));
    assert_eq!(folder(&format!("[zone]\nname = 1 2\n{named}")), Path::new("/srv/zm"));
    for none in ["", "[gateway]\nstate_dir = 7\n", "state_dir = \"/srv/zm\"", "\u{0}\u{7f}"] {
        assert_eq!(folder(none), Path::new("/var/lib/zonemesh"), "{none:?}");
    }
    assert_eq!(Config::state_dir_of(&[0xff; 64]), Path::new("/var/lib/zonemesh"));
}

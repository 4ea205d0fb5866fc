//! A changed configuration file: refused with its places, and compared with what is in force.

use crate::daemon::{Daemon, Paris};
use crate::{ask, run, stderr, stdout};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/berlin.toml");

#[test]
fn a_refused_reload_is_7_and_names_the_place_as_config_check_does() {
    let daemon = Daemon::start(Paris::Up);
    let output = ask(&daemon.socket(), &["reload"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
    let text = "/etc/zonemesh/zonemesh.toml:7:9: log.level: found \"loud\"; expected one of error, \
        warn, info, debug, trace; did you mean \"info\"?\n\
        refused: nothing has changed, what was in force stays\n";
    assert_eq!(stdout(&output), text);
    let output = ask(&daemon.socket(), &["reload", "-o", "json"]);
    assert_eq!(output.status.code(), Some(7));
    let said: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(said["schema"], "zonemesh/reload/v1");
    assert_eq!((&said["applied"], &said["errors"][0]["line"]), (&false.into(), &7.into()));
    assert_eq!(run(&["--socket", "/nowhere/admin.sock", "reload"]).status.code(), Some(3));
}

#[test]
fn a_file_is_compared_with_what_is_in_force_if_its_daemon_runs_here() {
    let daemon = Daemon::start(Paris::Up);
    let checked = stdout(&ask(&daemon.socket(), &["config", "check", EXAMPLE, "--wide"]));
    assert!(checked.ends_with("\ndiffers: tunnel.mtu: changed\n"), "{checked}");
    let json = ["config", "check", EXAMPLE, "-o", "json"];
    let said: serde_json::Value =
        serde_json::from_str(&stdout(&ask(&daemon.socket(), &json))).unwrap();
    assert_eq!(said["differs"][0]["key"], "tunnel.mtu");
    let alone: serde_json::Value = serde_json::from_str(&stdout(&run(&json))).unwrap();
    assert_eq!((&alone["valid"], &alone["differs"]), (&true.into(), &serde_json::Value::Null));
}

#[test]
fn a_key_that_a_reload_refuses_is_named_and_a_file_of_another_gateway_is_told_as_such() {
    let (daemon, folder) = (Daemon::start(Paris::Up), tempfile::tempdir().unwrap());
    let file = folder.path().join("zm.toml");
    let check = |comment: &str| {
        let text = std::fs::read_to_string(EXAMPLE).unwrap();
        std::fs::write(&file, format!("# {comment}\n{text}")).unwrap();
        let output = ask(&daemon.socket(), &["config", "check", "--wide", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "the file is valid");
        stdout(&output)
    };
    let said = check("of a zone that was renamed");
    let end = "\ndiffers: zone.name: changed, takes `systemctl restart zonemeshd`\n\
        differs: tunnel.mtu: changed\n\
        zonemesh reload would refuse this file: zone.name cannot change while the gateway runs\n";
    assert!(said.ends_with(end), "{said}");
    let said = check("of another gateway");
    assert!(said.contains("\nnote: the gateway that runs here has another zone.name"), "{said}");
    assert!(!said.contains("differs"), "{said}");
}

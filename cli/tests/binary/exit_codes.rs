//! Exit codes and the words that go with them.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use zonemesh_api::v1::{Counter, Finding, FindingSeverity};

use crate::answers::has_shape;
use crate::daemon::{Answers, Daemon, Paris};
use crate::{ask, run, stderr, stdout, zonemesh};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/berlin.toml");

#[test]
fn a_missing_socket_is_3_and_names_the_next_command() {
    let output = run(&["--socket", "/nowhere/admin.sock", "status"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("/nowhere/admin.sock"), "{said}");
    assert!(said.ends_with("next: systemctl status zonemeshd\n"), "{said}");
}

#[test]
fn a_failure_is_one_json_object_for_who_asked_for_json() {
    let output = run(&["--socket", "/nowhere/admin.sock", "status", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("N220"));
    let expected = "code: string\nerror: string\nexit: number\nmeaning: string\nnext: string\n\
        schema: string";
    has_shape(&stdout(&output), "zonemesh/error/v1", expected);
    let told = run(&["config", "check", "/nowhere.toml", "-o", "json"]);
    let said: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
    assert_eq!((&said["exit"], &said["code"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!(said["next"], "correct the path");
    assert!(said["error"].as_str().unwrap().contains("/nowhere.toml: No such file"), "{said}");
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &["statuss"][..],
        &[],
        &["-o", "xml", "status"],
        &["key", "generate", "zone"],
        &["superlink"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    let output = run(&["key", "public", "/tmp/private.key"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--kind wireguard"));
}

#[test]
fn a_mistyped_path_is_2_in_every_command_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("a.key");
    let key = key.to_str().unwrap();
    assert_eq!(run(&["key", "generate", "authority", "--out", key]).status.code(), Some(0));
    let here = folder.path().to_str().unwrap();
    let founder = "berlin=10.10.10.0/24@203.0.113.1:51820";
    for args in [
        &["config", "check", "/nowhere/x"][..],
        &["config", "check", here],
        &["cert", "show", "/nowhere/x"],
        &["key", "public", "/nowhere/x", "--kind", "zone"],
        &["key", "generate", "zone", "--out", "/nowhere/x"],
        &["zone", "join", "/nowhere/x"],
        &["zone", "invite", "madrid", "--prefix", "10.10.11.0/24", "--out", "/nowhere/x"],
        &["mesh", "found", "/nowhere/x"],
        &["mesh", "init", "--out", "/nowhere/x", "--founder", founder, "--owner-key", key],
        &["mesh", "init", "--owner-key", "/nowhere/x"],
        &["trust", "show", "/nowhere/x"],
        &["trust", "import", "/nowhere/x"],
        &["trust", "export", "--out", "/nowhere/x"],
        &["trust", "sign", "/nowhere/x", "--key", key, "--out", "/nowhere/y"],
        &["state", "restore", "/nowhere/x"],
        &["state", "backup", "/nowhere/x", "--state-dir", "/nowhere/y"],
        &["oneflow", "check", "/nowhere/x"],
        &["oneflow", "render", "/nowhere/x"],
        &["oneflow", "render", "coordinator", "--zone", "/nowhere/x"],
    ] {
        let output = run(args);
        let said = format!("{}{}", stdout(&output), stderr(&output));
        if args.contains(&"--owner-key") && args.contains(&key) {
            // Its file is there: that is told first, and is 6.
            assert_eq!(output.status.code(), Some(6), "{args:?}: {said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("correct the path") || said.contains("name another"), "{said}");
    }
}

#[test]
fn a_number_that_is_none_is_told_in_our_words() {
    for args in [
        &["wait", "--timeout", "soon"][..],
        &["mesh", "init", "--owners", "x"],
        &["mesh", "init", "--threshold", "17"],
        &["authority", "threshold", "0"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = stderr(&output);
        assert!(said.contains("a whole number from "), "{args:?}: {said}");
        assert!(!said.contains("invalid digit"), "{said}");
    }
    let args =
        ["zone", "invite", "x", "--prefix", "10.0.0.0/24", "--tunnel-ip", "10.0", "--out", "y"];
    let said = stderr(&run(&args));
    assert!(said.contains("write an IP address, such as 10.255.0.3"), "{said}");
}

#[test]
fn the_man_page_lists_every_command() {
    let page = include_str!("../../../configs/man/zonemesh.1");
    let (_, listed) = page.split_once(".SH COMMANDS\n").expect("it has the section");
    let (listed, _) = listed.split_once(".SH OPTIONS\n").expect("the next section");
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix(".B ")).collect();
    let help = stdout(&run(&["--help"]));
    let (_, commands) = help.split_once("Commands:\n").expect("it lists commands");
    let (commands, _) = commands.split_once("\n\n").expect("then options");
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let told: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert_eq!(listed, told);
}

#[test]
fn help_and_version_are_0() {
    assert_eq!(stdout(&run(&["--version"])), concat!("zonemesh ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("3 daemon unreachable"));
}

#[test]
fn a_degraded_mesh_is_1_and_a_sound_one_0() {
    let sound = Daemon::start(Paris::Up);
    assert_eq!(ask(&sound.socket(), &["status"]).status.code(), Some(0));
    let degraded = Daemon::start(Paris::Down);
    for args in [&["status"][..], &["status", "-o", "json"]] {
        assert_eq!(ask(&degraded.socket(), args).status.code(), Some(1), "{args:?}");
    }
    assert_eq!(ask(&degraded.socket(), &["peers"]).status.code(), Some(0));
}

#[test]
fn waiting_ends_well_with_the_tunnels_and_with_9_and_a_name_without() {
    let up = Daemon::start(Paris::Up);
    for args in [&["wait"][..], &["wait", "madrid", "paris", "--timeout", "30"]] {
        assert_eq!(ask(&up.socket(), args).status.code(), Some(0), "{args:?}");
    }
    let down = Daemon::start(Paris::Down);
    let late = ask(&down.socket(), &["wait", "--timeout", "1"]);
    assert_eq!(late.status.code(), Some(9));
    let said = stderr(&late);
    assert!(said.contains("after 1 s no tunnel is up to: paris"), "{said}");
    assert!(said.ends_with("next: zonemesh status\n"), "{said}");
    assert_eq!(ask(&down.socket(), &["wait", "madrid", "--timeout", "1"]).status.code(), Some(0));
    let unknown = ask(&up.socket(), &["wait", "rome", "--timeout", "0"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = stderr(&unknown);
    assert!(said.contains("after 0 s no such zone is known here: rome"), "{said}");
    assert!(said.ends_with("next: zonemesh zone list\n"), "{said}");
    let nobody = run(&["--socket", "/nowhere/admin.sock", "wait", "--timeout", "1"]);
    assert_eq!(nobody.status.code(), Some(3));
}

#[test]
fn a_plain_wireguard_peer_is_waited_for_only_by_its_name() {
    let mut answers = Answers::new(Paris::Down);
    for peer in answers.peers.peers.iter_mut().filter(|peer| peer.zone == "paris") {
        peer.gateway = "wireguard_peer".to_owned();
    }
    let daemon = Daemon::saying(answers);
    let exit = |args: &[&str]| ask(&daemon.socket(), args).status.code();
    assert_eq!(exit(&["wait", "--timeout", "0"]), Some(0));
    assert_eq!(exit(&["wait", "paris", "--timeout", "0"]), Some(9));
}

/// A gateway with one finding, of this severity.
fn with_a_finding(severity: FindingSeverity) -> Daemon {
    let mut answers = Answers::new(Paris::Up);
    answers.status.findings[0].set_severity(severity);
    Daemon::saying(answers)
}

#[test]
fn status_and_show_end_with_1_beside_every_warning_and_with_0_beside_none() {
    for (severity, code, state) in [
        (FindingSeverity::Note, 0, "ok"),
        (FindingSeverity::Degraded, 1, "degraded"),
        (FindingSeverity::Down, 1, "degraded"),
        (FindingSeverity::Unspecified, 1, "degraded"),
    ] {
        let daemon = with_a_finding(severity);
        for args in [&["status"][..], &["show", "madrid"]] {
            let shown = ask(&daemon.socket(), args);
            let said = stdout(&shown);
            let told = said.lines().any(|line| line.contains("N216 madrid: nothing was sent"));
            let warned = said.lines().any(|line| line.starts_with('!'));
            assert!(told && warned == (code == 1), "{severity:?}: {said}");
            assert_eq!(shown.status.code(), Some(code), "{severity:?}");
        }
        let json = stdout(&ask(&daemon.socket(), &["status", "-o", "json"]));
        assert!(json.contains(&format!(r#""state": "{state}""#)), "{severity:?}: {json}");
        let paris = ask(&daemon.socket(), &["show", "paris"]);
        assert_eq!(paris.status.code(), Some(0), "the finding is madrid's");
    }
}

#[test]
fn show_of_a_tunnel_that_is_not_up_is_1_also_where_nothing_is_found_about_its_zone() {
    let mut answers = Answers::new(Paris::Down);
    answers.status.findings.clear();
    let shown = ask(&Daemon::saying(answers).socket(), &["show", "paris"]);
    let said = stdout(&shown);
    assert!(said.ends_with("\n! no tunnel is up to paris  -> zonemesh status\n"), "{said}");
    assert_eq!(shown.status.code(), Some(1), "{said}");
}

#[test]
fn waiting_at_a_gateway_that_is_in_no_mesh_is_1_and_says_so() {
    let mut answers = Answers::new(Paris::Up);
    answers.peers.peers.clear();
    let alone = answers.clone();
    let founder = ask(&Daemon::saying(alone).socket(), &["wait", "--timeout", "0"]);
    assert_eq!(founder.status.code(), Some(0), "there is nobody to wait for");
    answers.status.findings = vec![Finding {
        code: "P321".into(),
        severity: FindingSeverity::Degraded.into(),
        subject_kind: "here".into(),
        ..Finding::default()
    }];
    let nowhere = ask(&Daemon::saying(answers).socket(), &["wait", "--timeout", "0"]);
    let said = stderr(&nowhere);
    assert_eq!(nowhere.status.code(), Some(1), "{said}");
    assert!(said.starts_with("zonemesh: P321 after 0 s there is no tunnel: nothing is founded"));
    assert!(said.contains("\nnext: `zonemesh zone join FILE` with an invitation"), "{said}");
}

#[test]
fn in_no_mesh_status_tells_the_steps_of_the_gateways_companion() {
    let mut answers = Answers::new(Paris::Up);
    answers.status.findings = vec![Finding {
        code: "P321".into(),
        severity: FindingSeverity::Degraded.into(),
        subject_kind: "here".into(),
        sentence: "nothing is founded or joined here".into(),
        fix: "`zonemesh zone join FILE` with an invitation".into(),
        ..Finding::default()
    }];
    let daemon = Daemon::saying(answers);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status.json");
    let status = || {
        let mut command = zonemesh();
        command.env("ZONEMESH_GATEWAY_STATUS", &file).arg("--socket").arg(daemon.socket());
        stdout(&command.args(["status", "--wide"]).output().unwrap())
    };
    assert!(status().contains("zonemesh zone join FILE"), "{}", status());
    let report = "{\"schema\": \"zonemesh/gateway/v1\", \"ready\": false, \"missing\": \"it was used\", \
        \"code\": \"T420\", \"fix\": \"invite it anew in zone berlin\"}";
    std::fs::write(&file, report).unwrap();
    let said = status();
    assert!(said.contains("T420 it was used") && said.contains("-> invite it anew in"), "{said}");
    assert!(!said.contains("zone join FILE"), "{said}");
}

#[test]
fn what_was_refused_since_the_start_calls_nobody() {
    let mut answers = Answers::new(Paris::Up);
    let counter = |name: &str| vec![Counter { name: name.into(), count: 3 }];
    answers.status.refused = counter("vm_writes");
    answers.status.registry.as_mut().expect("it has a registry").rejected = counter("malformed");
    let shown = ask(&Daemon::saying(answers).socket(), &["status"]);
    let said = stdout(&shown);
    assert!(
        said.contains("\nrecords and streams refused since the start: malformed 3\n"),
        "{said}"
    );
    assert!(said.contains("\nrefused as too much since the start: vm_writes 3\n"), "{said}");
    assert_eq!(shown.status.code(), Some(0));
}

#[test]
fn a_daemon_that_does_not_answer_is_9() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = ask(&socket, &["peers"]);
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    assert!(stderr(&output).contains("did not answer in 5 s"));
}

#[test]
fn a_user_with_too_many_connections_is_told_that_and_5() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // It closes each, as a daemon that has 16 of this user already.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.unwrap().write_all(&zonemesh_api::crowd::refusal()));
        }
    });
    for args in [&["status"][..], &["peers"], &["zone", "list"], &["reload"]] {
        let output = ask(&socket, args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {said}");
        let expected = "zonemesh: N218 too many connections of this user to the daemon are open\n";
        assert!(said.starts_with(expected) && said.contains("\nnext: ss -xp"), "{said}");
    }
}

/// In little memory: what is read without bound takes all there is.
#[test]
fn a_file_without_an_end_is_no_configuration() {
    let script = "ulimit -v 2000000; exec \"$0\" config check /dev/zero";
    let exe = env!("CARGO_BIN_EXE_zonemesh");
    let output = Command::new("sh").args(["-c", script, exe]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stdout(&output).contains("found more than 1 MiB"), "{}", stdout(&output));
}

#[test]
fn a_valid_configuration_is_0_and_a_bad_one_7_with_every_mistake() {
    let output = run(&["config", "check", EXAMPLE, "--wide"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("berlin.toml: valid (zone berlin, peers madrid, paris)\n"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[zone]\nnam = \"berlin\"\nprefixes = []\n").unwrap();
    let output = run(&["config", "check", "--wide", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("bad.toml:2:1: zone.nam: unknown key")));
    let output = run(&["config", "check", "-o", "json", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stdout(&output).starts_with("{\n  \"schema\": \"zonemesh/config-check/v1\",\n"));
    assert_eq!(run(&["config", "check", "/nowhere.toml"]).status.code(), Some(2));
    let by_default = run(&["config", "check"]);
    assert_eq!(by_default.status.code(), Some(7));
    assert!(stderr(&by_default).contains("/etc/zonemesh/zonemesh.toml"), "{}", stderr(&by_default));
}

#[test]
fn a_peer_that_is_oneself_is_found_with_the_key_files() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("wireguard.key");
    let zone = folder.path().join("zone.key");
    let generate = |kind, file: &std::path::Path| {
        let output = run(&["key", "generate", kind, "--out", file.to_str().unwrap()]);
        stdout(&output).trim().to_owned()
    };
    let (own, _) = (generate("wireguard", &key), generate("zone", &zone));
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let text = text
        .replace("wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=", &own)
        .replace("[gateway]", &format!("[gateway]\nstate_dir = \"{}\"", folder.path().display()));
    let file = folder.path().join("zm.toml");
    std::fs::write(&file, text).unwrap();
    let output = run(&["config", "check", "--wide", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    let said = stdout(&output);
    assert!(
        said.contains("peer[0].wireguard_key: found this gateway's own WireGuard key"),
        "{said}"
    );
}

#[test]
fn a_key_file_without_a_key_is_a_mistake_and_a_missing_one_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let (file, psk) = (folder.path().join("zm.toml"), folder.path().join("madrid.psk"));
    let text = include_str!("../../../configs/zonemesh.example.toml");
    std::fs::write(&file, text.replace("/etc/zonemesh/madrid.psk", psk.to_str().unwrap())).unwrap();
    let check = || run(&["config", "check", "--wide", file.to_str().unwrap()]);
    let output = check();
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("madrid.psk is not here; the daemon needs it"));
    let state = folder.path().to_str().unwrap();
    let here = std::fs::read_to_string(&file).unwrap().replace("/var/lib/zonemesh", state);
    let own = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n";
    std::fs::write(folder.path().join("wireguard.key"), own).unwrap();
    let on_its_gateway = folder.path().join("here.toml");
    std::fs::write(&on_its_gateway, here).unwrap();
    let output = run(&["config", "check", "--wide", on_its_gateway.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7), "{}", stdout(&output));
    assert!(stdout(&output).contains("madrid.psk is not there; expected a key file"));
    std::fs::write(&psk, "secret, but no key").unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(7));
    assert!(stdout(&output).contains("peer[0].preshared_key_file: "), "{}", stdout(&output));
    assert!(!stdout(&output).contains("secret, but"));
}

/// A pipe was waited for, and a folder was said to be closed to this user.
#[test]
fn a_key_file_that_is_no_file_is_a_mistake_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("psk");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let text = include_str!("../../../configs/zonemesh.example.toml");
    let text = text.replace("/etc/zonemesh/madrid.psk", pipe.to_str().unwrap());
    let text = text.replace("\"/var/lib/zonemesh/wireguard.key\"", "\"/\"");
    let file = folder.path().join("zm.toml");
    std::fs::write(&file, text).unwrap();
    let output = run(&["config", "check", "--wide", file.to_str().unwrap()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(7), "{said}");
    let of_pipe = format!("peer[0].preshared_key_file: {} is a pipe, and no file", pipe.display());
    assert!(said.contains(&of_pipe), "{said}");
    assert!(said.contains("tunnel.private_key_file: / is a folder, and no file"), "{said}");
    assert!(!said.contains("may not read"), "{said}");
}

#[test]
fn what_is_no_certificate_is_4() {
    let output = run(&["cert", "show", EXAMPLE]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("berlin.toml: no certificate found"), "{}", stderr(&output));
    assert_eq!(run(&["cert", "show", "/nowhere.pem"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let daemon = Daemon::start(Paris::Up);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = zonemesh();
    command.arg("--socket").arg(daemon.socket()).arg("peers").stdout(writer);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_socket_without_permission_is_6_for_a_user() {
    let daemon = Daemon::start(Paris::Up);
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(daemon.folder(), closed).unwrap();
    let code = ask(&daemon.socket(), &["peers"]).status.code();
    std::fs::set_permissions(daemon.folder(), std::fs::Permissions::from_mode(0o700)).unwrap();
    // Root passes every mode: then the daemon answers.
    assert!(matches!(code, Some(6) | Some(0)), "{code:?}");
}

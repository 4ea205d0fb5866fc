//! Every file in `configs/` is read: settings by the reader itself, units by a small parser; what
//! else is there goes into a package.
//!
//! A key of the schema that the annotated example does not show, or shows without its default,
//! fails here; so does a unit that starts a program which is not ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zonemesh_config::{Config, SECTIONS, SectionCount};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn files(extension: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder())
        .expect("configs/ is there")
        .map(|entry| entry.expect("it can be listed").path());
    let wanted = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    wanted
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("it can be read"))
        })
        .collect()
}

#[test]
fn every_settings_file_is_valid() {
    let files = files("toml");
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["berlin.toml", "madrid.toml", "paris.toml", "zonemesh.example.toml"]
    );
    for (name, text) in files {
        Config::parse(&text, &name).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_quick_start_zones_know_each_other() {
    let files = files("toml");
    let zones = ["berlin", "madrid", "paris"]
        .map(|zone| Config::parse(&files[&format!("{zone}.toml")], zone).unwrap());
    for own in &zones {
        for other in zones.iter().filter(|other| other.zone.name != own.zone.name) {
            let seen = own.peers.iter().find(|peer| peer.zone == other.zone.name).unwrap();
            assert_eq!(seen.prefixes, other.zone.prefixes);
            assert_eq!(seen.tunnel_addresses, other.tunnel.addresses);
            assert_eq!(seen.endpoints, other.gateway.endpoints);
        }
    }
    let key_of_paris = |own: &Config| own.peers.last().unwrap().zone_key;
    assert_eq!(key_of_paris(&zones[0]), key_of_paris(&zones[1]));
}

/// What the comment above a line says of the key in it: `required`, or its default.
fn told_default(text: &str, line: usize) -> Option<String> {
    let above: Vec<&str> = text.lines().take(line - 1).collect();
    let comment = above.iter().rev().take_while(|line| line.starts_with("# "));
    let mut lines: Vec<&str> = comment.map(|line| line.trim_start_matches("# ")).collect();
    lines.reverse();
    let comment = lines.join(" ");
    match comment.split_once("Default: ") {
        Some((_, default)) => Some(default.trim_end_matches('.').to_owned()),
        None => comment.contains("Required").then(|| "required".to_owned()),
    }
}

#[test]
fn every_key_of_the_table_stands_in_the_example_with_its_default_and_is_read() {
    let text = &files("toml")["zonemesh.example.toml"];
    let config = Config::parse(text, "zonemesh.example.toml").unwrap();
    for section in SECTIONS {
        let heading = section.heading();
        assert!(text.lines().any(|line| line == heading), "{heading} is missing");
        let path = match section.count {
            SectionCount::Many => format!("{}[0]", section.name),
            SectionCount::Once => section.name.to_owned(),
        };
        for key in section.keys.iter().filter(|key| !["token", "etcd"].contains(&key.name)) {
            let path = format!("{path}.{}", key.name);
            let place = config.place(&path);
            let place = place.unwrap_or_else(|| panic!("{path} is not in the example"));
            let told = told_default(text, place.line);
            assert_eq!(told.as_deref(), Some(key.shown_default()), "{path}");
        }
    }
}

/// The sections of a systemd unit and their `Key=value` lines.
fn unit(text: &str) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let mut sections: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = Some(name);
            sections.entry(name).or_default();
        } else {
            let entry = line.split_once('=').expect("a line of a unit is Key=value");
            let section = current.expect("a unit begins with a section");
            sections.entry(section).or_default().push(entry);
        }
    }
    sections
}

fn values<'u>(unit: &'u BTreeMap<&str, Vec<(&str, &'u str)>>, key: &str) -> Vec<&'u str> {
    let all = unit.values().flatten();
    all.filter(|(found, _)| *found == key).map(|(_, value)| *value).collect()
}

/// Those that end by themselves.
const WAIT: &str = "zonemesh-wait-ready.service";
const GUARD: &str = "zonemesh-guard.service";

#[test]
fn the_unit_that_waits_for_the_tunnels_asks_the_tool_and_is_started_by_whoever_needs_it() {
    let text = &files("service")[WAIT];
    let unit = unit(text);
    assert_eq!(unit.keys().collect::<Vec<_>>(), [&"Service", &"Unit"]);
    let start = values(&unit, "ExecStart")[0];
    let seconds = start.strip_prefix("/usr/bin/zonemesh wait --timeout ").expect("it waits");
    let seconds: u32 = seconds.parse().expect("seconds");
    let limit = values(&unit, "TimeoutStartSec")[0].trim_end_matches('s');
    assert!(limit.parse::<u32>().expect("seconds") > seconds, "it is killed before it can say why");
    assert_eq!(values(&unit, "After"), ["zonemeshd.service"]);
    // Bound to it, a restart of the daemon would restart whatever has waited.
    assert_eq!(values(&unit, "Wants"), ["zonemeshd.service"]);
}

#[test]
fn the_unit_that_bars_the_clear_is_before_every_network_and_keeps_no_boot_waiting() {
    let text = &files("service")[GUARD];
    let unit = unit(text);
    // Ordinary units come after basic.target, when interfaces may be up already.
    assert_eq!(values(&unit, "DefaultDependencies"), ["no"]);
    // Its own /dev is made in /tmp, which the boot empties.
    assert_eq!(values(&unit, "After"), ["local-fs.target systemd-tmpfiles-setup.service"]);
    assert_eq!(values(&unit, "Wants"), ["network-pre.target"]);
    let before: Vec<_> = values(&unit, "Before")[0].split(' ').collect();
    assert_eq!(before, ["network-pre.target", "zonemeshd.service", "shutdown.target"]);
    assert_eq!(values(&unit, "Conflicts"), ["shutdown.target"]);
    assert_eq!(values(&unit, "WantedBy"), ["sysinit.target"]);
    // Without a configuration it is passed over; the boot waits for it half a minute at most.
    assert_eq!(values(&unit, "ConditionPathExists"), ["/etc/zonemesh/zonemesh.toml"]);
    assert_eq!(values(&unit, "TimeoutStartSec"), ["30s"]);
    assert_eq!(values(&unit, "Type"), ["oneshot"]);
    assert_eq!(values(&unit, "RemainAfterExit"), ["yes"]);
    let start = "/usr/bin/zonemeshd guard --config /etc/zonemesh/zonemesh.toml";
    assert_eq!(values(&unit, "ExecStart"), [start]);
    for set in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(values(&unit, set), ["CAP_NET_ADMIN"]);
    }
    assert_eq!(values(&unit, "User"), ["zonemesh"]);
}

#[test]
fn every_unit_starts_a_program_of_ours_and_is_started_again() {
    let units = files("service");
    assert_eq!(
        units.keys().collect::<Vec<_>>(),
        [
            "zonemesh-gateway.service",
            GUARD,
            "zonemesh-superlink.service",
            "zonemesh-supernode.service",
            WAIT,
            "zonemeshd.service"
        ]
    );
    for (name, text) in units.iter().filter(|(name, _)| ![WAIT, GUARD].contains(&name.as_str())) {
        let unit = unit(text);
        assert_eq!(unit.keys().collect::<Vec<_>>(), [&"Install", &"Service", &"Unit"], "{name}");
        let program = name.trim_end_matches(".service");
        let flag = if program == "zonemeshd" { "--config" } else { "--context" };
        let start = values(&unit, "ExecStart");
        let words: Vec<&str> = start[0].split(' ').collect();
        assert_eq!(words[..3], [&format!("/usr/bin/{program}"), "run", flag], "{name}");
        assert!(words[3].starts_with("/etc/zonemesh/") && words.len() == 4, "{name}");
        assert_eq!(values(&unit, "Restart"), ["always"], "{name}");
        assert_eq!(values(&unit, "StartLimitIntervalSec"), ["0"], "{name}");
        assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"], "{name}");
        assert_eq!(values(&unit, "WantedBy"), ["multi-user.target"], "{name}");
    }
}

#[test]
fn a_reload_of_the_gateways_unit_waits_for_the_answer_and_the_count_of_failed_starts_is_kept() {
    let text = &files("service")["zonemeshd.service"];
    let unit = unit(text);
    // Type=notify-reload is of systemd 253; a signal would say nothing of a file that is refused.
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "ExecReload"), ["/usr/bin/zonemesh reload"]);
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cli/src/arguments/mod.rs");
    let tool = std::fs::read_to_string(tool).expect("the tool has a command line");
    assert!(tool.contains("\n    Reload,\n"), "the tool has no such command");
    assert_eq!(values(&unit, "RestartSec"), ["1s"]);
    assert_eq!(values(&unit, "RuntimeDirectory"), ["zonemesh"]);
    assert_eq!(values(&unit, "RuntimeDirectoryPreserve"), ["restart"]);
}

/// The part of a program's clap definition that declares a subcommand such as `RaiseClock`.
fn arguments_of(program: &str, command: &str) -> String {
    let source = match program {
        "zonemeshd" => "daemon/src/main.rs",
        // Both companions have one command line.
        _companion => "crates/appliance/src/command.rs",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(source);
    let text = std::fs::read_to_string(path).expect("every program has a command line");
    let (_, after) =
        text.split_once(&format!("    {command} {{\n")).expect("the program has the subcommand");
    let (arguments, _) = after.split_once("\n    },").expect("it ends");
    arguments.to_owned()
}

#[test]
fn every_flag_of_a_unit_is_one_that_its_program_knows() {
    for (name, text) in files("service").into_iter().filter(|(name, _)| name != WAIT) {
        let unit = unit(&text);
        let program = match name.as_str() {
            GUARD => "zonemeshd",
            name => name.trim_end_matches(".service"),
        };
        let before = values(&unit, "ExecStartPre");
        let ours = before.into_iter().filter(|line| line.contains("/usr/bin/zonemesh"));
        for line in values(&unit, "ExecStart").into_iter().chain(ours) {
            let word = line.split(' ').nth(1).expect("a subcommand");
            let command = match word {
                "run" => "Run",
                "raise-clock" => "RaiseClock",
                "guard" => "Guard",
                _ => panic!("{name}: {word}"),
            };
            let arguments = arguments_of(program, command);
            for flag in line.split(' ').filter_map(|word| word.strip_prefix("--")) {
                is_a_long_option(flag, &arguments);
            }
        }
    }
}

fn is_a_long_option(flag: &str, arguments: &str) {
    let field = format!("\n        {flag}: ");
    let declared = arguments.split_once(&field);
    assert!(declared.is_some(), "--{flag} is not declared in:\n{arguments}");
    let above = declared.map_or("", |(above, _)| above);
    let attribute = above.lines().last().unwrap_or("");
    assert!(attribute.contains("#[arg(long"), "{flag} is no long option");
}

#[test]
fn no_unit_is_ordered_behind_the_contextualisation() {
    for (name, text) in files("service") {
        let unit = unit(&text);
        for key in ["After", "Requires", "Requisite", "BindsTo", "Wants"] {
            for value in values(&unit, key) {
                assert!(!value.contains("one-context"), "{name}: {key}={value}");
            }
        }
    }
}

#[test]
fn flower_gives_way_to_the_tunnels_where_it_shares_a_vm_with_a_gateway() {
    let units = files("service");
    let number = |file: &str, key: &str| {
        let unit = unit(&units[file]);
        values(&unit, key).last().map(|value| value.parse::<i64>().unwrap())
    };
    let flowers = "zonemesh-superlink.service";
    for tunnels in ["zonemeshd.service", "zonemesh-gateway.service"] {
        // systemd's own: 100 and 0.
        let weight = |file| number(file, "CPUWeight").unwrap_or(100);
        assert!(weight(flowers) * 5 <= weight(tunnels), "{tunnels}");
        let first = |file| number(file, "OOMScoreAdjust").unwrap_or(0);
        assert!(first(flowers) >= first(tunnels) + 500, "{tunnels}");
    }
}

#[test]
fn the_gateway_keeps_only_the_capabilities_it_needs() {
    let text = &files("service")["zonemeshd.service"];
    let unit = unit(text);
    for set in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(values(&unit, set), ["CAP_NET_ADMIN CAP_NET_BIND_SERVICE"]);
    }
    assert_eq!(values(&unit, "User"), ["zonemesh"]);
    // The right to the lowest real-time priority and to a larger share, without the capability to rank
    // other processes.
    assert_eq!(values(&unit, "LimitRTPRIO"), ["1"]);
    assert_eq!(values(&unit, "LimitNICE"), ["-8"]);
    // Only a step before the start may set the clock; `-`: that it fails stops nothing.
    let set_clock = "-+/usr/bin/zonemeshd raise-clock --config /etc/zonemesh/zonemesh.toml";
    assert!(values(&unit, "ExecStartPre").contains(&set_clock));
    assert_eq!(values(&unit, "ProtectClock"), ["yes"]);
    assert_eq!(values(&unit, "DeviceAllow"), ["/dev/net/tun rw"]);
    assert_eq!(values(&unit, "ProtectSystem"), ["strict"]);
    assert_eq!(values(&unit, "StateDirectory"), ["zonemesh"]);
    assert_eq!(values(&unit, "RuntimeDirectory"), ["zonemesh"]);
}

/// Whether systemd itself makes the folder for the unit, before it mounts anything.
fn is_made_by_the_unit(unit: &BTreeMap<&str, Vec<(&str, &str)>>, path: &str) -> bool {
    let made = [("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib")];
    made.into_iter().any(|(key, above)| {
        let folders = values(unit, key);
        let mut names = folders.iter().flat_map(|value| value.split(' '));
        names.any(|name| Path::new(path).starts_with(Path::new(above).join(name)))
    })
}

#[test]
fn no_unit_needs_a_writable_folder_that_a_fresh_boot_lacks() {
    let mut seen = 0;
    for (name, text) in files("service") {
        let unit = unit(&text);
        for path in values(&unit, "ReadWritePaths").iter().flat_map(|value| value.split(' ')) {
            seen += 1;
            assert!(
                path.starts_with('-') || is_made_by_the_unit(&unit, path.trim_start_matches('+')),
                "{name}: ReadWritePaths={path} ends with 226/NAMESPACE where the folder is missing"
            );
        }
    }
    assert!(seen > 0, "zonemeshd.service names the folder of the WireGuard sockets");
}

fn project(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(path).expect("a file of the project")
}

#[test]
fn every_file_in_a_folder_of_its_own_is_in_a_package() {
    let crates = ["daemon", "crates/superlink", "crates/supernode"];
    let packages: String = crates.map(|of| project(&format!("{of}/Cargo.toml"))).concat();
    let mut seen = 0;
    for below in ["default", "man", "sysctl.d", "sysusers.d", "tmpfiles.d"] {
        for entry in std::fs::read_dir(folder().join(below)).expect("it can be listed") {
            let name = entry.expect("it can be listed").file_name();
            let source = format!("/configs/{below}/{}\"", name.to_string_lossy());
            assert!(packages.contains(&source), "{source} is in no package");
            seen += 1;
        }
    }
    assert!(seen >= 9, "only {seen} files were found");
    for unit in files("service").keys() {
        assert!(packages.contains(&format!("/configs/{unit}\"")), "{unit} is in no package");
    }
}

#[test]
fn the_packages_have_the_version_of_the_programs() {
    let changelog = project("configs/debian/changelog");
    let workspace = project("Cargo.toml");
    let (_, after) = workspace.split_once("[workspace.package]\nversion = \"").expect("a version");
    let (version, _) = after.split_once('"').expect("its end");
    assert!(changelog.starts_with(&format!("zonemesh ({version}-1) ")), "{changelog}");
}

#[test]
fn the_user_and_the_groups_of_the_unit_are_made_by_the_package() {
    let users = project("configs/sysusers.d/zonemesh.conf");
    let text = &files("service")["zonemeshd.service"];
    let unit = unit(text);
    for name in [values(&unit, "User"), values(&unit, "Group")].concat() {
        assert!(users.lines().any(|line| line.starts_with(&format!("u {name} "))), "{name}");
    }
    assert!(users.contains("\ng zonemesh-admin "), "{users}");
    let flower = project("configs/sysusers.d/zonemesh-flower.conf");
    assert!(flower.contains("\nu flower "), "{flower}");
}

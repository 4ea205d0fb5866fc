//! The tables of REFERENCE.md name what the sources name, no more and no less.

use std::collections::BTreeSet;

use zonemesh_config::SECTIONS;

use zonemesh_core::exit::Exit;
use zonemesh_oneflow::{SHIPPED, TemplateRule};

use crate::sources::{between, literals, source, sources, words};
use netns_tests::markdown::{read, rows, section};

fn reference() -> String {
    read("docs/REFERENCE.md")
}

/// The first cells of the rows under a heading.
fn names(heading: &str) -> BTreeSet<String> {
    rows(section(&reference(), heading)).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn every_rule_and_every_template_of_oneflow_is_listed_in_order() {
    let text = reference();
    let listed = |heading: &str| rows(section(&text, heading));
    let rule =
        |rule: &TemplateRule| vec![rule.as_str().to_owned(), rule.expected().replace('`', "")];
    let rules: Vec<_> = TemplateRule::ALL.iter().map(rule).collect();
    assert_eq!(listed("### Rules of a service template"), rules);
    let names: Vec<_> =
        listed("### Service templates").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(names, SHIPPED.iter().map(|shipped| shipped.name).collect::<Vec<_>>());
}

#[test]
fn the_default_ports_of_flower_are_the_generations() {
    let ports = |file: &str| {
        let flower = source(&format!("crates/appliance/src/flower/{file}"));
        let ports = between(&flower, "const PORTS: FlowerPorts =", "};").replace("Some(", "");
        ports.replace(')', "")
    };
    let (grpc, http) = (ports("grpc.rs"), ports("http.rs"));
    let text = reference();
    for row in rows(section(&text, "## CONTEXT keys")) {
        let Some(port) =
            row[0].strip_prefix("ONEAPP_ZONEMESH_").and_then(|key| key.strip_suffix("_PORT"))
        else {
            continue;
        };
        let field = port.to_ascii_lowercase();
        let (first, then) = row[2].split_once("; ").unwrap_or((&row[2], &row[2]));
        let then = then.split(' ').next().unwrap_or_default().replace("none", "None");
        for (usual, port) in [(&grpc, first), (&http, then.as_str())] {
            let field = format!("{field}: {port}");
            assert!(usual.contains(&field), "{field} is not the generation's: {usual}");
            let listed = section(&text, "## Ports").contains(port) || port == "None";
            assert!(listed, "port {port} is not listed");
        }
    }
}

#[test]
fn every_environment_variable_is_listed() {
    let mut found = BTreeSet::new();
    for folder in [
        "cli/src",
        "daemon/src",
        "crates/appliance/src",
        "crates/gateway/src",
        "crates/superlink/src",
        "crates/supernode/src",
        "crates/tunnel/src",
    ] {
        let source = sources(folder);
        for line in source.lines().filter(|line| line.contains("env")) {
            let marks = ["env = \"", "env::var(\"", "env::var_os(\"", "try_from_env(\""];
            let names = marks.iter().filter_map(|mark| line.split_once(mark)?.1.split('"').next());
            found.extend(names.map(str::to_owned));
        }
        // Passed on to Flower.
        if let Some((_, passed)) = source.split_once("pub const PASSED_ON") {
            found.extend(words(between(passed, "=", ";"), |_| true));
        }
        // Read by the shim inside Flower's processes.
        found.extend(words(&source, |word| word.starts_with("ZONEMESH_GRPC_")));
    }
    assert_eq!(names("## Environment variables"), found);
}

/// The exit codes that the sources in a folder name.
fn exit_codes(folder: &str) -> BTreeSet<u8> {
    let text = sources(folder);
    let is_named = |exit: &&Exit| {
        let name = format!("Exit::{exit:?}");
        text.match_indices(&name)
            .any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_alphanumeric()))
    };
    Exit::ALL.iter().filter(is_named).map(|exit| exit.code()).collect()
}

#[test]
fn every_exit_code_is_listed_for_the_programs_that_end_with_it() {
    // clap ends with 0 and 2 in every program.
    let clap = BTreeSet::from([0, 2]);
    let companions: BTreeSet<u8> = ["appliance", "gateway", "superlink", "supernode"]
        .iter()
        .flat_map(|companion| exit_codes(&format!("crates/{companion}/src")))
        .collect();
    let expected =
        [&exit_codes("cli/src") | &clap, &exit_codes("daemon/src") | &clap, &companions | &clap];
    let rows = rows(section(&reference(), "## Exit codes"));
    let listed: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let meant = Exit::ALL.map(|exit| (exit.code().to_string(), exit.meaning().replace('`', "")));
    assert_eq!(listed, meant);
    for (column, expected) in (2..).zip(expected) {
        let listed: BTreeSet<u8> = rows
            .iter()
            .filter(|row| row[column] == "yes")
            .map(|row| row[0].parse().expect("a number"))
            .collect();
        assert_eq!(listed, expected, "column {column}");
    }
}

#[test]
fn every_drop_reason_is_listed_in_order() {
    let text = source("crates/tunnel/src/dropped.rs");
    let list = between(&text, "\nreasons! {\n", "\n}");
    let reasons: Vec<&str> = literals(list).collect();
    let listed: Vec<String> = rows(section(&reference(), "## Dropped packets"))
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(listed, reasons);
}

#[test]
fn every_event_is_listed_in_order() {
    let text = source("daemon/src/facts/paths.rs");
    let list = between(&text, "const fn as_str(self)", "\n    }\n}");
    let events: Vec<&str> = literals(list).collect();
    let listed: Vec<String> =
        rows(section(&reference(), "## Events")).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(listed, events);
}

#[test]
fn every_outcome_of_a_record_is_listed() {
    let text = source("crates/core/src/registry/outcome.rs");
    let accepted = between(&text, "const NAMES: [&'static str; 3] = [", "]");
    let names: BTreeSet<String> = literals(&text)
        .filter(|word| text.contains(&format!("=> \"{word}\"")))
        .map(str::to_owned)
        .collect();
    let expected: BTreeSet<String> = literals(accepted).map(str::to_owned).chain(names).collect();
    assert!(expected.len() >= 13, "the outcomes were not found: {expected:?}");
    assert_eq!(self::names("## Records taken and refused"), expected);
}

#[test]
fn every_flood_is_listed_in_order() {
    let text = source("daemon/src/facts/rate_limits.rs");
    let list = between(&text, "const fn names(self)", "\n    }\n}");
    let names: Vec<&str> = list.lines().filter_map(|line| literals(line).next()).collect();
    assert_eq!(names.len(), 17, "the names were not found: {names:?}");
    let rows = rows(section(&reference(), "## Refused as too much"));
    assert_eq!(rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(), names);
}

#[test]
fn a_gateway_may_have_as_many_files_open_as_its_doors_let_in() {
    let unit = read("configs/zonemeshd.service");
    let limit = between(&unit, "\nLimitNOFILE=", "\n");
    assert!(reference().contains(&format!("{limit} open files (`LimitNOFILE`")), "{limit}");
    let places = ["join/mod.rs", "local_api/door.rs", "registry.rs", "onegate_view/mod.rs"];
    let doors = places.map(|door| {
        let text = source(&format!("daemon/src/serve/{door}"));
        let all = between(&text, "const CONNECTIONS: (usize, usize) = (", ")");
        all.split_once(", ").expect("of one and of all").1.parse::<usize>().expect("a number")
    });
    // The registry has a door on each tunnel IP: an IPv4 and an IPv6 one.
    let most = doors.iter().sum::<usize>() + doors[2];
    assert!(most > 8000 && most + 1000 < limit.parse().expect("a number"), "{most} of {limit}");
}

#[test]
fn every_outcome_of_a_trust_item_is_listed() {
    let text = source("crates/core/src/membership/outcome.rs");
    let refused = literals(&text).filter(|word| text.contains(&format!("=> \"{word}\"")));
    let mut expected: BTreeSet<String> = refused.map(str::to_owned).collect();
    assert_eq!(expected.len(), 9, "the outcomes were not found: {expected:?}");
    expected.extend(["stored".to_owned(), "known".to_owned()]);
    assert_eq!(names("## Trust items taken and refused"), expected);
}

#[test]
fn every_outcome_of_a_redemption_is_listed() {
    let text = source("crates/core/src/invitation/book.rs");
    let refused = between(&text, "const NAMES: [&'static str; 6] =", ";");
    let refused = literals(refused).map(str::to_owned);
    let all = refused.chain(["redeemed", "repeated"].map(str::to_owned));
    let expected: BTreeSet<String> = all.map(|name| format!("invitation_{name}")).collect();
    assert_eq!(names("## Invitations redeemed and refused"), expected);
}

#[test]
fn every_port_of_the_configuration_stands_in_the_list_of_ports() {
    let text = reference();
    let ports = section(&text, "## Ports");
    for (section, key) in [("tunnel", "listen_port"), ("registry", "port"), ("join", "listen")] {
        let section = SECTIONS.into_iter().find(|known| known.name == section);
        let key = section.and_then(|section| section.key(key)).expect("the key is there");
        let default = key.shown_default().trim_matches('"');
        let port = default.rsplit(':').next().unwrap_or(default);
        assert!(ports.contains(port), "{} = {default} is not listed", key.name);
    }
    let local = source("crates/context/src/judged/companion.rs");
    let port = between(&local, "LOCAL_API_PORT: u16 = ", ";");
    assert!(ports.contains(&format!("TCP {port}")), "the local API's port {port} is not listed");
}

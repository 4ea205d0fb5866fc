//! The files in oneflow/: every template is rendered and checked by the built program, every other
//! file agrees with what the programs do, and OpenNebula's own validator has the last word where a
//! checkout of it is given.
//!
//! The rules themselves are tried on damaged copies in `crates/oneflow/tests/rules/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use zonemesh_lab::binaries;
use zonemesh_oneflow::SHIPPED;

const GIVEN: [(&str, &str); 7] = [
    ("gateway", "12"),
    ("superlink", "13"),
    ("superlink_gateway", "15"),
    ("supernode", "14"),
    ("zone_network", "0"),
    ("public_network", "1"),
    ("gateway_ip", "10.10.10.1"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect("a file of the project")
}

/// The files in oneflow/ that end so, without the end.
fn files(end: &str) -> BTreeSet<String> {
    let all = std::fs::read_dir(root().join("oneflow")).expect("the project has oneflow/");
    let names = all.map(|entry| entry.expect("a readable folder").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
}

fn oneflow(args: &[&str]) -> Output {
    let program = binaries::find("zonemesh").expect("the programs are built");
    Command::new(program).arg("oneflow").args(args).output().expect("it starts")
}

/// A template as the program makes it.
fn rendered(name: &str) -> String {
    let text = read(&format!("oneflow/{name}.json"));
    let asked = GIVEN.iter().filter(|(name, _)| text.contains(&format!("@{name}@")));
    let given: Vec<String> = asked.map(|(name, value)| format!("{name}={value}")).collect();
    let set: Vec<&str> = given.iter().flat_map(|given| ["--set", given]).collect();
    let output = oneflow(&[&["render", name, "--out", "-"], &set[..]].concat());
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn every_template_of_the_folder_is_in_the_program_and_valid_once_it_is_rendered() {
    let shipped: BTreeSet<String> = SHIPPED.iter().map(|shipped| shipped.name.to_owned()).collect();
    assert_eq!(files(".json"), shipped);
    let folder = tempfile::tempdir().unwrap();
    let mut roles = BTreeSet::new();
    for name in &shipped {
        let file = folder.path().join(format!("{name}.json"));
        let text = rendered(name);
        std::fs::write(&file, &text).unwrap();
        let checked = oneflow(&["check", &file.to_string_lossy()]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        let template: Value = serde_json::from_str(&text).unwrap();
        let of_it = template["roles"].as_array().unwrap().iter();
        roles.extend(of_it.map(|role| role["name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(
        roles.into_iter().collect::<Vec<_>>(),
        ["gateway", "superlink", "superlink_gateway", "supernode"]
    );
}

/// `KEY = VALUE` of a file in OpenNebula's own form, and what stands in brackets in one piece.
fn attributes(file: &str) -> Vec<(String, String)> {
    let text = read(&format!("oneflow/{file}"));
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        match found.last_mut().filter(|_| open) {
            Some((_, value)) => value.push_str(line.trim()),
            None => {
                let (key, value) = line.split_once('=').expect("KEY = VALUE");
                found.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        open =
            found.last().is_some_and(|(_, value)| value.starts_with('[') && !value.ends_with(']'));
    }
    assert!(!open, "{file}: a bracket is not closed");
    for (key, value) in &found {
        let quoted = |text: &str| text.matches('"').count().is_multiple_of(2) && text.contains('"');
        assert!(quoted(value), "{file}: {key} = {value}");
        assert!(key.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{file}: {key}");
    }
    found
}

fn value(attributes: &[(String, String)], key: &str) -> String {
    let found = attributes.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| value.trim_matches('"').to_owned()).expect(key)
}

#[test]
fn every_file_for_opennebula_is_in_its_form_and_the_vms_have_a_queue_for_each_vcpu() {
    let expected = [
        "gateway-address",
        "security-group",
        "vm-gateway",
        "vm-superlink",
        "vm-superlink-gateway",
        "vm-supernode",
        "zone-network",
    ];
    assert_eq!(files(".tmpl").into_iter().collect::<Vec<_>>(), expected);
    for role in ["gateway", "superlink", "superlink-gateway", "supernode"] {
        let vm = attributes(&format!("vm-{role}.tmpl"));
        let queues = format!("VIRTIO_QUEUES = \"{}\"", value(&vm, "VCPU"));
        assert!(value(&vm, "NIC_DEFAULT").contains(&queues), "{vm:?}");
        assert!(!value(&vm, "DISK").is_empty() && !value(&vm, "MEMORY").is_empty());
        // READY, OneGate's token and the networks are the role's.
        assert!(vm.iter().all(|(key, _)| key != "CONTEXT" && key != "NIC"), "{vm:?}");
    }
    assert_eq!(attributes("vm-superlink.tmpl").len(), attributes("vm-gateway.tmpl").len());
}

#[test]
fn the_gateway_may_forward_and_is_where_the_routes_lead() {
    let range = value(&attributes("gateway-address.tmpl"), "AR");
    for part in ["FILTER_IP_SPOOFING = \"NO\"", "FILTER_MAC_SPOOFING = \"NO\"", "SIZE = \"1\""] {
        assert!(range.contains(part), "{range}");
    }
    let (_, address) = range.split_once(" IP = \"").or(range.split_once(",IP = \"")).expect("IP");
    let address = address.split('"').next().unwrap();
    for template in files(".tmpl") {
        let text = read(&format!("oneflow/{template}.tmpl"));
        for (_, via) in text.match_indices(" via ").map(|(at, via)| text.split_at(at + via.len())) {
            assert!(via.starts_with(address), "{template}: {via}");
        }
    }
}

#[test]
fn the_security_group_lets_in_what_the_documents_list() {
    let architecture = read("docs/ARCHITECTURE.md");
    let rules = attributes("security-group.tmpl");
    let inbound: Vec<_> = rules.iter().filter(|(_, rule)| rule.contains("inbound")).collect();
    assert_eq!(inbound.len(), 2, "{inbound:?}");
    for (_, rule) in inbound {
        let protocol = rule.split('"').nth(1).unwrap();
        let range = rule.split('"').rev().nth(1).unwrap();
        for port in range.split([',']) {
            let listed = format!("{protocol} {}", port.replace(':', " to "));
            assert!(architecture.contains(&listed), "{listed}");
        }
    }
}

#[test]
fn the_network_gives_routes_and_the_tunnels_mtu() {
    let network = attributes("zone-network.tmpl");
    for route in value(&network, "ROUTES").split(", ") {
        let words: Vec<&str> = route.split(' ').collect();
        let [prefix, via, gateway] = words.as_slice() else { unreachable!("{route}") };
        let (address, length) = prefix.split_once('/').unwrap();
        assert!(address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok());
        assert!(*via == "via" && gateway.parse::<std::net::IpAddr>().is_ok(), "{route}");
    }
    let example = read("configs/zonemesh.example.toml");
    let mtu = example.lines().find(|line| line.trim_start_matches(['#', ' ']).starts_with("mtu"));
    assert!(mtu.unwrap().contains(&value(&network, "GUEST_MTU")), "{mtu:?}");
}

/// The way to each value of a document.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    let mut below = |key: String, value: &Value| {
        let place = format!("{here}/{key}");
        places(value, &place, found);
        found.push(place);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| below(index.to_string(), value));
        }
        _ => {}
    }
}

/// Copies of a document, each with another value in one place.
fn damaged(template: &Value) -> Vec<Value> {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(7),
        json!(2.5),
        json!(""),
        json!("x y"),
        json!("12"),
        json!([]),
        json!([1]),
        json!({}),
        json!("CPU > "),
    ];
    let mut all = Vec::new();
    places(template, "", &mut all);
    let damage = |place: &String| {
        values.clone().map(|value| {
            let mut copy = template.clone();
            *copy.pointer_mut(place).expect("the place is there") = value;
            copy
        })
    };
    all.iter().flat_map(damage).collect()
}

#[test]
#[ignore = "needs ONE_DIR, a checkout of OpenNebula/one, and ruby with treetop and parse-cron (RUBY)"]
fn what_opennebulas_own_validator_refuses_is_refused() {
    let one = std::env::var("ONE_DIR").expect("ONE_DIR is set");
    let ruby = std::env::var("RUBY").unwrap_or_else(|_| "ruby".to_owned());
    let folder = tempfile::tempdir().unwrap();
    for shipped in SHIPPED {
        let template: Value = serde_json::from_str(&rendered(shipped.name)).unwrap();
        let all = [vec![template.clone()], damaged(&template)].concat();
        let files: Vec<PathBuf> = all
            .iter()
            .enumerate()
            .map(|(index, copy)| {
                let file = folder.path().join(format!("{index}.json"));
                std::fs::write(&file, copy.to_string()).unwrap();
                file
            })
            .collect();
        let script = root().join("netns-tests/tests/oneflow_validator.rb");
        let theirs = Command::new(&ruby).arg(script).arg(&one).args(&files).output().unwrap();
        let theirs = String::from_utf8(theirs.stdout).unwrap();
        let theirs: Vec<&str> = theirs.lines().collect();
        assert_eq!(theirs.len(), files.len(), "a line for each file");
        assert_eq!(theirs[0], "ok", "{}", shipped.name);
        let program = binaries::find("zonemesh").expect("the programs are built");
        let mut ours = Command::new(program);
        ours.args(["-o", "json", "oneflow", "check"]).args(&files);
        let ours: Value = serde_json::from_slice(&ours.output().unwrap().stdout).unwrap();
        let refused = theirs.iter().filter(|said| **said != "ok").count();
        assert!(refused > files.len() / 4, "only {refused} of {} are refused", files.len());
        for (index, said) in theirs.iter().enumerate().filter(|(_, said)| **said != "ok") {
            assert_eq!(ours["files"][index]["valid"], false, "{said}: {}", all[index]);
        }
    }
}

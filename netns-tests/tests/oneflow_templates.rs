//! The OneFlow templates against the rules of OneFlow 7: those that its validator checks, and those
//! that it does not check and that then hang a service for ever.
//!
//! Each rule is also tried on a damaged copy: a checker that refuses nothing proves nothing.
//! Specification: OpenNebula's `src/oca/ruby/opennebula/flow/service_template.rb`, grammar of
//! user inputs in `one_helper.rb`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use zonemesh_context::{Appliance, keys};

const IDS: [(&str, u64); 5] = [
    ("gateway", 12),
    ("superlink", 13),
    ("supernode", 14),
    ("zone_network", 0),
    ("public_network", 1),
];
const INPUT_TYPES: [&str; 12] = [
    "text",
    "text64",
    "password",
    "number",
    "number-float",
    "range",
    "range-float",
    "list",
    "list-multiple",
    "boolean",
    "fixed",
    "network",
];
const FEDERATION: &str = "/roles/1/user_inputs/ONEAPP_ZONEMESH_FEDERATION";
const TOKEN: &str = "/roles/1/user_inputs/ONEAPP_ZONEMESH_TOKEN";
const SHUTDOWN: [&str; 4] = ["terminate", "terminate-hard", "shutdown", "shutdown-hard"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a file of the project")
}

/// The template as `render.sh` makes it.
fn rendered(name: &str) -> Value {
    let file = root().join("oneflow").join(name);
    let text = read(&file);
    let used = IDS.iter().filter(|(id, _)| text.contains(&format!("@{id}@")));
    let pairs: Vec<_> = used.map(|(id, number)| format!("{id}={number}")).collect();
    let output = Command::new(root().join("oneflow/render.sh"))
        .arg(&file)
        .args(pairs)
        .output()
        .expect("render.sh runs with bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("render.sh prints JSON")
}

fn templates() -> Vec<(String, Value)> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("oneflow"))
        .expect("the project has oneflow/")
        .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    assert_eq!(names, ["coordinator.json", "training-site.json"]);
    names.into_iter().map(|name| (name.clone(), rendered(&name))).collect()
}

/// Every rule that a template breaks, with the place.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn unless(&mut self, holds: bool, place: &str, rule: &str) {
        if !holds {
            self.0.push(format!("{place}: {rule}"));
        }
    }
}

fn check(template: &Value) -> Vec<String> {
    let mut problems = Problems::default();
    let name = template["name"].as_str().unwrap_or_default();
    problems.unless((1..=128).contains(&name.len()), "name", "1 to 128 characters");
    let deployment = template["deployment"].as_str();
    problems.unless(matches!(deployment, Some("none" | "straight")), "deployment", "none|straight");
    let gate = &template["ready_status_gate"];
    problems.unless(gate == &json!(true), "ready_status_gate", "a boolean, and on");
    let shutdown = template["shutdown_action"].as_str().unwrap_or("terminate");
    problems.unless(SHUTDOWN.contains(&shutdown), "shutdown_action", "one of OneFlow's");
    for (network, text) in object(template, "networks") {
        let grammar = input(text).is_some_and(|input| input.kind == "network" && input.is_full);
        problems.unless(grammar, network, "M|network|description|| and a default");
        let default = text.as_str().and_then(|text| text.split('|').nth(4)).unwrap_or_default();
        let id = ["id:", "template_id:", "reserve_from:"]
            .iter()
            .find_map(|prefix| default.strip_prefix(prefix));
        let number = id.is_some_and(|id| id.parse::<u32>().is_ok());
        problems.unless(number, network, "default id:N, template_id:N or reserve_from:N");
    }
    check_inputs(&mut problems, "service", template);
    let roles = template["roles"].as_array().cloned().unwrap_or_default();
    problems.unless(!roles.is_empty(), "roles", "at least one");
    let names: Vec<_> = roles.iter().filter_map(|role| role["name"].as_str()).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    problems.unless(unique.len() == roles.len(), "roles", "each has a name of its own");
    for (position, role) in roles.iter().enumerate() {
        check_role(&mut problems, template, role);
        check_parents(&mut problems, role, &names[..position.min(names.len())]);
    }
    problems.0
}

fn check_role(problems: &mut Problems, template: &Value, role: &Value) {
    let name = role["name"].as_str().unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    problems.unless(!name.is_empty() && name.bytes().all(word), name, r"name is \w+");
    problems.unless(role["type"] == json!("vm"), name, "type is \"vm\"");
    problems.unless(role["template_id"].is_u64(), name, "template_id is a number");
    let [count, least, most] = ["cardinality", "min_vms", "max_vms"].map(|key| role[key].as_u64());
    let bounded = least <= count && count <= most && least.is_some();
    problems.unless(bounded, name, "min_vms <= cardinality <= max_vms");
    for old in ["vm_template", "vm_template_contents", "custom_attrs"] {
        problems.unless(role.get(old).is_none(), name, "no key of OneFlow 6");
    }
    check_inputs(problems, name, role);
    let contents = &role["template_contents"];
    problems.unless(contents.is_object(), name, "template_contents is an object, not a text");
    for nic in contents["NIC"].as_array().cloned().unwrap_or_default() {
        let network = nic["NETWORK_ID"].as_str().and_then(|id| id.strip_prefix('$'));
        let known = network.is_some_and(|network| template["networks"].get(network).is_some());
        problems.unless(known, name, "NETWORK_ID names a network of this template");
    }
    check_context(problems, name, &contents["CONTEXT"]);
}

/// READY comes from one place: the companion in each VM.
fn check_context(problems: &mut Problems, role: &str, context: &Value) {
    const OF_OPENNEBULA: [&str; 5] =
        ["NETWORK", "TOKEN", "REPORT_READY", "SSH_PUBLIC_KEY", "ETH0_ROUTES"];
    problems.unless(context["NETWORK"] == "YES", role, "CONTEXT has NETWORK=YES");
    problems.unless(context["TOKEN"] == "YES", role, "CONTEXT has TOKEN=YES for OneGate");
    problems.unless(context["REPORT_READY"] == "NO", role, "READY comes from the companion");
    for (key, _value) in context.as_object().into_iter().flatten() {
        let known = OF_OPENNEBULA.contains(&key.as_str()) || known_keys(role).contains(key);
        problems.unless(known, role, &format!("nobody knows the CONTEXT key {key}"));
    }
}

fn check_parents(problems: &mut Problems, role: &Value, before: &[&str]) {
    for parent in role["parents"].as_array().into_iter().flatten() {
        let name = role["name"].as_str().unwrap_or_default();
        let known = parent.as_str().is_some_and(|parent| before.contains(&parent));
        // OneFlow takes an unknown parent and then waits for it for ever.
        problems.unless(known, name, "parents are roles above this one");
    }
}

fn check_inputs(problems: &mut Problems, place: &str, of: &Value) {
    for (key, text) in object(of, "user_inputs") {
        problems.unless(input(text).is_some(), place, &format!("{key}: grammar of user inputs"));
        let known = known_keys(place).contains(key);
        problems.unless(known, place, &format!("nobody knows the CONTEXT key {key}"));
        let secret = key.ends_with("_TOKEN") || key.ends_with("_INVITATION");
        let hidden = input(text).is_some_and(|input| input.kind == "password");
        problems.unless(!secret || hidden, place, &format!("{key} is a password"));
    }
}

struct Input {
    kind: String,
    is_full: bool,
}

/// `M|type|description`, or five fields with options and a default; nothing between.
fn input(text: &Value) -> Option<Input> {
    let fields: Vec<_> = text.as_str()?.split('|').collect();
    let counted = fields.len() == 3 || fields.len() == 5;
    let shape = counted && matches!(fields[0], "M" | "O") && !fields[2].is_empty();
    let kind = fields.get(1).copied().unwrap_or_default();
    (shape && INPUT_TYPES.contains(&kind))
        .then(|| Input { kind: kind.to_owned(), is_full: fields.len() == 5 })
}

fn object<'a>(of: &'a Value, key: &str) -> Vec<(&'a String, &'a Value)> {
    of[key].as_object().into_iter().flatten().collect()
}

/// The keys that the program in the VMs of a role reads.
fn known_keys(role: &str) -> BTreeSet<String> {
    let appliance = Appliance::ALL.into_iter().find(|appliance| appliance.role() == role);
    let known = appliance.into_iter().flat_map(keys::of);
    known.map(|key| key.name.to_owned()).collect()
}

#[test]
fn every_template_keeps_every_rule() {
    for (name, template) in templates() {
        assert_eq!(check(&template), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_roles_are_the_three_appliances() {
    let roles: BTreeSet<_> = templates()
        .iter()
        .flat_map(|(_name, template)| template["roles"].as_array().unwrap().clone())
        .map(|role| role["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["gateway", "superlink", "supernode"]);
}

#[test]
fn a_template_that_was_not_rendered_is_refused() {
    let text = std::fs::read_to_string(root().join("oneflow/coordinator.json")).unwrap();
    let problems = check(&serde_json::from_str(&text).unwrap());
    assert!(problems.iter().any(|problem| problem == "gateway: template_id is a number"));
    assert!(problems.iter().any(|problem| problem.contains("default id:N")), "{problems:?}");
}

#[test]
fn each_rule_refuses_a_damaged_copy() {
    let damages = [
        ("/name", json!(""), "1 to 128 characters"),
        ("/deployment", json!("parallel"), "none|straight"),
        ("/ready_status_gate", json!("true"), "a boolean"),
        ("/shutdown_action", json!("poweroff"), "one of OneFlow's"),
        ("/networks/zone", json!("M|network|The zone's network"), "M|network|description||"),
        ("/networks/zone", json!("M|network|The zone's network||id:<id>"), "default id:N"),
        ("/roles", json!([]), "at least one"),
        ("/roles/0/name", json!("gate-way"), r"name is \w+"),
        ("/roles/1/name", json!("gateway"), "a name of its own"),
        ("/roles/0/type", json!("container"), "type is"),
        ("/roles/0/template_id", json!("<id>"), "template_id is a number"),
        ("/roles/0/min_vms", json!(2), "min_vms <= cardinality"),
        ("/roles/0/template_contents", json!("NIC = []"), "not a text"),
        ("/roles/0/template_contents/NIC/0/NETWORK_ID", json!("$nowhere"), "names a network"),
        ("/roles/1/parents", json!(["gatewaj"]), "roles above this one"),
        ("/roles/0/parents", json!(["superlink"]), "roles above this one"),
        (FEDERATION, json!("M|text|Name|x"), "grammar of user inputs"),
        (FEDERATION, json!("M|word|Name"), "grammar of user inputs"),
        (TOKEN, json!("M|text|Bootstrap token"), "is a password"),
        ("/roles/1/template_contents/CONTEXT/REPORT_READY", json!("YES"), "READY comes from"),
        ("/roles/1/template_contents/CONTEXT/TOKEN", json!("NO"), "TOKEN=YES"),
    ];
    for (place, value, rule) in damages {
        let mut template = rendered("coordinator.json");
        template["roles"][0]["parents"] = json!([]);
        *template.pointer_mut(place).unwrap() = value.clone();
        let problems = check(&template);
        let named = problems.iter().any(|problem| problem.contains(rule));
        assert!(named, "{place} = {value}: expected {rule:?} in {problems:?}");
    }
}

#[test]
fn a_key_that_nobody_reads_is_refused() {
    for place in ["/roles/1/user_inputs", "/roles/1/template_contents/CONTEXT"] {
        let mut template = rendered("coordinator.json");
        let keys = template.pointer_mut(place).unwrap().as_object_mut().unwrap();
        keys.insert("ONEAPP_ZONEMESH_FEDERATIN".to_owned(), json!("M|text|Typo"));
        let problems = check(&template);
        assert!(problems.iter().any(|problem| problem.contains("FEDERATIN")), "{problems:?}");
    }
    let mut template = rendered("coordinator.json");
    template["roles"][0].as_object_mut().unwrap().remove("type");
    assert_eq!(check(&template), ["gateway: type is \"vm\""]);
}

#[test]
fn rendering_refuses_what_is_no_number_or_not_there() {
    let file = root().join("oneflow/training-site.json");
    for pairs in [&["gateway=12"][..], &["gateway=<id>"], &["superlink=13"], &[]] {
        let output =
            Command::new(root().join("oneflow/render.sh")).arg(&file).args(pairs).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{pairs:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{pairs:?}");
    }
}

#[test]
fn the_network_gives_routes_and_the_tunnels_mtu() {
    let text = std::fs::read_to_string(root().join("oneflow/zone-network.tmpl")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    for route in value("ROUTES").split(", ") {
        let [prefix, via, gateway] = route.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{route}: expected PREFIX via GATEWAY");
        };
        let (address, length) = prefix.split_once('/').unwrap();
        assert!(address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok());
        assert!(via == "via" && gateway.parse::<std::net::IpAddr>().is_ok(), "{route}");
    }
    let example = std::fs::read_to_string(root().join("configs/zonemesh.example.toml")).unwrap();
    let mtu = example.lines().find(|line| line.trim_start_matches(['#', ' ']).starts_with("mtu"));
    assert!(mtu.unwrap().contains(&value("GUEST_MTU")), "{mtu:?}");
}

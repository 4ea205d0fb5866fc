//! `zonemesh oneflow`: templates checked, and rendered with what `mesh init --out` has written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::answers::has_shape;
use crate::mesh::path;
use crate::{run, stderr, stdout, zonemesh};

const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../oneflow");

/// All that the templates ask of an OpenNebula.
const GIVEN: [(&str, &str); 7] = [
    ("gateway", "12"),
    ("superlink", "13"),
    ("superlink_gateway", "15"),
    ("supernode", "14"),
    ("zone_network", "0"),
    ("public_network", "1"),
    ("gateway_ip", "10.10.10.9"),
];

const ONEFLOW_CHECK: &str = "
files: list
  errors: list
    column: number
    expected: string
    fix: string
    found: string
    line: number
    path: string
    rule: string
  file: string
  name: string
  notes: list
  roles: list
  valid: bool
schema: string
valid: bool
";

const ONEFLOW_RENDER: &str = "
asked: list
file: string
next: string
notes: list
schema: string
secret: bool
";

/// berlin hosts and trains, madrid trains; madrid's VMs are told their gateway's address.
fn mesh(folder: &Path) -> String {
    let mesh = path(folder, "mesh");
    let mut command = zonemesh();
    command.current_dir(folder).args(["mesh", "init", "--out", &mesh]);
    command.args(["--founder", "berlin=10.10.10.0/24@203.0.113.1:51820"]);
    command.args(["--zone", "madrid=10.10.11.0/24", "--lan", "madrid=10.10.11.254"]);
    let made = command.args(["--federation", "health-eu=berlin:berlin,madrid"]).output();
    let made = made.expect("the tool runs");
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    mesh
}

/// Renders in a folder, with what the template asks for.
fn render(folder: &Path, template: &str, more: &[&str]) -> Output {
    let text = std::fs::read_to_string(format!("{TEMPLATES}/{template}.json"));
    let text = text.expect("it is shipped");
    let mut command = in_folder(folder, &["render", template]);
    let asked = GIVEN.iter().filter(|(name, _)| text.contains(&format!("@{name}@")));
    for (name, value) in
        asked.filter(|(name, _)| !more.iter().any(|more| more.starts_with(&format!("{name}="))))
    {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.args(more).output().expect("the tool runs")
}

fn in_folder(folder: &Path, args: &[&str]) -> Command {
    let mut command = zonemesh();
    command.current_dir(folder).env("ZONEMESH_SOCKET", "/nowhere/at/all").arg("oneflow").args(args);
    command
}

fn read(folder: &Path, file: &str) -> Value {
    let text = std::fs::read(folder.join(file)).expect("it was written");
    serde_json::from_slice(&text).expect("it is JSON")
}

/// The value in the lines for a VM's CONTEXT.
fn told(mesh: &str, file: &str, key: &str) -> String {
    let context = std::fs::read_to_string(Path::new(mesh).join(file)).expect("a file of the mesh");
    let line = context.lines().find_map(|line| line.strip_prefix(&format!("{key}=\"")));
    line.and_then(|value| value.strip_suffix('"')).expect("it has the key").to_owned()
}

#[test]
fn with_a_zones_folder_nothing_is_left_to_be_typed_and_each_secret_is_in_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh(folder.path());
    let made = render(folder.path(), "single-site", &["--zone", "mesh/berlin"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let expected = "single-site-berlin.json: written, for its owner only: it holds secrets, and so\n  \
        will the service template in OpenNebula\nnext: oneflow-template create single-site-berlin.json\n";
    assert_eq!(stdout(&made), expected);
    let file = folder.path().join("single-site-berlin.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let template = read(folder.path(), "single-site-berlin.json");
    assert_eq!(template["name"], "Zonemesh single site berlin");
    assert!(template.get("networks").is_none(), "OneFlow's command line would ask for them");
    let roles = template["roles"].as_array().unwrap();
    let bundle = told(&mesh, "berlin/context", "ONEAPP_ZONEMESH_INVITATION");
    let tokens = ["superlink", "supernode"].map(|role| {
        told(&mesh, &format!("berlin/{role}-health-eu.context"), "ONEAPP_ZONEMESH_TOKEN")
    });
    let expected = [
        ("ONEAPP_ZONEMESH_INVITATION", &bundle),
        ("ONEAPP_ZONEMESH_TOKEN", &tokens[0]),
        ("ONEAPP_ZONEMESH_TOKEN", &tokens[1]),
    ];
    for (role, (key, secret)) in roles.iter().zip(expected) {
        assert!(role.get("user_inputs").is_none(), "{role}");
        assert_eq!(role["user_inputs_values"][key], **secret);
        assert_eq!(role["template_contents"]["NIC"][0]["NETWORK_ID"], "0");
        assert_eq!(role.to_string().matches(secret.as_str()).count(), 1);
        assert!(!stdout(&made).contains(secret.as_str()));
    }
    // What was rendered once holds them still when it is rendered again.
    let again = in_folder(
        folder.path(),
        &["render", "single-site-berlin.json", "-o", "json", "--out", "b.json"],
    );
    let again = { again }.output().unwrap();
    assert!(stdout(&again).contains("\"secret\": true"), "{}{}", stdout(&again), stderr(&again));
    for secret in [&bundle, &tokens[0], &tokens[1]] {
        assert_eq!(template.to_string().matches(secret.as_str()).count(), 1, "in one role only");
    }
    assert_eq!(roles[1]["user_inputs_values"]["ONEAPP_ZONEMESH_FEDERATION"], "health-eu");
    assert_eq!((&roles[0]["template_id"], &roles[2]["template_id"]), (&12.into(), &14.into()));
    let checked = in_folder(folder.path(), &["check", "single-site-berlin.json"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    let again = render(folder.path(), "single-site", &["--zone", "mesh/berlin"]);
    assert_eq!(again.status.code(), Some(6));
    assert!(stderr(&again).contains("is not overwritten"), "{}", stderr(&again));
}

#[test]
fn without_a_folder_the_inputs_stay_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = render(folder.path(), "gateway-only", &[]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let expected = "gateway-only-rendered.json: written, for its owner only\n\
        asked for at each instantiate: gateway.ONEAPP_ZONEMESH_INVITATION,\n  \
        gateway.ONEAPP_ZONEMESH_ENDPOINT\nnext: oneflow-template create gateway-only-rendered.json\n";
    assert_eq!(stdout(&made), expected);
    let template = read(folder.path(), "gateway-only-rendered.json");
    assert_eq!(template["networks"]["zone"].as_str().unwrap().rsplit('|').next(), Some("id:0"));
    let nic = &template["roles"][0]["template_contents"]["NIC"][0];
    assert_eq!((&nic["NETWORK_ID"], &nic["IP"]), (&"$zone".into(), &"10.10.10.9".into()));
    let json = render(folder.path(), "coordinator", &["--out", "c.json", "-o", "json"]);
    has_shape(&stdout(&json), "zonemesh/oneflow-render/v1", ONEFLOW_RENDER);
    let printed = render(folder.path(), "coordinator", &["--out", "-"]);
    let printed: Value = serde_json::from_str(&stdout(&printed)).unwrap();
    assert_eq!(printed, read(folder.path(), "c.json"), "and nothing beside the document");
}

#[test]
fn the_address_that_a_folder_tells_the_vms_is_the_one_that_their_gateway_gets() {
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    let zone = ["--zone", "mesh/madrid"];
    let other = render(folder.path(), "training-site", &zone);
    assert_eq!(other.status.code(), Some(2));
    let said = "gateway_ip is 10.10.10.9, and the VMs of supernode are told 10.10.11.254";
    assert!(stderr(&other).contains(said), "{}", stderr(&other));
    let same = ["--set", "gateway_ip=10.10.11.254"];
    let made = render(folder.path(), "training-site", &[&zone[..], &same].concat());
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let ids = ["gateway=12", "supernode=14", "zone_network=0", "public_network=1"];
    let ids: Vec<&str> = ids.iter().flat_map(|id| ["--set", id]).collect();
    let args = [&["render", "training-site", "--out", "b.json"][..], &zone, &ids].concat();
    let none = in_folder(folder.path(), &args).output().unwrap();
    assert_eq!(none.status.code(), Some(0), "{}", stderr(&none));
    for file in ["training-site-madrid.json", "b.json"] {
        let template = read(folder.path(), file);
        let nic = &template["roles"][0]["template_contents"]["NIC"][0];
        assert_eq!(nic["IP"], "10.10.11.254", "{file}");
        let given = &template["roles"][1]["user_inputs_values"]["ONEAPP_ZONEMESH_GATEWAY"];
        assert_eq!(given, "10.10.11.254", "{file}");
    }
    // berlin's VMs ask OneGate for it, which knows only the VMs of one service.
    let lacks = render(folder.path(), "training-site-without-gateway", &["--zone", "mesh/berlin"]);
    let said = stderr(&lacks);
    assert!(said.contains("--value supernode.ONEAPP_ZONEMESH_GATEWAY=VALUE"), "{said}");
    let value = ["--value", "supernode.ONEAPP_ZONEMESH_GATEWAY=10.10.10.1:51822"];
    let more = [&["--zone", "mesh/berlin"][..], &value].concat();
    let made = render(folder.path(), "training-site-without-gateway", &more);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
}

#[test]
fn all_that_is_missing_or_does_not_fit_is_told_at_once_with_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["render", "coordinator", "--set", "gateway=a", "--set", "supernode=1", "--set"];
    let args = [
        &args[..],
        &["gateway_ip=10.10.10.300", "--set", "gateway=13", "--set", "public_network=-1"],
        &["--value", "superlink.ONEAPP_ZONEMESH_GATEWAY=10.10.10", "--value"],
        &["gateway.ONEAPP_ZONEMESH_ENDPOINT=1.2.3.999", "--value", "gateway.X=1", "--value"],
    ]
    .concat();
    let args = [&args[..], &["gateway.ONEAPP_ZONEMESH_INVITATION=hunter2"]].concat();
    let output = in_folder(folder.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    for words in [
        "gateway=\"a\" is a name, and OneFlow takes the number alone: --set gateway=ID, as \
         `onetemplate show 'a'` says it",
        "public_network=\"-1\": --set public_network=ID, a number of `onevnet list`",
        "the template has no @supernode@: one of: gateway, gateway_ip, public_network, superlink",
        "gateway_ip=\"10.10.10.300\": --set gateway_ip=ADDRESS",
        "no value for @superlink@: --set superlink=ID",
        "no value for @zone_network@: --set zone_network=ID, a number of `onevnet list`",
        "superlink.ONEAPP_ZONEMESH_GATEWAY=\"10.10.10\": it is no IP:PORT",
        "gateway.ONEAPP_ZONEMESH_ENDPOINT=\"1.2.3.999\": \"1.2.3.999\" is no IP",
        "for example --value gateway.ONEAPP_ZONEMESH_ENDPOINT=\"203.0.113.1:51820\"",
        "role gateway has no input \"X\"",
        "ONEAPP_ZONEMESH_INVITATION is a secret",
        "@gateway@ is given twice: one of them",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_folder_that_is_none_or_was_changed_is_refused_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh(folder.path());
    let refused = |template: &str, zone: &str, exit: i32, words: &str| {
        let output = render(folder.path(), template, &["--zone", zone]);
        assert_eq!(output.status.code(), Some(exit), "{zone}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(words),
            "{zone}: expected {words:?} in {}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains("hunter2"));
    };
    refused("coordinator", "mesh", 2, "--zone with one of: mesh/berlin, mesh/madrid");
    refused("coordinator", "nowhere", 2, "cannot read nowhere: No such file");
    refused("coordinator", "mesh/berlin/context", 2, "cannot read mesh/berlin/context");
    refused("coordinator", "mesh/madrid", 2, "zone madrid has no lines for a superlink");
    let place = Path::new(&mesh).join("berlin/superlink-health-eu.context");
    let good = std::fs::read_to_string(&place).unwrap();
    let swapped = good.replace("_TOKEN=\"", "_TOKEN=\"hunter2 ");
    std::fs::write(&place, swapped).unwrap();
    refused("coordinator", "mesh/berlin", 2, "line 2: ONEAPP_ZONEMESH_TOKEN holds");
    std::fs::write(&place, format!("{good}hunter2\nONEAPP_ZONEMESH_INVITATION=\"hunter2\"\n"))
        .unwrap();
    refused("coordinator", "mesh/berlin", 2, "line 3: no KEY=\"VALUE\"");
    refused("coordinator", "mesh/berlin", 2, "line 4: a superlink reads no \"ONEAPP_ZONEMESH_INV");
    std::fs::write(&place, good.replace('\n', "\r\n")).unwrap();
    let made = render(folder.path(), "coordinator", &["--zone", "mesh/berlin"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let other = place.with_file_name("superlink-other.context");
    std::fs::copy(&place, &other).unwrap();
    refused("coordinator", "mesh/berlin", 2, "several federations: health-eu, other: --federation");
    let named = ["--zone", "mesh/berlin", "--federation", "other", "--out", "other.json"];
    let renamed = render(folder.path(), "coordinator", &named);
    assert_eq!(renamed.status.code(), Some(2));
    let said = stderr(&renamed);
    assert!(
        said.contains("superlink-other.context of zone berlin is of federation health-eu"),
        "{said}"
    );
    std::fs::remove_file(&other).unwrap();
    nix::unistd::mkfifo(&other, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("coordinator", "mesh/berlin", 7, "is no regular file");
}

#[test]
fn a_template_that_is_no_file_is_told_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.json");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (file, said) in [
        ("pipe.json", "it is a pipe, and no file"),
        ("./", "it is a folder, and no file"),
        ("/dev/zero", "it is a device or a socket, and no file"),
    ] {
        let checked = in_folder(folder.path(), &["check", file]).output().unwrap();
        assert_eq!(checked.status.code(), Some(7), "{file}: {}", stderr(&checked));
        assert!(stdout(&checked).contains(said), "{file}: {}", stdout(&checked));
        let made = in_folder(folder.path(), &["render", file]).output().unwrap();
        assert_eq!(made.status.code(), Some(7), "{file}: {}", stderr(&made));
        assert!(stderr(&made).contains(said), "{file}: {}", stderr(&made));
    }
    // Standard input is asked for by name.
    let mut piped = in_folder(folder.path(), &["check", "-"]);
    piped.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut piped = piped.spawn().unwrap();
    std::io::Write::write_all(&mut piped.stdin.take().unwrap(), b"{}").unwrap();
    let checked = piped.wait_with_output().unwrap();
    assert!(stdout(&checked).contains("standard input"), "{}", stdout(&checked));
}

#[test]
fn a_megabyte_in_one_line_is_checked_in_seconds_and_told_in_a_few_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.json");
    let long = "\u{20ac}".repeat(1 << 18);
    let many = |item: &str| item.repeat((1 << 20) / item.len() - 200);
    for (text, most) in [
        (format!("{{\"name\":\"a\",\"roles\":[{}0]}}", many("1,")), usize::MAX),
        (format!("{{\"name\":\"a\",\"x\":[{}0]}}", many("{\"a\":1},")), usize::MAX),
        (format!("{{\"name\":\"{long}\",\"roles\":\"{long}\"}}"), 6000),
        (format!("{{\"name\":1,\"{long}\":1,\"{long}\":2}}"), 6000),
    ] {
        std::fs::write(&file, &text).unwrap();
        let begun = std::time::Instant::now();
        let checked = in_folder(folder.path(), &["check", "long.json"]).output().unwrap();
        assert_eq!(checked.status.code(), Some(7), "{}", stderr(&checked));
        assert!(begun.elapsed().as_secs() < 60, "{}: {:?}", &text[..40], begun.elapsed());
        assert!(checked.stdout.len() < most, "{}: {} bytes", &text[..40], checked.stdout.len());
    }
}

#[test]
fn the_address_of_a_gateway_is_one_of_its_zone_whoever_says_it() {
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    let refused = |more: &[&str], words: &str| {
        let output =
            render(folder.path(), "coordinator", &[&["--zone", "mesh/berlin"], more].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        assert!(said.contains(words), "{more:?}: expected {words:?} in {said}");
        assert_eq!(said.lines().count(), 2, "one mistake is told once: {said}");
    };
    let outside = "gateway_ip is 10.10.11.1: in no prefix of zone berlin, which has 10.10.10.0/24";
    refused(&["--set", "gateway_ip=10.10.11.1"], outside);
    let network = "gateway_ip is 10.10.10.0: the address of the network of 10.10.10.0/24";
    refused(&["--set", "gateway_ip=10.10.10.0"], network);
    let value = ["--value", "superlink.ONEAPP_ZONEMESH_GATEWAY=10.10.10.7"];
    refused(&value, "gateway_ip is 10.10.10.9, and the VMs of superlink are told 10.10.10.7");
    let value =
        ["--zone", "mesh/berlin", "--value", "supernode.ONEAPP_ZONEMESH_GATEWAY=10.10.11.7"];
    let output = render(folder.path(), "training-site-without-gateway", &value);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    let words = "ONEAPP_ZONEMESH_GATEWAY is 10.10.11.7: in no prefix of zone berlin";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
}

#[test]
fn values_of_two_zones_roles_or_federations_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh(folder.path());
    let place = |file: &str| Path::new(&mesh).join(file);
    let refused = |zone: &str, words: &str| {
        let output = render(folder.path(), "single-site", &["--zone", zone, "--out", "x.json"]);
        assert_eq!(output.status.code(), Some(2), "{zone}: {}", stdout(&output));
        assert!(stderr(&output).contains(words), "{zone}: {words:?} in {}", stderr(&output));
    };
    std::fs::create_dir(place("rome")).unwrap();
    for file in ["context", "superlink-health-eu.context", "supernode-health-eu.context"] {
        std::fs::copy(place("berlin").join(file), place("rome").join(file)).unwrap();
    }
    refused("mesh/rome", "context of zone rome is zone berlin's");
    let supernode = place("berlin/supernode-health-eu.context");
    let good = std::fs::read(&supernode).unwrap();
    std::fs::copy(place("madrid/supernode-health-eu.context"), &supernode).unwrap();
    refused(
        "mesh/berlin",
        "supernode-health-eu.context of zone berlin holds a token of zone madrid",
    );
    std::fs::copy(place("berlin/superlink-health-eu.context"), &supernode).unwrap();
    refused("mesh/berlin", "holds the token of superlink-health-eu");
    std::fs::write(&supernode, good).unwrap();
    // What was rendered for one zone is not taken for another, nor edited to be of two.
    let made =
        render(folder.path(), "training-site", &["--zone", "mesh/berlin", "--out", "b.json"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let again = in_folder(folder.path(), &["render", "b.json", "--zone", "mesh/madrid"]).output();
    let again = again.unwrap();
    assert_eq!(again.status.code(), Some(2), "{}", stdout(&again));
    let words = "role gateway has another ONEAPP_ZONEMESH_INVITATION already";
    assert!(stderr(&again).contains(words), "{}", stderr(&again));
    let mut template = read(folder.path(), "b.json");
    let foreign = told(&mesh, "madrid/supernode-health-eu.context", "ONEAPP_ZONEMESH_TOKEN");
    template["roles"][1]["user_inputs_values"]["ONEAPP_ZONEMESH_TOKEN"] = foreign.clone().into();
    std::fs::write(folder.path().join("mixed.json"), template.to_string()).unwrap();
    let checked = in_folder(folder.path(), &["check", "mixed.json", "--wide"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(7));
    let said = stdout(&checked);
    let words = "ONEAPP_ZONEMESH_TOKEN of zone madrid, in a service with values of zone berlin";
    assert!(said.contains(words) && !said.contains(&foreign), "{said}");
}

#[test]
fn a_zone_that_may_not_train_is_told_so_where_its_template_has_supernodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = zonemesh();
    command.current_dir(folder.path()).args(["mesh", "init", "--out", "mesh"]);
    command.args(["--founder", "berlin=10.10.10.0/24@203.0.113.1:51820"]);
    command.args(["--zone", "madrid=10.10.11.0/24", "--federation", "health-eu=berlin:madrid"]);
    assert_eq!(command.status().unwrap().code(), Some(0));
    let said =
        "note: zone berlin is not granted to train in health-eu, so that its gateway refuses";
    let zone = ["--zone", "mesh/berlin", "--wide"];
    let made = render(folder.path(), "single-site", &zone);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(stdout(&made).contains(said), "{}", stdout(&made));
    let made = render(folder.path(), "coordinator", &zone);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(!stdout(&made).contains("note:"), "it hosts: {}", stdout(&made));
}

#[test]
fn a_template_of_ones_own_is_rendered_and_a_wrong_one_is_told_as_by_check() {
    let folder = tempfile::tempdir().unwrap();
    let own = std::fs::read_to_string(format!("{TEMPLATES}/gateway-only.json")).unwrap();
    let windows = format!("\u{feff}{}", own.replace('\n', "\r\n"));
    std::fs::write(folder.path().join("own.json"), windows).unwrap();
    let ids = ["gateway=12", "zone_network=0", "public_network=1", "gateway_ip=10.10.10.1"];
    let ids: Vec<&str> = ids.iter().flat_map(|id| ["--set", id]).collect();
    let made =
        in_folder(folder.path(), &[&["render", "own.json"], &ids[..]].concat()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let text = std::fs::read_to_string(folder.path().join("own-rendered.json")).unwrap();
    assert!(text.starts_with('{') && !text.contains('\r'));
    let wrong = own.replace("\"REPORT_READY\": \"NO\"", "\"REPORT_READY\": \"YES\"");
    std::fs::write(folder.path().join("wrong.json"), wrong).unwrap();
    let args = [&["render", "wrong.json"], &ids[..]].concat();
    let refused = in_folder(folder.path(), &args).output().unwrap();
    assert_eq!(refused.status.code(), Some(7));
    assert!(stdout(&refused).contains("[context]"), "{}", stdout(&refused));
    assert!(!folder.path().join("wrong-rendered.json").exists());
    let shown = format!("{{\"DOCUMENT\": {{\"TEMPLATE\": {{\"BODY\": {own}}}}}}}");
    std::fs::write(folder.path().join("shown.json"), shown).unwrap();
    let shown = in_folder(folder.path(), &["render", "shown.json"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(7));
    assert!(stdout(&shown).contains("as OpenNebula prints it"), "{}", stdout(&shown));
    let none = in_folder(folder.path(), &["render", "coordinater"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("is coordinator meant?"), "{}", stderr(&none));
}

#[test]
fn a_role_of_somebody_else_keeps_its_inputs_beside_a_zones_folder() {
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    let own = std::fs::read_to_string(format!("{TEMPLATES}/gateway-only.json")).unwrap();
    let mut own: Value = serde_json::from_str(&own).unwrap();
    let database = serde_json::json!({
        "name": "database", "type": "vm", "cardinality": 1, "template_id": 15,
        "user_inputs": { "DB_PASSWORD": "M|password|Of the database" },
    });
    own["roles"].as_array_mut().unwrap().push(database);
    std::fs::write(folder.path().join("own.json"), own.to_string()).unwrap();
    let ids = ["gateway=12", "zone_network=0", "public_network=1", "gateway_ip=10.10.10.1"];
    let ids: Vec<&str> = ids.iter().flat_map(|id| ["--set", id]).collect();
    let args = [&["render", "own.json", "--zone", "mesh/berlin"], &ids[..]].concat();
    let made = in_folder(folder.path(), &args).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let asked = "asked for at each instantiate: database.DB_PASSWORD\n";
    assert!(stdout(&made).contains(asked), "{}", stdout(&made));
}

#[test]
fn every_mistake_of_every_file_is_told_as_an_editor_jumps_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\n  \"name\": \"x\",\n  \"roles\": [\n    { \"name\": \"a\", \"type\": \"vm\", \
        \"template_id\": 1, \"cardinality\": 1,\n      \"parents\": [\"b\"] }\n  ],\n  \
        \"deployment\": \"straight\"\n}\n";
    std::fs::write(folder.path().join("a.json"), text).unwrap();
    std::fs::write(folder.path().join("b.json"), "name: x").unwrap();
    std::fs::write(folder.path().join("c.json"), text.replace("[\"b\"]", "[]")).unwrap();
    let files = ["check", "a.json", "b.json", "c.json", "d.json", "--wide"];
    let output = in_folder(folder.path(), &files).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let expected = "a.json:5:19: roles[0].parents[0]: \"b\", which is no role of this service; expected \
        parents are other roles of this service; name one of: a: OneFlow takes any name and then waits \
        for it for ever [parents]\n\
        b.json:1:1: \"name\", where a value: a text in double quotes, a number, true, false, null, a \
        list or an object is expected; expected a JSON document of at most 1 MiB in UTF-8; write keys \
        and texts in straight double quotes, no comments, no comma at an end; or take the file again \
        [json]\n\
        c.json: valid (x: a)\n\
        d.json: it cannot be read: No such file or directory (os error 2); expected a file that this \
        user may read; name another [file]\n";
    assert_eq!(stdout(&output), expected);
    let narrow = in_folder(folder.path(), &files[..5]).output().unwrap();
    assert!(stdout(&narrow).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&narrow));
    let json = in_folder(folder.path(), &["check", "a.json", "-o", "json"]).output().unwrap();
    assert_eq!(json.status.code(), Some(7));
    has_shape(&stdout(&json), "zonemesh/oneflow-check/v1", ONEFLOW_CHECK);
    assert_eq!(in_folder(folder.path(), &["check", "c.json"]).status().unwrap().code(), Some(0));
    assert_eq!(run(&["oneflow", "check"]).status.code(), Some(2), "a file has to be named");
}

#[test]
fn what_opennebula_prints_is_checked_from_a_pipe_and_a_device_without_end_is_read_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let printed = "{\"DOCUMENT\": {\"ID\": \"7\", \"TEMPLATE\": {\"BODY\": {\"name\": \"x\", \"roles\": \
        [{\"name\": \"a\", \"type\": \"vm\", \"template_id\": 1, \"cardinality\": 1}]}}}}";
    std::fs::write(folder.path().join("shown"), printed).unwrap();
    let shown = std::fs::File::open(folder.path().join("shown")).unwrap();
    let output = in_folder(folder.path(), &["check", "-"]).stdin(shown).output().unwrap();
    assert_eq!(stdout(&output), "standard input: valid (x: a)\n");
    let endless = std::fs::File::open("/dev/zero").unwrap();
    let endless = in_folder(folder.path(), &["check", "-"]).stdin(endless).output().unwrap();
    assert_eq!(endless.status.code(), Some(7));
    assert!(stdout(&endless).contains("more than 1 MiB"), "{}", stdout(&endless));
}

#[test]
fn a_vm_that_is_gateway_and_superlink_has_the_secrets_of_both_and_no_other_role_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh(folder.path());
    let made = render(folder.path(), "superlink-gateway", &["--zone", "mesh/berlin"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let template = read(folder.path(), "superlink-gateway-berlin.json");
    let roles = template["roles"].as_array().unwrap();
    assert_eq!(roles.len(), 1);
    assert!(roles[0].get("user_inputs").is_none(), "{}", roles[0]);
    for (file, key) in [
        ("berlin/context", "ONEAPP_ZONEMESH_INVITATION"),
        ("berlin/superlink-health-eu.context", "ONEAPP_ZONEMESH_TOKEN"),
        ("berlin/superlink-health-eu.context", "ONEAPP_ZONEMESH_FEDERATION"),
    ] {
        assert_eq!(roles[0]["user_inputs_values"][key], *told(&mesh, file, key), "{key}");
    }
    let checked = in_folder(folder.path(), &["check", "superlink-gateway-berlin.json"]);
    let checked = { checked }.output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    // A zone that only trains has no SuperLink.
    let lacks = render(folder.path(), "superlink-gateway", &["--zone", "mesh/madrid"]);
    assert_eq!(lacks.status.code(), Some(2));
    assert!(stderr(&lacks).contains("no lines for a superlink"), "{}", stderr(&lacks));
    assert!(!folder.path().join("superlink-gateway-madrid.json").exists());
}

#[test]
fn the_help_names_every_template_that_comes_with_the_program() {
    let help = stdout(&run(&["oneflow", "render", "--help"]));
    for template in zonemesh_oneflow::SHIPPED {
        let is_named = help.split([' ', ',', ';', '\n']).any(|word| word == template.name);
        assert!(is_named, "{}: {help}", template.name);
    }
}

/// gateway-only with inputs for a plain WireGuard peer, as a file in the folder.
fn with_peer(folder: &Path, preshared: &str) {
    let own =
        std::fs::read_to_string(format!("{TEMPLATES}/gateway-only.json")).expect("it is shipped");
    let mut own: Value = serde_json::from_str(&own).expect("it is JSON");
    for key in ["PUBLIC_KEY", "ENDPOINT", "ALLOWED_IPS", "PERSISTENT_KEEPALIVE"] {
        own["roles"][0]["user_inputs"][format!("ONEAPP_WG_PEER_{key}")] = "O|text|x||".into();
    }
    own["roles"][0]["user_inputs"]["ONEAPP_WG_PEER_PRESHARED_KEY"] = preshared.into();
    std::fs::write(folder.join("peer.json"), own.to_string()).expect("it is written");
}

const PEER_IDS: [&str; 8] = [
    "--set",
    "gateway=12",
    "--set",
    "zone_network=0",
    "--set",
    "public_network=1",
    "--set",
    "gateway_ip=10.10.11.254",
];

#[test]
fn a_plain_peer_is_judged_as_its_gateway_would() {
    const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    with_peer(folder.path(), "O|password|psk||");
    let render = |zone: bool, values: &[(&str, &str)]| {
        let mut command = in_folder(folder.path(), &["render", "peer.json", "--out", "-"]);
        command.args(PEER_IDS).args(zone.then_some(["--zone", "mesh/madrid"]).iter().flatten());
        for (key, value) in values {
            command.args(["--value", &format!("gateway.ONEAPP_WG_PEER_{key}={value}")]);
        }
        command.output().unwrap()
    };
    let well = [("PUBLIC_KEY", KEY), ("ALLOWED_IPS", "10.77.30.0/24")];
    for zone in [false, true] {
        let made = render(zone, &well);
        assert_eq!(made.status.code(), Some(0), "{}{}", stdout(&made), stderr(&made));
        for (key, value, words) in [
            ("PUBLIC_KEY", "abc", "ONEAPP_WG_PEER_PUBLIC_KEY=\"abc\": a key is 44 characters"),
            ("ALLOWED_IPS", "10.77.300.0/24", "expected an address, a '/' and a length"),
            ("ENDPOINT", "1.2.3.4", "\"1.2.3.4\": the port is missing"),
            ("PERSISTENT_KEEPALIVE", "25s", "from 0 to 65535"),
        ] {
            let others = well.iter().filter(|(other, _)| *other != key).copied();
            let values: Vec<_> = others.chain([(key, value)]).collect();
            let made = render(zone, &values);
            assert_eq!(made.status.code(), Some(2), "{key}={value}: {}", stdout(&made));
            assert!(stderr(&made).contains(words), "{key}={value}: {}", stderr(&made));
        }
    }
    let part = render(true, &[("PUBLIC_KEY", KEY), ("ALLOWED_IPS", "10.10.11.128/25")]);
    assert_eq!(part.status.code(), Some(2));
    let words = "10.10.11.128/25 overlaps 10.10.11.0/24, which is this zone's";
    assert!(stderr(&part).contains(words), "{}", stderr(&part));
    let alone = render(true, &[("PUBLIC_KEY", KEY)]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(stderr(&alone).contains("ALLOWED_IPS is not set, and"), "{}", stderr(&alone));
    assert_eq!(stderr(&alone).lines().count(), 2, "{}", stderr(&alone));
}

#[test]
fn a_secret_that_no_folder_has_is_asked_for_beside_a_folder_too() {
    let folder = tempfile::tempdir().unwrap();
    mesh(folder.path());
    for input in ["O|password|psk||", "M|password|psk"] {
        with_peer(folder.path(), input);
        let mut command = in_folder(folder.path(), &["render", "peer.json"]);
        command.args(PEER_IDS).args(["--zone", "mesh/madrid", "--out", "made.json"]);
        command.args(["--value", "gateway.ONEAPP_WG_PEER_ALLOWED_IPS=10.77.30.0/24", "--value"]);
        let key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        command.arg(format!("gateway.ONEAPP_WG_PEER_PUBLIC_KEY={key}"));
        let made = command.output().unwrap();
        assert_eq!(made.status.code(), Some(0), "{}{}", stdout(&made), stderr(&made));
        let said = "asked for at each instantiate: gateway.ONEAPP_WG_PEER_PRESHARED_KEY\n";
        assert!(stdout(&made).contains(said), "{}", stdout(&made));
        let role = &read(folder.path(), "made.json")["roles"][0];
        let asked = serde_json::json!({ "ONEAPP_WG_PEER_PRESHARED_KEY": input });
        assert_eq!(role["user_inputs"], asked);
        std::fs::remove_file(folder.path().join("made.json")).unwrap();
    }
    for (key, words) in [
        ("ONEAPP_WG_PEER_PRESHARED_KEY", "it is asked for at the instantiate, beside --zone too"),
        ("ONEAPP_WG_PRIVATE_KEY", "is refused by every VM: a private key never leaves the VM"),
    ] {
        let value = format!("gateway.{key}=hunter2");
        let mut command = in_folder(folder.path(), &["render", "peer.json", "--value", &value]);
        let refused = command.args(PEER_IDS).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = stderr(&refused);
        assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_key_that_the_template_does_not_ask_for_is_told_with_the_line_that_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |value: &str| {
        let made = render(folder.path(), "training-site", &["--value", value]);
        assert_eq!(made.status.code(), Some(2), "{}", stdout(&made));
        stderr(&made)
    };
    for (value, line) in [
        (
            "gateway.ONEAPP_WG_PEER_ALLOWED_IPS=10.77.30.0/24",
            "\"ONEAPP_WG_PEER_ALLOWED_IPS\": \"O|text|prefixes that are no zone's, with commas \
             between||\"",
        ),
        (
            "supernode.ONEAPP_FL_SUPERLINK_ADDRESS=10.10.10.5:9092",
            "\"ONEAPP_FL_SUPERLINK_ADDRESS\": \"O|text|ADDRESS:PORT",
        ),
        (
            "gateway.ONEAPP_WG_PEER_PRESHARED_KEY=hunter2",
            "\"ONEAPP_WG_PEER_PRESHARED_KEY\": \"O|password|what `wg genpsk` prints||\"",
        ),
    ] {
        let said = refused(value);
        assert!(
            said.contains("in a copy of the template, the line ") && said.contains(line),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = refused("supernode.ONEAPP_WG_PEER_ENDPOINT=1.2.3.4:5");
    assert!(said.contains("one of: ONEAPP_ZONEMESH_FEDERATION"), "not its key: {said}");
}

#[test]
fn what_only_follows_from_another_mistake_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh(folder.path());
    let zone = ["--zone", "mesh/madrid", "--set", "gateway_ip=10.10.11.254"];
    let only = |template: &str, more: &[&str], words: &str| {
        let made = render(folder.path(), template, &[&zone[..], more].concat());
        assert_eq!(made.status.code(), Some(2), "{}", stdout(&made));
        let said = stderr(&made);
        assert!(said.contains(words) && said.lines().count() == 2, "{words}: {said}");
    };
    only("superlink-gateway", &[], "zone madrid has no lines for a superlink");
    let context = Path::new(&mesh).join("madrid/context");
    let good = std::fs::read_to_string(&context).unwrap();
    let more = "ONEAPP_ZONEMESH_ENDPOINT=\"203.0.113.2\"\n";
    std::fs::write(&context, format!("{good}{more}")).unwrap();
    let value = ["--value", "gateway.ONEAPP_ZONEMESH_ENDPOINT=10.77.11.9"];
    let words = "gateway.ONEAPP_ZONEMESH_ENDPOINT is \"10.77.11.9\" by --value and \"203.0.113.2\" \
                 by --zone: one of them: leave --value out, or the line ONEAPP_ZONEMESH_ENDPOINT in \
                 context";
    only("gateway-only", &value, words);
    std::fs::copy(Path::new(&mesh).join("berlin/context"), &context).unwrap();
    only("training-site", &[], "context of zone madrid is zone berlin's");
    let value =
        ["--zone", "mesh/madrid", "--value", "supernode.ONEAPP_ZONEMESH_GATEWAY=10.10.11.254"];
    let made = render(folder.path(), "training-site-without-gateway", &value);
    assert!(stderr(&made).contains("context of zone madrid is zone berlin's"), "{}", stderr(&made));
}

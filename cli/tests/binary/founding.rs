//! `zonemesh mesh init --out`: a mesh that is made without a daemon.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::Invitation;
use zonemesh_core::membership::FederationRight;
use zonemesh_core::token::{VmToken, ZonePin};

use crate::mesh::{path, tell};
use crate::{stderr, stdout, zonemesh};

/// Without a daemon.
fn init(folder: &str, more: &[&str]) -> Output {
    let mut command = zonemesh();
    command.env("ZONEMESH_SOCKET", "/nowhere/at/all").args(["mesh", "init", "--out", folder]);
    command.args(["--founder", "berlin=10.10.10.0/24@203.0.113.1:51820"]);
    command.args(["--zone", "madrid=10.10.11.0/24"]).args(more).output().expect("the tool runs")
}

fn read(folder: &str, file: &str) -> String {
    std::fs::read_to_string(Path::new(folder).join(file)).expect("a file of the mesh")
}

#[test]
fn a_folder_without_room_for_all_of_it_is_not_there_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = path(folder.path(), "mesh");
    let mut command = std::process::Command::new("sh");
    // As on a full disk: every file ends at 1024 bytes, or at 512, and a bundle of ten zones is longer.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" mesh init --out \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_zonemesh"), &mesh]);
    command.args(["--founder", "berlin=10.10.10.0/24@203.0.113.1:51820"]);
    for zone in 11..20 {
        command.args(["--zone", &format!("z{zone}=10.10.{zone}.0/24")]);
    }
    let made = command.output().unwrap();
    assert_eq!(made.status.code(), Some(1), "{}", stderr(&made));
    assert!(stderr(&made).contains("cannot write"), "{}", stderr(&made));
    assert!(!Path::new(&mesh).exists());
    assert!(!folder.path().join("mesh-owner.key").exists(), "a key of no mesh");
    assert_eq!(init(&mesh, &[]).status.code(), Some(0));
}

#[test]
fn a_mesh_is_founded_without_a_gateway_and_each_zone_has_its_own_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = path(folder.path(), "mesh");
    let lan = ["--lan", "berlin=10.10.10.254"];
    let made = init(&mesh, &[&["--federation", "health-eu=berlin:madrid"], &lan[..]].concat());
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let bundle = FoundingBundle::from_text(&read(&mesh, "berlin/founding")).unwrap();
    let invitation = Invitation::from_text(&read(&mesh, "madrid/invitation")).unwrap();
    assert!(stdout(&made).contains(invitation.mesh.as_str()), "{}", stdout(&made));
    assert_eq!(bundle.invitations[0].hash, invitation.hash());
    assert_eq!(invitation.inviter.join_endpoints, ["203.0.113.1:51823"]);
    let berlin = read(&mesh, "berlin/zonemesh.toml");
    assert!(berlin.contains("health-eu") && berlin.contains("listen = \"10.10.10.254:51822\""));
    let madrid = read(&mesh, "madrid/zonemesh.toml");
    assert!(!madrid.contains("health-eu") && madrid.contains("listen = \"10.10.11.1:51822\""));
    let context = read(&mesh, "madrid/context");
    let invited = format!("ONEAPP_ZONEMESH_INVITATION={:?}", invitation.to_text().as_str());
    assert_eq!(context.trim_end(), invited, "and nothing that its VM finds in CONTEXT itself");
    let context_of_founder = read(&mesh, "berlin/context");
    let founder: Vec<&str> = context_of_founder.lines().collect();
    let bundled =
        format!("ONEAPP_ZONEMESH_INVITATION=\"{}\"", read(&mesh, "berlin/founding").trim());
    assert_eq!(founder, [bundled.as_str(), "ONEAPP_ZONEMESH_ENDPOINT=\"203.0.113.1:51820\""]);
    for file in ["berlin/founding", "berlin/context", "madrid/context", "madrid/zonemesh.toml"] {
        let mode = std::fs::metadata(Path::new(&mesh).join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let secret = read(&mesh, "berlin/founding");
    assert!(!stdout(&made).contains(secret.trim()) && !context.contains(secret.trim()));
    let again = init(&mesh, &[]);
    assert_eq!(again.status.code(), Some(6));
    assert!(stderr(&again).contains("is not overwritten"), "{}", stderr(&again));
    // The founder's gateway takes the bundle, and nothing else for one.
    let founded = tell(&["mesh", "found", &path(Path::new(&mesh), "berlin/founding")]);
    assert_eq!(founded.status.code(), Some(0), "{}", stderr(&founded));
    let other = tell(&["mesh", "found", &path(Path::new(&mesh), "madrid/invitation")]);
    assert_eq!(other.status.code(), Some(4), "{}", stderr(&other));
}

/// The token in the lines for a VM's CONTEXT.
fn token(folder: &str, file: &str) -> VmToken {
    let context = read(folder, file);
    let line = context.lines().find(|line| line.starts_with("ONEAPP_ZONEMESH_TOKEN="));
    let text = line.and_then(|line| line.split('"').nth(1)).expect("KEY=\"VALUE\"");
    text.parse().expect("a token")
}

#[test]
fn the_vms_of_a_founded_mesh_have_tokens_that_their_own_gateways_know() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = path(folder.path(), "mesh");
    let more = ["--federation", "health-eu=berlin:madrid", "--zone", "rome=10.10.13.0/24"];
    let made = init(&mesh, &[&more[..], &["--lan", "madrid=10.10.11.9"]].concat());
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let bundle = FoundingBundle::from_text(&read(&mesh, "berlin/founding")).unwrap();
    let invitation =
        |zone: &str| Invitation::from_text(&read(&mesh, &format!("{zone}/invitation"))).unwrap();
    let (madrid, rome) = (invitation("madrid"), invitation("rome"));
    let rights = |all: &[FederationRight]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(rights(&bundle.founder.federations), ["health-eu=host"]);
    assert_eq!(rights(&madrid.federations), ["health-eu=train"]);
    assert_eq!((rights(&rome.federations), rome.tokens.len()), (vec!["health-eu=none".into()], 0));
    assert!(!read(&mesh, "rome/zonemesh.toml").contains("local_api"));
    let files = [
        ("berlin", "superlink", &bundle.founder.tokens[0]),
        ("berlin", "supernode", &bundle.founder.tokens[1]),
        ("madrid", "supernode", &madrid.tokens[0]),
    ];
    for (zone, role, known) in files {
        let token = token(&mesh, &format!("{zone}/{role}-health-eu.context"));
        assert_eq!((known.hash, known.role.as_str()), (token.hash(), role));
        let ZonePin::Mesh(pin) = token.pin() else { panic!("of a managed mesh") };
        assert_eq!((pin.zone.as_str(), &pin.mesh), (zone, &madrid.mesh));
        assert!(!stdout(&made).contains(token.reveal()));
    }
    assert_eq!((bundle.founder.tokens.len(), madrid.tokens.len()), (2, 1));
    let gateway = "ONEAPP_ZONEMESH_GATEWAY=\"10.10.11.9\"";
    assert!(read(&mesh, "madrid/supernode-health-eu.context").contains(gateway));
    let berlin = read(&mesh, "berlin/superlink-health-eu.context");
    assert!(!berlin.contains("ONEAPP_ZONEMESH_GATEWAY"), "its VMs ask OneGate: {berlin}");
}

/// Each mistake alone, with what is said of it.
const MISTAKES: [(&[&str], &str); 22] = [
    (
        &["--zone", "paris=10.10.11.0/25"],
        "10.10.11.0/25 of zone paris overlaps 10.10.11.0/24 of zone madrid",
    ),
    (&["--zone", "paris=10.9.0.0/16,10.9.1.0/24"], "10.9.1.0/24 and 10.9.0.0/16 of zone paris"),
    (&["--zone", "paris=10.9.0.1/16"], "bits set behind its length: write 10.9.0.0/16"),
    (&["--zone", "paris=127.0.0.0/8"], "127.0.0.0/8 holds loopback addresses"),
    (&["--zone", "madrid=10.10.12.0/24"], "zone madrid is named twice"),
    (&["--zone", "paris=10.10.12.0"], "is no prefix"),
    (&["--zone", "paris=10.10.12.0/24@"], "an endpoint is empty"),
    (
        &["--zone", "paris=10.10.12.0/24@10.10.12.5:51820"],
        "endpoint 10.10.12.5:51820 of zone paris lies in 10.10.12.0/24 of zone paris",
    ),
    (
        &["--zone", "paris=10.10.12.0/24@10.10.11.5:51820"],
        "endpoint 10.10.11.5:51820 of zone paris lies in 10.10.11.0/24 of zone madrid",
    ),
    (
        &["--zone", "paris=10.10.12.0/24@203.0.113.1:51820"],
        "endpoint 203.0.113.1:51820 of zone paris is zone berlin's too",
    ),
    (
        &["--tunnel-net", "203.0.113.0/24"],
        "endpoint 203.0.113.1:51820 of zone berlin lies in 203.0.113.0/24",
    ),
    (&["--tunnel-net", "10.255.0.0/32"], "too few addresses for 2 zones"),
    (
        &["--tunnel-net", "10.10.11.0/24"],
        "would give out addresses in 10.10.11.0/24 of zone madrid",
    ),
    (&["--tunnel-net", "169.254.0.0/16"], "holds link-local addresses"),
    (&["--federation", "health-eu=berlin:rome"], "names zone rome"),
    (&["--federation", "health-eu=berlin"], "write NAME=HOST:TRAINER"),
    (&["--federation", "health-eu=berlin:madrid,madrid"], "names zone madrid twice"),
    (&["--lan", "madrid=10.10.10.1"], "lies in no prefix of it, but in 10.10.11.0/24"),
    (&["--lan", "madrid=10.10.11.0"], "10.10.11.0 of zone madrid is the address of the network"),
    (&["--lan", "madrid=10.10.11.255"], "is the broadcast address of 10.10.11.0/24"),
    (&["--lan", "madrid=10.10.11.1", "--lan", "madrid=10.10.11.2"], "said twice of zone madrid"),
    (&["--valid-for", "4000000000d"], "ends after the year 9999"),
];

#[test]
fn a_mesh_that_cannot_be_made_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = path(folder.path(), "mesh");
    for (more, said) in MISTAKES {
        let refused = init(&mesh, more);
        let told = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {told}");
        assert!(told.contains(said), "{more:?}: {told}");
        assert_eq!(told.lines().count(), 1, "one mistake is told once: {told}");
        assert!(!Path::new(&mesh).exists(), "{more:?}");
        assert!(!Path::new(&format!("{mesh}-owner.key")).exists(), "{more:?}");
    }
    assert_eq!(init(&mesh, &["--threshold", "2"]).status.code(), Some(2), "of a gateway only");
}

#[test]
fn all_that_is_wrong_with_a_mesh_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = path(folder.path(), "mesh");
    let refused = init(
        &mesh,
        &[
            &["--zone", "paris=10.10.12.0/24@", "--zone", "rome=10.10.11.128/25"][..],
            &["--lan", "madrid=10.10.11.0", "--lan", "paris=10.10.12.9", "--valid-for", "7w"],
            &["--federation", "health-eu=paris:oslo", "--owner", "nobody"],
        ]
        .concat(),
    );
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    for part in [
        "an endpoint is empty",
        "rome overlaps",
        "address of the network",
        "--valid-for \"7w\": a time is a number",
        "names zone oslo",
        "--owner takes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Zone paris is there, of which only the endpoint cannot be read.
    assert_eq!(said.lines().count(), 7, "{said}");
    assert!(!Path::new(&mesh).exists());
}

#[test]
fn an_invitation_ends_before_the_year_10000_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "madrid.invitation");
    let args = ["zone", "invite", "madrid", "--prefix", "10.10.11.0/24", "--valid-for"];
    let refused = tell(&[&args[..], &["4000000000d", "--out", &file]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("ends after the year 9999"), "{}", stderr(&refused));
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_zone_that_is_misspelled_is_told_with_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in
        [&["--lan", "madird=10.10.11.254"][..], &["--federation", "health-eu=berlin:madird"]]
    {
        let output = init(&path(folder.path(), "mesh"), wrong);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains("zone madird, which is not founded"), "{said}");
        assert!(said.contains("founded: berlin, madrid"), "{said}");
    }
}

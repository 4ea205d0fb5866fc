//! The commands about who belongs to a mesh: what they ask for, print, write and refuse.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_core::membership::{Grant, SignedTrustItem, TrustItem};

use crate::answers::has_shape;
use crate::daemon::{Daemon, Paris};
use crate::mesh_service::{INVITATION, OTHER_KEY, ZONE_KEY, old_grant};
use crate::{ask, stderr, stdout, zonemesh};

pub(crate) fn tell(args: &[&str]) -> Output {
    let daemon = Daemon::start(Paris::Up);
    ask(&daemon.socket(), args)
}

pub(crate) fn code(args: &[&str]) -> Option<i32> {
    tell(args).status.code()
}

pub(crate) fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn a_founded_mesh_names_its_authority_and_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let owner = path(folder.path(), "owner.key");
    let founding = ["mesh", "init", "--grant-configured", "--owner-key", &owner];
    let text = stdout(&tell(&founding));
    assert!(text.contains(&format!("owner key  {owner}\n")), "{text}");
    assert!(text.contains("move it to a place that no gateway"), "{text}");
    let made = std::fs::read_to_string(&owner).unwrap();
    assert_eq!(code(&founding), Some(6), "an owner key is not written over");
    assert_eq!(std::fs::read_to_string(&owner).unwrap(), made);
    let three = ["mesh", "init", "--owners", "3", "--owner-key", &path(folder.path(), "o.key")];
    assert!(stdout(&tell(&three)).contains("o-1.key, "), "{text}");
    assert!(folder.path().join("o-3.key").exists());
    assert_eq!(code(&["mesh", "init", "--owners", "0"]), Some(2), "nobody could change it");
    assert!(text.contains("zones      berlin, madrid, paris\n"), "{text}");
    assert!(text.contains("authority  authority:guYS") && text.contains("next: zonemesh zone"));
    assert_eq!(code(&["mesh", "init", "--threshold", "0"]), Some(2));
}

#[test]
fn a_change_of_key_is_under_way_until_everyone_has_used_the_new_one() {
    let begun = tell(&["key", "rotate"]);
    assert_eq!(begun.status.code(), Some(1));
    let text = stdout(&begun);
    assert!(text.contains("next          next\nnot used by   paris\n"), "{text}");
    let shown = tell(&["key", "rotate", "--show"]);
    assert_eq!(shown.status.code(), Some(0));
    assert_eq!(stdout(&shown), "key   present\nnext  none is on its way\n");
    assert_eq!(code(&["key", "rotate", "--show", "--finish"]), Some(2));
}

#[test]
fn an_invitation_goes_into_a_private_file_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "rome.invitation");
    let invite = ["zone", "invite", "rome", "--prefix", "10.10.13.0/24", "--out", &file];
    let output = tell(&invite);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{INVITATION}\n"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(stdout(&output).starts_with("invited rome as 10.255.0.4: "), "{}", stdout(&output));
    assert!(!stdout(&output).contains(INVITATION));
    let again = tell(&invite);
    assert_eq!(again.status.code(), Some(6));
    assert!(stderr(&again).contains("is not overwritten"), "{}", stderr(&again));
}

#[test]
fn an_invitation_says_what_it_promises_and_a_token_without_role_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "rome.invitation");
    let token = format!("supernode:health-eu=zmt1:{}", "ab".repeat(32));
    let invite = ["zone", "invite", "rome", "--prefix", "10.10.13.0/24", "--out", &file];
    let more = ["--federation", "health-eu=train", "--token-hash"];
    let said = stdout(&tell(&[&invite[..], &more, &[&token]].concat()));
    assert!(said.contains(&format!("federations  health-eu=train\ntoken  {token}\n")), "{said}");
    let other = path(folder.path(), "other");
    let without = token.trim_start_matches("supernode:health-eu=");
    let invite = ["zone", "invite", "rome", "--prefix", "10.10.13.0/24", "--out", &other];
    let refused = tell(&[&invite[..], &more, &[without]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("write ROLE=SHA256"), "{}", stderr(&refused));
}

#[test]
fn the_tokens_are_listed_with_where_they_are_known_from() {
    let text = stdout(&tell(&["token", "list"]));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TOKEN                ROLE       FEDERATION  ENDS"), "{text}");
    assert!(lines[1].contains("2027-01-15T08:00:00Z") && lines[1].contains("configuration"));
    assert!(lines[2].contains("never") && lines[2].contains("invitation by berlin"), "{text}");
    let hash = format!("zmt1:{}", "ab".repeat(32));
    assert_eq!(tell(&["token", "remove", &hash]).status.code(), Some(0));
    assert_eq!(tell(&["token", "remove", "zmt1:00"]).status.code(), Some(2));
}

#[test]
fn a_refused_invitation_names_both_owners_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "greedy");
    let output = tell(&["zone", "invite", "greedy", "--prefix", "10.10.10.0/24", "--out", &file]);
    assert_eq!(output.status.code(), Some(6));
    let said = stderr(&output);
    assert!(said.contains("zone greedy") && said.contains("zone berlin's 10.10.10.0/24"), "{said}");
    assert!(said.ends_with("next: zonemesh zone list\n"), "{said}");
    assert!(!Path::new(&file).exists());
    let unmeasured = tell(&["zone", "invite", "a", "--prefix", "10.10.13.0", "--out", &file]);
    assert!(stderr(&unmeasured).contains("add the length"), "{}", stderr(&unmeasured));
    for wrong in [&["--prefix", "10.10.10.0"][..], &["--prefix", "x/1"], &["--valid-for", "1y"]] {
        let args = [&["zone", "invite", "a", "--out", file.as_str()], wrong].concat();
        assert_eq!(code(&args), Some(2), "{wrong:?}");
    }
}

#[test]
fn joining_shows_each_step_also_from_standard_input() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "invitation");
    std::fs::write(&file, format!("{INVITATION}\n")).unwrap();
    let output = tell(&["zone", "join", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "redeemed\nthis zone is a member\n");
    let daemon = Daemon::start(Paris::Up);
    let mut command = zonemesh();
    command.args(["zone", "join", "-"]).env("ZONEMESH_SOCKET", daemon.socket());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(INVITATION.as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, output.stdout);
    std::fs::write(&file, "something else").unwrap();
    let refused = tell(&["zone", "join", &file]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(stderr(&refused).contains("T420 this is no invitation"), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("something else"));
}

#[test]
fn a_zone_is_revoked_only_when_its_name_is_written_twice() {
    let unconfirmed = tell(&["zone", "revoke", "paris"]);
    assert_eq!(unconfirmed.status.code(), Some(2));
    assert!(stderr(&unconfirmed).contains("next: zonemesh zone revoke paris --confirm paris"));
    assert_eq!(code(&["zone", "revoke", "paris", "--confirm", "pari"]), Some(2));
    let output = tell(&["zone", "revoke", "paris", "--confirm", "paris", "--reason", "stolen"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "members no more: paris\nnew trust items: 1\n");
    assert_eq!(code(&["zone", "revoke", "nowhere", "--confirm", "nowhere"]), Some(6));
    assert_eq!(code(&["zone", "approve", "static"]), Some(6));
}

#[test]
fn an_invitation_that_is_withdrawn_is_a_note_and_no_warning() {
    let output = tell(&["zone", "revoke", "oslo", "--confirm", "oslo"]);
    let text = "note: zone oslo is no member: its invitation holds no more\nnew trust items: 0\n";
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), text));
}

#[test]
fn a_zone_leaves_only_when_its_own_name_is_written() {
    let unconfirmed = tell(&["zone", "leave"]);
    assert_eq!(unconfirmed.status.code(), Some(2));
    let said = stderr(&unconfirmed);
    assert!(said.ends_with("next: zonemesh zone leave --confirm berlin\n"), "{said}");
    assert_eq!(code(&["zone", "leave", "--confirm", "paris"]), Some(2));
    let left = tell(&["zone", "leave", "--confirm", "berlin"]);
    assert_eq!(left.status.code(), Some(0), "{}", stderr(&left));
    let text = stdout(&left);
    assert!(text.contains("zone berlin has left the mesh") && text.contains("told: madrid, paris"));
}

#[test]
fn a_zone_is_granted_with_the_key_that_somebody_attests() {
    let key = "ed25519:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=";
    let grant = ["zone", "grant", "rome", "--prefix", "10.10.13.0/24", "--zone-key"];
    assert_eq!(code(&[&grant[..], &[key]].concat()), Some(0));
    let lost = tell(&[&grant[..], &[key, "--federation", "health-eu=train"]].concat());
    assert_eq!(lost.status.code(), Some(1), "never 0 beside a warning");
    assert!(stdout(&lost).starts_with("! rome hosts another: health-eu=train\n"), "{lost:?}");
    let other = tell(&[&grant[..], &["ed25519:other"]].concat());
    assert_eq!(other.status.code(), Some(6));
    assert!(stderr(&other).contains("another key"), "{}", stderr(&other));
    assert_eq!(code(&grant[..4]), Some(2));
}

#[test]
fn an_item_goes_to_an_offline_authority_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let [draft, key, signed] =
        ["draft", "authority.key", "signed"].map(|name| path(folder.path(), name));
    let revoked = tell(&["zone", "revoke", "offline", "--confirm", "offline", "--out", &draft]);
    assert_eq!(revoked.status.code(), Some(1), "nothing has changed yet");
    assert!(stdout(&revoked).contains("1 more signatures are needed"), "{}", stdout(&revoked));
    let shown = stdout(&tell(&["trust", "show", &draft]));
    let text = "KIND        NUMBER  SIGNATURES\nrevocation  7       none\n  paris ed25519:guYS";
    assert!(shown.starts_with(text) && shown.lines().all(|line| line.len() <= 80), "{shown}");
    let shown = stdout(&tell(&["trust", "show", &draft, "--wide"]));
    assert!(shown.contains("revocation  7       paris  ed25519:guYS"), "{shown}");
    assert!(shown.contains("stolen  none\n"), "{shown}");
    let unsigned = tell(&["trust", "import", &draft]);
    assert_eq!(unsigned.status.code(), Some(1), "it may still be signed");
    let said = stdout(&unsigned);
    assert!(
        said.contains("the revocation of paris lacks 1 of 1 signatures\nnext: zonemesh trust sign"),
        "{said}"
    );
    assert!(!said.contains("refused"), "{said}");
    let made = tell(&["key", "generate", "authority", "--out", &key]);
    assert!(stdout(&made).starts_with("authority:"), "{}", stderr(&made));
    let output = tell(&["trust", "sign", &draft, "--key", &key, "--out", &signed, "--wide"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("stolen  1\n"), "{said}");
    let whose = format!("signed by {}; the file does not say whether", stdout(&made).trim());
    assert!(said.contains(&whose), "{said}");
    let imported = tell(&["trust", "import", &signed]);
    assert_eq!(imported.status.code(), Some(0), "{}", stderr(&imported));
    assert_eq!(code(&["trust", "export", "--out", &path(folder.path(), "all")]), Some(0));
    assert_eq!(code(&["trust", "export", "--out", &signed]), Some(6));
    std::fs::write(&draft, "bm8gaXRlbQ==\n").unwrap();
    let output = tell(&["trust", "show", &draft]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("line 1 is no trust item"), "{}", stderr(&output));
}

#[test]
fn a_key_that_is_no_authoritys_by_its_name_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let draft = path(folder.path(), "draft");
    std::fs::write(&draft, STANDARD.encode(old_grant().to_file_bytes())).unwrap();
    for (kind, whose) in [("zone", "a zone's"), ("wireguard", "a tunnel's")] {
        let key = path(folder.path(), &format!("{kind}.key"));
        tell(&["key", "generate", kind, "--out", &key]);
        let signed = path(folder.path(), "signed");
        let output = tell(&["trust", "sign", &draft, "--key", &key, "--out", &signed]);
        assert_eq!(output.status.code(), Some(7), "{}", stdout(&output));
        assert!(stderr(&output).contains(&format!("holds {whose} key by its name")));
        assert!(!Path::new(&signed).exists());
    }
}

#[test]
fn what_a_grant_allows_is_seen_before_it_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let draft = path(folder.path(), "draft");
    let Ok(TrustItem::Grant(mut grant)) = old_grant().decode() else { panic!("it is a grant") };
    let show = |grant: &Grant, format: &str| {
        let item = SignedTrustItem::unsigned(&TrustItem::Grant(grant.clone()));
        std::fs::write(&draft, STANDARD.encode(item.to_file_bytes())).unwrap();
        stdout(&tell(&["trust", "show", &draft, "--wide", "-o", format]))
    };
    let said = show(&grant, "table");
    assert!(said.contains(" 10.255.0.4 health-eu=train "), "{said}");
    let json: serde_json::Value = serde_json::from_str(&show(&grant, "json")).unwrap();
    assert_eq!(json["items"][0]["federations"], serde_json::json!(["health-eu=train"]));
    grant.federations.clear();
    let said = show(&grant, "table");
    assert!(said.contains(" 10.255.0.4 any federation "), "{said}");
}

#[test]
fn an_import_of_which_nothing_takes_effect_ends_with_1_and_says_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "old");
    let line = STANDARD.encode(old_grant().to_file_bytes());
    std::fs::write(&file, line).unwrap();
    let imported = tell(&["trust", "import", &file]);
    assert_eq!(imported.status.code(), Some(1), "{}", stderr(&imported));
    let said = stdout(&imported);
    for line in [
        "the grant of rome is overtaken by a later decision\n",
        "change 2 of the authorities is not followed\n",
        "then zonemesh authority pin SET --file FILE\n",
        "next: zonemesh zone list; zonemesh authority list\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(!said.contains("trust sign") && !said.contains("refused"), "{said}");
}

#[test]
fn without_a_file_what_writes_an_unfinished_item_into_one_is_told() {
    let text = stdout(&tell(&["zone", "approve", "offline"]));
    let expected = "1 more signatures are needed, nothing has changed yet\n\
        next: zonemesh zone approve offline --out FILE, then zonemesh trust sign FILE --key KEY \
        --out SIGNED where an authority's key lies, then here zonemesh trust import SIGNED\n";
    assert_eq!(text, expected);
    let json = stdout(&tell(&["zone", "approve", "offline", "-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "draft");
    std::fs::write(&file, json["unfinished"].as_str().unwrap()).unwrap();
    assert_eq!(code(&["trust", "show", &file]), Some(0), "{json}");
}

#[test]
fn a_key_that_takes_the_place_of_another_is_approved_by_who_has_read_both() {
    let asked = tell(&["zone", "approve", "kiel"]);
    assert_eq!(asked.status.code(), Some(2), "{}", stderr(&asked));
    let said = stderr(&asked);
    for part in [
        &format!("revokes the key {ZONE_KEY} of kiel for ever and grants {OTHER_KEY}"),
        "zonemesh zone approve kiel --confirm kiel",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let mistyped = tell(&["zone", "approve", "kiel", "--confirm", "rome"]);
    assert_eq!(mistyped.status.code(), Some(2), "{}", stderr(&mistyped));
    let done = tell(&["zone", "approve", "kiel", "--confirm", "kiel"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
}

#[test]
fn a_block_is_told() {
    assert_eq!(stdout(&tell(&["zone", "block", "paris"])), "blocked here: paris\n");
    assert_eq!(stdout(&tell(&["zone", "unblock", "paris"])), "no zone is blocked here\n");
    let as_before = "nothing was changed: no zone is blocked here\n";
    assert_eq!(stdout(&tell(&["zone", "unblock", "rome"])), as_before);
}

#[test]
fn the_list_of_zones_shows_who_waits_and_what_contradicts() {
    let output = tell(&["zone", "list"]);
    assert_eq!(output.status.code(), Some(1), "grants contradict each other");
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("MESH "), "{text}");
    assert_eq!(lines[1], "2 of 2 authorities must sign");
    assert!(lines[2].starts_with("ZONE            STATE    SINCE"), "{text}");
    assert!(lines[3].starts_with("berlin (local)  member  "), "{text}");
    assert!(lines[4].starts_with("paris           revoked"), "{text}");
    assert!(lines[..6].iter().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!lines[3].contains("ed25519:"), "{text}");
    let wide = stdout(&tell(&["zone", "list", "-w"]));
    let shown: Vec<&str> = wide.lines().collect();
    assert!(shown[3].contains("  any  ") && shown[3].contains("  ed25519:"), "{wide}");
    assert!(shown[5].contains("  health-eu=train  "), "{wide}");
    assert!(lines[5].starts_with("rome            waits"), "{text}");
    assert!(lines[6].starts_with("revoked: paris by authority:dRvv, "), "{text}");
    assert!(lines[6].ends_with(": stolen"), "{text}");
    assert!(lines[7].starts_with("invited: oslo (for "), "{text}");
    assert_eq!(lines[8], "! rome waits for approval   -> zonemesh zone approve rome");
    assert!(lines[9].starts_with("! zone x is not admitted"), "{text}");
}

#[test]
fn the_answers_keep_their_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let [file, draft] = ["invitation", "draft"].map(|name| path(folder.path(), name));
    let owner = path(folder.path(), "owner.key");
    let init = ["mesh", "init", "--owner-key", &owner];
    let invite = ["zone", "invite", "rome", "--prefix", "10.10.13.0/24", "--out", &file];
    for (args, schema, shape) in [
        (&init[..], "zonemesh/mesh/v1", MESH),
        (&["zone", "list"], "zonemesh/zones/v1", ZONES),
        (&invite, "zonemesh/invitation/v1", INVITED),
        (&["zone", "join", &file], "zonemesh/join/v1", JOINED),
        (&["zone", "block", "paris"], "zonemesh/blocked/v1", BLOCKED),
        (&["token", "list"], "zonemesh/tokens/v1", TOKENS),
        (&["zone", "approve", "offline"], "zonemesh/trust/v1", TRUST),
        (&["authority", "list"], "zonemesh/authorities/v1", AUTHORITIES),
        (&["authority", "renew"], "zonemesh/authority-change/v1", AUTHORITY_CHANGE),
        (&["trust", "export", "--out", &draft], "zonemesh/trust-items/v1", TRUST_ITEMS),
    ] {
        has_shape(&stdout(&tell(&[args, &["-o", "json"]].concat())), schema, shape);
    }
}

const MESH: &str = "
authority_key: string
mesh: string
owner_key_files: list
schema: string
zones: list
";
const ZONES: &str = "
accepted: object
  stored: number
alarms: list
authority_keys: list
disputed: list
  granted_key: string
  zone: string
  zone_key: string
invitations: list
  expires_at: string
  zone: string
mesh: string
pending: list
  federations: list
  prefixes: list
  tunnel_addresses: list
  zone: string
  zone_key: string
rejected: object
  not_authorised: number
schema: string
threshold: number
zones: list
  federations: list
  issued_at: string
  own: bool
  prefixes: list
  reason: null
  revoked_by: list
  serial: number
  state: string
  tunnel_addresses: list
  zone: string
  zone_key: string
";
const INVITED: &str = "
expires_at: string
federations: list
file: string
notes: list
schema: string
tokens: list
tunnel_addresses: list
zone: string
";
const JOINED: &str = "
done: bool
schema: string
steps: list
";
const TOKENS: &str = "
schema: string
served: bool
tokens: list
  expires_at: string
  federation: string
  inviter: null
  name: string
  role: string
  sha256: string
  source: string
";
const BLOCKED: &str = "
blocked: list
changed: bool
schema: string
";
const AUTHORITIES: &str = "
authorities: list
  here: bool
  key: string
changed_at: string
changes: number
conflicts: list
mesh: string
owners: list
pinned: bool
schema: string
set: string
threshold: number
";
const AUTHORITY_CHANGE: &str = "
back: list
by_removed: list
file: null
not_compared: list
out: list
schema: string
set: string
signatures_missing: number
since_last: list
stay: list
tokens_anew: list
";
const TRUST: &str = "
added: list
file: null
lacking: list
notes: list
rejected: object
removed: list
schema: string
signatures_missing: number
stored: number
unfinished: string
warnings: list
";
const TRUST_ITEMS: &str = "
file: string
items: list
  authority_keys: list
  federations: list
  issued_at: string
  kind: string
  listed: number
  number: number
  owner_keys: list
  prefixes: list
  reason: string
  set: null
  signatures_hold: bool
  signed_by: list
  threshold: null
  tunnel_addresses: list
  zone: string
  zone_key: string
schema: string
";

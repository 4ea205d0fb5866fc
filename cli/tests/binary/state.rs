//! A state folder saved and restored through the real binary.

use std::path::Path;
use std::process::Output;

use zonemesh_core::membership::{Grant, SignedTrustItem, TrustItem};

use crate::mesh_service::old_grant;
use crate::{run, stderr, stdout};

fn key(dir: &Path, kind: &str) -> String {
    let file = dir.join(format!("{kind}.key"));
    stdout(&run(&["key", "generate", kind, "--out", file.to_str().expect("the path is text")]))
        .trim()
        .to_owned()
}

fn state(verb: &str, file: &Path, dir: &Path) -> Output {
    let (file, dir) =
        (file.to_str().expect("the path is text"), dir.to_str().expect("the path is text"));
    run(&["state", verb, file, "--state-dir", dir])
}

#[test]
fn a_gateway_is_itself_again_after_a_restore_and_no_secret_is_printed() {
    let work = tempfile::tempdir().unwrap();
    let [from, to, file] = ["from", "to", "berlin.state"].map(|name| work.path().join(name));
    std::fs::create_dir(&from).unwrap();
    let (zone, _) = (key(&from, "zone"), key(&from, "wireguard"));
    let secret = std::fs::read_to_string(from.join("zone.key")).unwrap();
    let saved = state("backup", &file, &from);
    assert_eq!(saved.status.code(), Some(0), "{}", stderr(&saved));
    let restored = state("restore", &file, &to);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    assert_eq!(std::fs::read_to_string(to.join("zone.key")).unwrap(), secret);
    for output in [saved, restored] {
        assert!(stdout(&output).contains(&zone), "{}", stdout(&output));
        assert!(!stdout(&output).contains(secret.trim()));
    }
    let again = state("restore", &file, &to);
    assert_eq!(again.status.code(), Some(6));
    assert!(stderr(&again).contains("next: systemctl stop zonemeshd"), "{}", stderr(&again));
    assert_eq!(state("backup", &file, &from).status.code(), Some(6));
}

#[test]
fn a_restore_says_whose_state_it_is_and_if_the_configuration_is_another_zones() {
    let work = tempfile::tempdir().unwrap();
    let [from, file, config] = ["from", "saved", "zm.toml"].map(|name| work.path().join(name));
    std::fs::create_dir_all(from.join("trust")).unwrap();
    let (zone_key, _) = (key(&from, "zone"), key(&from, "wireguard"));
    let Ok(TrustItem::Grant(grant)) = old_grant().decode() else { panic!("it is a grant") };
    let grant = Grant { zone_key: zone_key.parse().unwrap(), ..grant };
    let grant = SignedTrustItem::unsigned(&TrustItem::Grant(grant));
    std::fs::write(from.join("trust/1.item"), grant.to_file_bytes()).unwrap();
    assert_eq!(state("backup", &file, &from).status.code(), Some(0));
    for (configured, warns) in [("berlin", true), ("rome", false)] {
        let text = format!("[zone]\nname = \"{configured}\"\nprefixes = [\"10.10.13.0/24\"]\n");
        std::fs::write(&config, text).unwrap();
        let to = work.path().join(configured);
        let [file, to, config] = [&file, &to, &config].map(|path| path.to_str().unwrap());
        let restored = run(&["state", "restore", file, "--state-dir", to, "--config", config]);
        let said = stdout(&restored);
        assert!(said.contains(": zone rome, 3 files, "), "{said}");
        assert!(said.contains(&zone_key), "{said}");
        let warned = said.contains("! the configuration here is for zone berlin (zone.name)");
        assert_eq!(warned, warns, "{said}");
    }
}

#[test]
fn what_is_no_backup_and_no_state_folder_is_7() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("x");
    let output = state("backup", &file, work.path());
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("there is no zone.key in "), "{}", stderr(&output));
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(state("restore", &file, &work.path().join("new")).status.code(), Some(7));
}

#[test]
fn the_answer_keeps_its_shape() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("saved");
    key(work.path(), "zone");
    key(work.path(), "wireguard");
    let (name, dir) = (file.to_str().unwrap(), work.path().to_str().unwrap());
    let output = run(&["state", "backup", name, "--state-dir", dir, "-o", "json"]);
    crate::answers::has_shape(&stdout(&output), "zonemesh/state/v1", STATE);
}

const STATE: &str = "
action: string
bytes: number
configured_zone: null
file: string
files: number
is_managed: bool
schema: string
state_dir: string
zone: null
zone_key: string
";

//! Keys and tokens through the real binary: what is written, what is printed and what never is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::daemon::{Daemon, PIN, Paris};
use crate::{ask, run, stderr, stdout};

fn generate(kind: &str, file: &Path) -> std::process::Output {
    run(&["key", "generate", kind, "--out", file.to_str().expect("the path is text")])
}

#[test]
fn a_private_key_goes_into_a_new_file_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["wireguard", "zone"] {
        let file = folder.path().join(format!("{kind}.key"));
        let output = generate(kind, &file);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let secret = std::fs::read_to_string(&file).unwrap();
        assert_eq!(secret.len(), 45);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let public = run(&["key", "public", file.to_str().unwrap()]);
        assert_eq!(stdout(&public), stdout(&output));
        assert_eq!(stdout(&output).starts_with("ed25519:"), kind == "zone");
        for output in [&output, &public] {
            assert!(
                !stdout(output).contains(secret.trim()) && !stderr(output).contains(secret.trim())
            );
        }
        let again = generate(kind, &file);
        assert_eq!(again.status.code(), Some(6));
        assert!(stderr(&again).contains("is not overwritten"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    }
}

#[test]
fn the_public_key_is_the_one_of_rfc_7748() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alice");
    std::fs::write(&file, "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n").unwrap();
    let output = run(&["key", "public", file.to_str().unwrap(), "--kind", "wireguard"]);
    assert_eq!(stdout(&output), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n");
    std::fs::write(&file, "no key").unwrap();
    let output = run(&["key", "public", file.to_str().unwrap(), "--kind", "zone"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(!stderr(&output).contains("no key\n"));
}

#[test]
fn a_token_is_printed_once_with_its_hash_or_written() {
    let zone_key = "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
    let make = |more: &[&str]| {
        let all = [&["key", "generate", "token", "--zone-key", zone_key], more].concat();
        stdout(&run(&all))
    };
    let text = make(&[]);
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    assert!(
        matches!(words.as_slice(), ["token", token, "sha256", hash, "pins", PIN]
            if token.starts_with(&format!("zmt1.{PIN}.")) && hash.starts_with("zmt1:")),
        "{text}"
    );
    let json = make(&["-o", "json"]);
    assert!(json.starts_with("{\n  \"schema\": \"zonemesh/token/v1\",\n  \"token\": \""), "{json}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let text = make(&["--out", file.to_str().unwrap()]);
    let token = std::fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("zmt1.key:"), "{token}");
    assert!(!text.contains(token.trim()) && text.contains("sha256"), "{text}");
}

#[test]
fn a_token_pins_what_the_daemon_says_of_its_zone_or_what_was_named() {
    let daemon = Daemon::start(Paris::Up);
    let text = stdout(&ask(&daemon.socket(), &["key", "generate", "token"]));
    assert!(text.contains(&format!("token   zmt1.{PIN}.")), "{text}");
    let named = "mesh:BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU:berlin:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
    let text = stdout(&run(&["key", "generate", "token", "--pin", named]));
    assert!(text.contains(&format!("token   zmt1.{named}.")), "{text}");
    let output = run(&["key", "generate", "token", "--socket", "/nowhere/admin.sock"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output)
            .contains("next: to make it elsewhere: zonemesh key generate token --zone-key")
    );
    let id = "05".repeat(32);
    let offline = ["key", "generate", "token", "--mesh", &id, "--zone", "berlin"];
    let [first, set] = ["BQUF", "CQkJ"].map(|four| format!("{}{}", four.repeat(10), &four[..3]));
    let text = stdout(&run(&offline));
    assert!(text.contains(&format!("token   zmt1.{}.", named.replace(&set, &first))), "{text}");
    let text = stdout(&run(&[&offline[..], &["--set", &"09".repeat(32)]].concat()));
    assert!(text.contains(&format!("token   zmt1.{named}.")), "{text}");
    let output = run(&["key", "generate", "token", "--mesh", "05", "--zone", "berlin"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("a mesh id has 64 hexadecimal digits"));
    let output = run(&["key", "generate", "token", "--pin", "mesh:x"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

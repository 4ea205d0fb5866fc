//! Keys and tokens through the real binary: what is written, what is printed and what never is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::{run, stderr, stdout};

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
    let text = stdout(&run(&["key", "generate", "token"]));
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(
        matches!(words.as_slice(), ["token", token, "sha256", hash] if token.len() == 43 && hash.len() == 64),
        "{text}"
    );
    let json = stdout(&run(&["key", "generate", "token", "-o", "json"]));
    assert!(json.starts_with("{\n  \"schema\": \"zonemesh/token/v1\",\n  \"token\": \""), "{json}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let text = stdout(&generate("token", &file));
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(token.trim().len(), 43);
    assert!(!text.contains(token.trim()) && text.contains("sha256"), "{text}");
}

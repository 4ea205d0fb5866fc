//! Who may sign: listed, changed with confirmation, and signed offline only if that is said.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityPublicKey, Membership, SignedTrustItem, TrustItem,
};
use zonemesh_core::time::UnixMillis;

use crate::mesh::{code, path, tell};
use crate::mesh_service::{added, owner};
use crate::{stderr, stdout};

#[test]
fn who_may_sign_is_listed_with_what_contradicts() {
    let listing = tell(&["authority", "list"]);
    let listed = stdout(&listing);
    let set = "cd".repeat(32);
    let head = format!(
        "1 of 2 must sign a zone, 2 of 2 owners this list\nset {set}, pinned at this gateway\n"
    );
    assert!(listed.starts_with(&head), "{listed}");
    for line in ["authority:a  zones      yes", "authority:o  this list  no"] {
        assert!(listed.contains(line), "{listed}");
    }
    assert!(listed.contains("! sets ab and cd follow the same one\n  next: zonemesh"), "{listed}");
    assert_eq!(listing.status.code(), Some(1), "no exit 0 beside a warning");
}

/// Files of the owner's key and of the one that a change adds.
fn key_files(folder: &Path) -> [String; 2] {
    [("owner.key", owner()), ("added.key", added())].map(|(name, identity)| {
        let file = path(folder, name);
        std::fs::write(&file, identity.to_base64().as_str()).expect("a key file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("its mode");
        file
    })
}

#[test]
fn a_change_is_in_force_only_with_its_owners_and_the_keys_that_it_adds() {
    let folder = tempfile::tempdir().unwrap();
    let [owner_file, added_file] = key_files(folder.path());
    let draft = path(folder.path(), "draft");
    let add = ["authority", "add", "authority:c"];
    let none = tell(&add);
    assert_eq!(none.status.code(), Some(1));
    let said = stdout(&none);
    assert!(said.contains("nothing has changed: 2 signatures are missing"), "{said}");
    assert!(said.contains("only by removed keys  madrid"), "{said}");
    assert!(said.contains("not heard from        paris"), "{said}");
    let one = tell(&[&add[..], &["--key", &owner_file, "--out", &draft]].concat());
    assert_eq!(one.status.code(), Some(1), "{}", stderr(&one));
    assert!(stdout(&one).contains("1 signature is missing\nwritten: "), "{}", stdout(&one));
    assert_eq!(std::fs::read_to_string(&draft).unwrap().lines().count(), 2);
    let both = tell(&[&add[..], &["--key", &owner_file, "--key", &added_file]].concat());
    assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
    assert!(stdout(&both).ends_with("in force\n"), "{}", stdout(&both));
    assert_eq!(code(&["authority", "threshold", "0"]), Some(2));
}

#[test]
fn a_stolen_key_is_removed_with_the_word_whose_tokens_must_be_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [owner_file, added_file] = key_files(folder.path());
    let keys = ["--key", &owner_file, "--key", &added_file];
    let remove = ["authority", "remove", "authority:b", "--confirm", "authority:b"];
    let anew = "make the VMs' tokens of berlin, madrid anew: zonemesh key generate token\n";
    let stolen = [&remove[..], &["--stolen"]].concat();
    let unsigned = stdout(&tell(&stolen));
    assert!(unsigned.ends_with(&format!("\nonce it is in force, {anew}")), "{unsigned}");
    let signed = stdout(&tell(&[&stolen[..], &keys].concat()));
    assert!(signed.ends_with(&format!("in force\n{anew}")), "{signed}");
    let json = stdout(&tell(&[&stolen[..], &keys, &["-o", "json"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tokens_anew"], serde_json::json!(["berlin", "madrid"]));
    let kept = stdout(&tell(&[&remove[..], &keys].concat()));
    assert!(!kept.contains("tokens"), "{kept}");
}

#[test]
fn a_removal_and_a_pin_are_confirmed() {
    let unconfirmed = tell(&["authority", "remove", "authority:b"]);
    assert_eq!(unconfirmed.status.code(), Some(2));
    let next = "next: zonemesh authority remove authority:b --confirm authority:b";
    assert!(stderr(&unconfirmed).contains(next), "{}", stderr(&unconfirmed));
    let last = ["authority", "remove", "authority:last", "--confirm", "authority:last"];
    let refused = tell(&last);
    assert_eq!(refused.status.code(), Some(6));
    assert!(stderr(&refused).contains("add another one before"), "{}", stderr(&refused));
    assert_eq!(code(&["authority", "pin", "cd"]), Some(2));
    assert_eq!(code(&["authority", "pin", "cd", "--confirm", "cd"]), Some(0));
    assert_eq!(code(&["authority", "pin", "unknown", "--confirm", "unknown"]), Some(6));
}

#[test]
fn a_change_of_who_may_sign_is_signed_only_if_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, stranger, draft, one, two, both] =
        ["first.key", "second.key", "stranger.key", "draft", "one", "two", "both"]
            .map(|name| path(folder.path(), name));
    let public = [&first, &second, &stranger].map(|file| {
        let made = stdout(&tell(&["key", "generate", "authority", "--out", file]));
        made.trim().parse::<AuthorityPublicKey>().unwrap()
    });
    let keys = BTreeSet::from([public[0], public[1]]);
    let set = Membership::draft_first(keys.clone(), keys, 2, UnixMillis(1)).unwrap();
    let base = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set));
    let membership = Membership::new(base.clone()).unwrap();
    let edit = AuthorityEdit { add: [public[2]].into(), ..AuthorityEdit::default() };
    let next = membership.draft_change(&edit, UnixMillis(2)).unwrap();
    let next = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(next.next));
    let line = |item: &SignedTrustItem| STANDARD.encode(item.to_file_bytes());
    std::fs::write(&draft, [line(&base), line(&next)].join("\n")).unwrap();
    let sign = |from: &str, key: &str, to: &str, more: &[&str]| {
        tell(&[&["trust", "sign", from, "--key", key, "--out", to][..], more].concat())
    };
    let silent = sign(&draft, &first, &one, &[]);
    assert_eq!(silent.status.code(), Some(6));
    assert!(stderr(&silent).contains("changes who may sign"), "{}", stderr(&silent));
    let aloud = &["--authorities"][..];
    let fourth = path(folder.path(), "fourth.key");
    let fourth_key = stdout(&tell(&["key", "generate", "authority", "--out", &fourth]));
    let refused = sign(&draft, &fourth, &one, aloud);
    assert_eq!(refused.status.code(), Some(6), "{}", stdout(&refused));
    let said = stderr(&refused);
    assert!(said.contains(&format!("the signature of {} does not", fourth_key.trim())), "{said}");
    assert!(public.iter().all(|key| said.contains(&key.to_string())), "{said}");
    assert_eq!(sign(&draft, &first, &one, aloud).status.code(), Some(0));
    assert_eq!(sign(&one, &second, &two, aloud).status.code(), Some(0));
    assert_eq!(sign(&two, &stranger, &both, aloud).status.code(), Some(0), "the key that is added");
    let signed = std::fs::read_to_string(&both).unwrap();
    let signed = STANDARD.decode(signed.lines().nth(1).unwrap()).unwrap();
    let mut membership = membership;
    membership.accept(SignedTrustItem::from_file_bytes(&signed).unwrap()).unwrap();
    assert_eq!(membership.authority_set().1.keys.len(), 3);
}

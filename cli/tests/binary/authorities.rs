//! Who may sign: listed, changed with confirmation, and signed offline only if that is said.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityPublicKey, Membership, SignedTrustItem, TrustItem,
};
use zonemesh_core::time::UnixMillis;

use crate::mesh::{code, path, tell};
use crate::{stderr, stdout};

#[test]
fn who_may_sign_is_listed_and_changed_and_a_removal_is_confirmed() {
    let listed = stdout(&tell(&["authority", "list"]));
    assert!(
        listed.starts_with("1 of 2 must sign\nAUTHORITY    HERE\nauthority:a  yes\n"),
        "{listed}"
    );
    assert!(listed.contains("1 changes contradict"), "{listed}");
    assert_eq!(code(&["authority", "add", "authority:c"]), Some(0));
    let unconfirmed = tell(&["authority", "remove", "authority:b"]);
    assert_eq!(unconfirmed.status.code(), Some(2));
    let next = "next: zonemesh authority remove authority:b --confirm authority:b";
    assert!(stderr(&unconfirmed).contains(next), "{}", stderr(&unconfirmed));
    let confirmed = ["authority", "remove", "authority:b", "--confirm", "authority:b"];
    assert_eq!(code(&confirmed), Some(0));
    let last = ["authority", "remove", "authority:last", "--confirm", "authority:last"];
    let refused = tell(&last);
    assert_eq!(refused.status.code(), Some(6));
    assert!(stderr(&refused).contains("add another one before"), "{}", stderr(&refused));
    assert_eq!(code(&["authority", "threshold", "0"]), Some(2));
    let folder = tempfile::tempdir().unwrap();
    let draft = path(folder.path(), "draft");
    assert_eq!(code(&["authority", "threshold", "2", "--out", &draft]), Some(1));
    assert_eq!(std::fs::read_to_string(&draft).unwrap().lines().count(), 2);
}

#[test]
fn a_change_of_who_may_sign_is_signed_only_if_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, stranger, draft, one, both] =
        ["first.key", "second.key", "stranger.key", "draft", "one", "both"]
            .map(|name| path(folder.path(), name));
    let public = [&first, &second, &stranger].map(|file| {
        let made = stdout(&tell(&["key", "generate", "authority", "--out", file]));
        made.trim().parse::<AuthorityPublicKey>().unwrap()
    });
    let keys = BTreeSet::from([public[0], public[1]]);
    let set = Membership::draft_first(keys, 2, UnixMillis(1)).unwrap();
    let base = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set));
    let membership = Membership::new(base.clone()).unwrap();
    let edit = AuthorityEdit { add: [public[2]].into(), ..AuthorityEdit::default() };
    let next = membership.draft_change(&edit, UnixMillis(2)).unwrap();
    let next = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(next));
    let line = |item: &SignedTrustItem| STANDARD.encode(item.to_file_bytes());
    std::fs::write(&draft, [line(&base), line(&next)].join("\n")).unwrap();
    let sign = |from: &str, key: &str, to: &str, more: &[&str]| {
        tell(&[&["trust", "sign", from, "--key", key, "--out", to][..], more].concat())
    };
    let silent = sign(&draft, &first, &one, &[]);
    assert_eq!(silent.status.code(), Some(6));
    assert!(stderr(&silent).contains("changes who may sign"), "{}", stderr(&silent));
    let aloud = &["--authorities"][..];
    assert_eq!(sign(&draft, &stranger, &one, aloud).status.code(), Some(1), "it may not sign yet");
    assert_eq!(sign(&draft, &first, &one, aloud).status.code(), Some(0));
    assert_eq!(sign(&one, &second, &both, aloud).status.code(), Some(0));
    let signed = std::fs::read_to_string(&both).unwrap();
    let signed = STANDARD.decode(signed.lines().nth(1).unwrap()).unwrap();
    let mut membership = membership;
    membership.accept(SignedTrustItem::from_file_bytes(&signed).unwrap()).unwrap();
    assert_eq!(membership.authority_set().1.keys.len(), 3);
}

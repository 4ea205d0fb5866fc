//! What only a thief with the secret of a used invitation can try; what a later release may add.

use super::proof::Transcript;
use super::*;
use crate::membership::{AuthorityIdentity, MAX_CLAIMS, Membership, TrustItem};
use crate::name::FederationName;
use crate::record::{RecordContent, Version, ZoneRecord};
use crate::token::{MAX_KNOWN, TokenHash, VmRole};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

fn invitation() -> Invitation {
    let keys =
        std::collections::BTreeSet::from([AuthorityIdentity::from_seed(&[9; 32]).public_key()]);
    let set = Membership::draft_first(keys.clone(), keys, 1, NOW).unwrap();
    let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set));
    Invitation {
        id: InvitationId([1; 16]),
        mesh: Membership::new(first).unwrap().mesh().clone(),
        authority_set: [0; 32],
        inviter: Inviter {
            zone: "berlin".parse().unwrap(),
            zone_key: Some(ZoneIdentity::from_seed(&[1; 32]).public_key()),
            join_endpoints: Vec::new(),
            gateways: Vec::new(),
            prefixes: Vec::new(),
        },
        zone: "madrid".parse().unwrap(),
        prefixes: Vec::new(),
        tunnel_ips: Vec::new(),
        expires_at: NOW.plus(1),
        federations: Vec::new(),
        tokens: Vec::new(),
        secret: InvitationSecret::from_bytes([2; 16]),
        read_from: None,
    }
}

fn record(identity: &ZoneIdentity) -> SignedRecord {
    let record = ZoneRecord {
        zone: "madrid".parse().unwrap(),
        gateway: "madrid-gw1".to_owned(),
        version: Version { incarnation: 1, seq: 1 },
        issued_at: NOW,
        content: RecordContent::default(),
        certificate: None,
    };
    SignedRecord::sign(&record, identity)
}

#[test]
fn who_knows_the_secret_and_what_was_said_elsewhere_lacks_the_zones_signature_here() {
    let (invitation, madrid) = (invitation(), ZoneIdentity::from_seed(&[3; 32]));
    let [here, elsewhere] = [[1; 32], [2; 32]].map(ChannelBinding);
    let heard = invitation.redemption(&madrid, record(&madrid), &here);
    let transcript = Transcript::new(&invitation.mesh, invitation.hash(), &heard, &elsewhere);
    let proof = invitation.redeem_key().joiner_proof(&transcript);
    let mut book = Redemptions::new(invitation.mesh.clone(), Vec::new());
    book.issue(&invitation, InvitedAs::default(), NOW);
    let forged = Redemption { proof, ..heard };
    let refused = book.redeem(forged.clone(), &elsewhere, NOW).err();
    assert_eq!(refused, Some(RedeemError::Invalid));
    // It is the signature that was missing.
    let signature = madrid.sign(&transcript.to_be_signed(&forged.proof));
    assert!(book.redeem(Redemption { signature, ..forged }, &elsewhere, NOW).is_ok());
}

#[test]
fn an_invitation_is_overtaken_by_another_key_and_not_by_its_own_joiner() {
    let (invitation, madrid) = (invitation(), ZoneIdentity::from_seed(&[3; 32]));
    let [former, other] = [4, 5].map(|seed| ZoneIdentity::from_seed(&[seed; 32]).public_key());
    let before = InvitedAs { key: Some(former), revoked: 1 };
    let mut book = Redemptions::new(invitation.mesh.clone(), Vec::new());
    book.issue(&invitation, before, NOW);
    let binding = ChannelBinding([1; 32]);
    let asked = invitation.redemption(&madrid, record(&madrid), &binding);
    let issued = book.redeem(asked, &binding, NOW).unwrap().invitation;
    let is_overtaken = |key, revoked| issued.is_overtaken(InvitedAs { key, revoked });
    assert!(!is_overtaken(Some(former), 1), "the zone is as it was");
    assert!(!is_overtaken(Some(madrid.public_key()), 2), "its new key has revoked the former");
    assert!(is_overtaken(Some(other), 1) && is_overtaken(None, 2));
    let stored = IssuedInvitation::from_file_bytes(&issued.to_file_bytes()).unwrap();
    assert!(stored.is_overtaken(InvitedAs { key: Some(other), revoked: 1 }), "nor after a restart");
    assert!(!stored.is_overtaken(before));
}

/// Madrid may train, and has one token for it.
fn promising() -> Invitation {
    let federation: FederationName = "health-eu".parse().unwrap();
    let token = KnownToken {
        hash: TokenHash::from_bytes([6; 32]),
        role: VmRole::SuperNode,
        federation: Some(federation.clone()),
        expires_at: Some(NOW.plus(1)),
    };
    let right = FederationRight { federation, host: false, train: true };
    Invitation { federations: vec![right], tokens: vec![token], ..invitation() }
}

fn issued_to_madrid(book: &mut Redemptions, read: &Invitation) -> IssuedInvitation {
    let (madrid, binding) = (ZoneIdentity::from_seed(&[3; 32]), ChannelBinding([1; 32]));
    let asked = read.redemption(&madrid, record(&madrid), &binding);
    book.redeem(asked, &binding, NOW).unwrap().invitation
}

#[test]
fn what_an_invitation_promises_comes_back_and_stands_in_what_is_granted() {
    let invitation = promising();
    let read = Invitation::from_text(&invitation.to_text()).unwrap();
    assert_eq!(read.federations, invitation.federations);
    assert_eq!(read.tokens, invitation.tokens);
    let mut book = Redemptions::new(invitation.mesh.clone(), Vec::new());
    book.issue(&invitation, InvitedAs::default(), NOW);
    let issued = issued_to_madrid(&mut book, &read);
    let stored = IssuedInvitation::from_file_bytes(&issued.to_file_bytes()).unwrap();
    for issued in [issued, stored] {
        assert_eq!(issued.grant_request().unwrap().federations, invitation.federations);
    }
    let changed = Invitation { tokens: Vec::new(), ..promising() };
    assert_ne!(changed.hash(), invitation.hash(), "nobody takes tokens out of it");
}

#[test]
fn what_a_later_release_adds_to_an_invitation_is_passed_over_and_it_is_redeemed() {
    let known = wire::public_bytes(&promising()).into_owned();
    // Number 15, 4 bytes; number 16, a varint.
    let added = [15 << 3 | 2, 4, 1, 2, 3, 4, 0x80, 0x01, 1];
    let later = Invitation { read_from: Some([&known[..], &added].concat()), ..promising() };
    let mut book = Redemptions::new(later.mesh.clone(), Vec::new());
    book.issue(&later, InvitedAs::default(), NOW);
    let read = Invitation::from_text(&later.to_text()).unwrap();
    assert_eq!(read.tokens, later.tokens);
    assert!(issued_to_madrid(&mut book, &read).used_by.is_some());
    assert_eq!(*read.to_text(), *later.to_text(), "kept as it came");
}

#[test]
fn all_that_an_invitation_has_room_for_fits_and_more_is_told() {
    let of = |n: usize| -> Vec<FederationName> {
        (0..n).map(|n| format!("{}{n:03}", "f".repeat(60)).parse().unwrap()).collect()
    };
    let with = |federations: usize, tokens: usize| Invitation {
        federations: of(federations)
            .into_iter()
            .map(|federation| FederationRight { federation, host: true, train: true })
            .collect(),
        tokens: of(tokens)
            .into_iter()
            .map(|name| KnownToken { federation: Some(name), ..promising().tokens.remove(0) })
            .collect(),
        ..invitation()
    };
    let full = with(MAX_CLAIMS, MAX_KNOWN).to_text();
    assert!(full.len() < 17 * 1024, "{}", full.len());
    assert_eq!(Invitation::from_text(&full).unwrap().tokens.len(), MAX_KNOWN);
    for (federations, tokens) in [(MAX_CLAIMS + 1, 0), (0, MAX_KNOWN + 1)] {
        let error = Invitation::from_text(&with(federations, tokens).to_text()).unwrap_err();
        assert!(matches!(error, InvitationError::Field { .. }), "{error}");
    }
}

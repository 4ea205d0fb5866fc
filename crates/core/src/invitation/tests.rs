//! What only a thief with the secret of a used invitation can try.

use super::proof::Transcript;
use super::*;
use crate::membership::{AuthorityIdentity, Membership, TrustItem};
use crate::record::{RecordContent, Version, ZoneRecord};

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
        secret: InvitationSecret::from_bytes([2; 16]),
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

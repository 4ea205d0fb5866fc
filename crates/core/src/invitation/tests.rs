//! What only a thief with the secret of a used invitation can try.

use super::proof::Transcript;
use super::*;
use crate::membership::{AuthorityIdentity, Membership, TrustItem};
use crate::record::{RecordContent, Version, ZoneRecord};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

fn invitation() -> Invitation {
    let keys = [AuthorityIdentity::from_seed(&[9; 32]).public_key()].into();
    let set = Membership::draft_first(keys, 1, NOW).unwrap();
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
    let content = RecordContent {
        gateways: Vec::new(),
        prefixes: Vec::new(),
        superlinks: Vec::new(),
        ca_sets: Vec::new(),
        protocol: ProtocolRange::CURRENT,
    };
    let version = Version { incarnation: 1, seq: 1 };
    let zone = "madrid".parse().unwrap();
    SignedRecord::sign(&ZoneRecord { zone, version, issued_at: NOW, content }, identity)
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

//! Records, trust items, invitations and messages of replication.

use bytes::Bytes;
use prost::Message as _;
use zonemesh_api::v1::companion_message::Body;
use zonemesh_api::{v1, wire};
use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::{Invitation, IssuedInvitation, Redemption, RedemptionAnswer};
use zonemesh_core::membership::{Membership, SignedTrustItem, TrustKind};
use zonemesh_core::record::SignedRecord;
use zonemesh_core::replication::{ReplicationSession, StreamMessage};
use zonemesh_core::token::{KeptTokens, VmRole};

use crate::mesh::{NOW, authority, identity, membership, name, registry};

/// What a zone's signature covers besides the payload.
const RECORD_DOMAIN: &[u8] = b"zonemesh zone record v1\0";

/// The bytes as a stored record, and as a payload that zone 1 has signed.
///
/// # Panics
/// If a record that was taken cannot be written and read again, or a refused one changed something.
pub fn record(bytes: &[u8]) {
    if let Ok(stored) = SignedRecord::from_file_bytes(bytes) {
        assert_eq!(stored.to_file_bytes(), bytes);
    }
    let signature = identity(1).sign(&[RECORD_DOMAIN, bytes].concat());
    let signed = SignedRecord::from_parts(Bytes::copy_from_slice(bytes), &signature)
        .expect("a signature has 64 bytes");
    assert!(signed.verify(&identity(1).public_key()));
    if let Ok(decoded) = signed.decode() {
        let again = SignedRecord::sign(&decoded, &identity(1)).decode();
        assert_eq!(again.as_ref(), Ok(&decoded), "a record survives being written");
    }
    let mut registry = registry(0);
    let before = registry.root_hash();
    match registry.accept(signed.clone(), NOW) {
        Ok(_) => {
            let held = registry.get(&name(1)).expect("what was accepted is held");
            assert_eq!(held.signed, signed);
        }
        Err(_) => assert_eq!(registry.root_hash(), before, "what was refused changes nothing"),
    }
}

/// Trust items, each signed by the mesh's authority: a kind, a length, a payload.
///
/// # Panics
/// If a membership cannot be built again from its own items.
pub fn trust(bytes: &[u8]) {
    if let Ok(stored) = SignedTrustItem::from_file_bytes(bytes) {
        assert_eq!(SignedTrustItem::from_file_bytes(&stored.to_file_bytes()), Ok(stored));
    }
    let mut membership = membership();
    let mut rest = bytes;
    while let [kind, high, low, behind @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (payload, next) = behind.split_at(len);
        rest = next;
        let kind = match kind % 4 {
            0 => TrustKind::AuthoritySet,
            1 => TrustKind::Grant,
            2 => TrustKind::Revocation,
            _ => TrustKind::GrantPage,
        };
        let payload = Bytes::copy_from_slice(payload);
        let mut item = SignedTrustItem::from_parts(kind, payload, Vec::new());
        item.sign(&authority());
        let before = membership.root_hash();
        if membership.accept(item).is_err() {
            assert_eq!(membership.root_hash(), before, "what was refused changes nothing");
        }
    }
    let again = Membership::from_items(membership.mesh(), None, membership.items())
        .expect("what was accepted is accepted again");
    assert_eq!(again.root_hash(), membership.root_hash());
    assert!(again.members().eq(membership.members()), "the order of items decides nothing");
}

/// The bytes as an invitation, as a stored one, and as kept tokens.
///
/// # Panics
/// If what was read is something else after being written.
pub fn invitation(bytes: &[u8]) {
    if let Ok(issued) = IssuedInvitation::from_file_bytes(bytes) {
        let written = issued.to_file_bytes();
        let again = IssuedInvitation::from_file_bytes(&written).expect("what was written is read");
        assert_eq!(again.to_file_bytes(), written);
    }
    if let Ok(kept) = KeptTokens::from_file_bytes(bytes) {
        let again = KeptTokens::from_file_bytes(&kept.to_file_bytes());
        assert_eq!(again, Ok(kept));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(bundle) = FoundingBundle::from_text(text) {
        let again = FoundingBundle::from_text(&bundle.to_text());
        assert!(again.is_ok_and(|again| again.founder == bundle.founder));
    }
    if let Ok(invitation) = Invitation::from_text(text) {
        let written = invitation.to_text();
        let again = Invitation::from_text(&written).expect("what was written is read");
        assert_eq!(again.hash(), invitation.hash());
        assert_eq!(again.to_text(), written);
        // Without what was passed over it is another one, and that comes back too.
        let made = Invitation { read_from: None, ..invitation };
        let again = Invitation::from_text(&made.to_text()).expect("what was made is read");
        assert_eq!(again.hash(), made.hash());
        assert_eq!(again.tokens, made.tokens);
    }
}

/// A stream of length-delimited protobuf messages, as a neighbour sends them.
///
/// # Panics
/// If the registry does not work afterwards.
pub fn replication(mut bytes: &[u8]) {
    let mut registry = registry(0);
    let mut session = ReplicationSession::new(registry.mesh(), name(1));
    let _hello = session.open(&registry, NOW);
    while let Ok(message) = v1::RegistryMessage::decode_length_delimited(&mut bytes) {
        let Ok(message) = StreamMessage::try_from(message) else {
            continue;
        };
        let back = v1::RegistryMessage::from(message.clone());
        assert_eq!(StreamMessage::try_from(back).ok().as_ref(), Some(&message));
        let Ok(output) = session.handle(message, &mut registry, NOW) else {
            break;
        };
        for zone in output.changed {
            let _push = session.handle_change(&zone, &registry, NOW);
        }
    }
    let _digest = session.handle_timeout(&registry, session.poll_timeout());
    assert!(registry.get(&name(0)).is_some(), "nobody takes the own record away");
}

/// The other messages that cross a trust boundary: of the zone's VMs, of gateways, of those who
/// join. The first byte says which.
pub fn messages(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 6 {
        0 | 1 => said(v1::CompanionMessage::decode(bytes).ok().and_then(|message| message.body)),
        2 => drop(v1::FederationView::decode(bytes).map(wire::local::FederationAnswer::try_from)),
        3 => {
            drop(v1::FederationView::decode(bytes).map(wire::local::RegisteredSuperLink::try_from))
        }
        4 => drop(v1::RedeemRequest::decode(bytes).map(Redemption::try_from)),
        _ => drop(v1::RedeemReply::decode(bytes).map(RedemptionAnswer::try_from)),
    }
}

/// What a companion says in a session.
fn said(body: Option<Body>) {
    match body {
        Some(Body::Hello(hello)) => drop(wire::local::CompanionHello::try_from(hello)),
        Some(Body::Registration(wanted)) => drop(wire::local::Registration::try_from(wanted)),
        Some(Body::Report(report)) => {
            for role in [VmRole::SuperLink, VmRole::SuperNode] {
                let Ok(read) = wire::local::report(report.clone(), role) else {
                    continue;
                };
                let Body::Report(again) = Body::from(read.clone()) else {
                    unreachable!("a report is written as one")
                };
                assert_eq!(wire::local::report(again, role), Ok(read));
            }
        }
        None => {}
    }
}

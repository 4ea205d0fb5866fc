//! An invitation: its text, its proofs, and that one key uses it once.

use std::net::IpAddr;

use proptest::prelude::*;
use zonemesh_core::invitation::{
    ChannelBinding, Invitation, InvitationError, InvitationId, InvitationSecret, InvitedAs,
    Inviter, IssuedInvitation, RedeemError, Redemption, RedemptionAnswer, Redemptions,
};
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::membership::{Membership, TrustRejected};
use zonemesh_core::record::{
    Gateway, ProtocolRange, RecordContent, SignedRecord, Version, ZoneRecord,
};
use zonemesh_core::time::UnixMillis;

use crate::change::{batch, draft, edit};
use crate::mesh::{NOW, authority, grant, identity, mesh, name, owner, request};

const LATER: UnixMillis = UnixMillis(NOW.0 + 24 * 3_600_000);

fn invitation(number: u8) -> Invitation {
    let membership = mesh();
    let request = request(3);
    Invitation {
        id: InvitationId([number; 16]),
        mesh: membership.mesh().clone(),
        authority_set: membership.authority_set().0,
        inviter: Inviter {
            zone: name(0),
            zone_key: Some(identity(0).public_key()),
            join_endpoints: vec!["203.0.113.1:51823".to_owned()],
            gateways: vec![Gateway {
                name: "z0-gw1".to_owned(),
                wireguard_key: WireGuardPublicKey([5; 32]),
                next_wireguard_key: None,
                lanes: Vec::new(),
                proofs: Vec::new(),
                further_endpoints: Vec::new(),
                endpoints: vec!["203.0.113.1:51820".to_owned()],
                tunnel_ips: vec![IpAddr::from([10, 255, 0, 0])],
                registry_port: 51821,
            }],
            prefixes: vec!["10.10.0.0/24".parse().unwrap()],
        },
        zone: request.zone,
        prefixes: request.prefixes,
        tunnel_ips: request.tunnel_ips,
        expires_at: LATER,
        federations: Vec::new(),
        tokens: Vec::new(),
        secret: InvitationSecret::from_bytes([number ^ 0x5a; 16]),
        read_from: None,
    }
}

/// The connection on which things are said, and another one.
const HERE: ChannelBinding = ChannelBinding([1; 32]);
const ELSEWHERE: ChannelBinding = ChannelBinding([2; 32]);

/// What zone 3 says of itself, signed by zone `signer`: its gateway has the key `wireguard`.
fn record(signer: u8, wireguard: u8) -> SignedRecord {
    let request = request(3);
    let content = RecordContent {
        gateways: vec![Gateway {
            name: "z3-gw1".to_owned(),
            wireguard_key: WireGuardPublicKey([wireguard; 32]),
            next_wireguard_key: None,
            lanes: Vec::new(),
            endpoints: vec!["198.51.100.3:51820".to_owned()],
            tunnel_ips: request.tunnel_ips,
            registry_port: 51821,
            further_endpoints: Vec::new(),
            proofs: Vec::new(),
        }],
        prefixes: request.prefixes,
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    };
    let record = ZoneRecord {
        zone: request.zone,
        gateway: "z3-gw1".to_owned(),
        version: Version { incarnation: 1, seq: 1 },
        issued_at: NOW,
        content,
        certificate: None,
    };
    SignedRecord::sign(&record, &identity(signer))
}

/// What a gateway asks with that has the keys of zone `signer`.
fn asked(invitation: &Invitation, signer: u8) -> Redemption {
    invitation.redemption(&identity(signer), record(signer, 3), &HERE)
}

fn book(invitation: &Invitation) -> Redemptions {
    let mut book = Redemptions::new(invitation.mesh.clone(), Vec::new());
    assert!(book.issue(invitation, InvitedAs::default(), NOW).0);
    book
}

/// Redeems and, the first time, burns it for good.
fn redeem(
    book: &mut Redemptions,
    invitation: &Invitation,
    zone: u8,
    now: UnixMillis,
) -> Result<bool, RedeemError> {
    let redeemed = book.redeem(asked(invitation, zone), &HERE, now)?;
    if redeemed.first {
        let burned = book.burn(&redeemed);
        book.settle(burned);
    }
    Ok(redeemed.first)
}

#[test]
fn an_invitation_is_one_base64_value_and_comes_back_whole() {
    let invitation = invitation(1);
    let text = invitation.to_text();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    assert!(text.chars().all(allowed) && text.len() < 2_000, "{}", text.len());
    let wrapped = format!("\n  {}\n{}  \n", &text[..80], &text[80..]);
    let back = Invitation::from_text(&wrapped).unwrap();
    assert_eq!(back.hash(), invitation.hash());
    assert_eq!(back.inviter, invitation.inviter);
    assert_eq!(asked(&back, 3), asked(&invitation, 3), "the secret too");
    assert!(!format!("{invitation:?}").contains("90, 90"), "and it does not reach a log");
}

#[test]
fn what_is_no_invitation_is_told_apart() {
    let text = invitation(1).to_text();
    let error = |text: &str| Invitation::from_text(text).unwrap_err();
    assert!(matches!(error("not base64!"), InvitationError::Base64(_)));
    assert_eq!(error("AAAA"), InvitationError::Magic);
    assert_eq!(error(&text[..400]), InvitationError::Damaged);
    assert_eq!(error(&"A".repeat(40_000)), InvitationError::TooLarge(40_000));
    assert_eq!(error("em9uZW1lc2gtaW52aXRhdGlvbi0yCg=="), InvitationError::Newer);
}

#[test]
fn the_first_key_burns_it_and_may_ask_again_also_after_its_expiry() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    assert_eq!(redeem(&mut book, &invitation, 3, NOW), Ok(true));
    assert_eq!(redeem(&mut book, &invitation, 3, LATER.plus(1)), Ok(false));
    assert_eq!(redeem(&mut book, &invitation, 4, NOW), Err(RedeemError::Used));
    let counters = book.counters();
    assert_eq!((counters.redeemed, counters.repeated), (1, 1));
    assert!(counters.refused().any(|counted| counted == ("used", 1)));
}

#[test]
fn a_redemption_that_is_played_again_on_another_connection_is_refused() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let heard = asked(&invitation, 3);
    assert_eq!(
        book.redeem(heard.clone(), &ELSEWHERE, NOW).err(),
        Some(RedeemError::Invalid),
        "unused"
    );
    assert_eq!(redeem(&mut book, &invitation, 3, NOW), Ok(true));
    let refused = book.redeem(heard, &ELSEWHERE, NOW).err();
    assert_eq!(refused, Some(RedeemError::Invalid), "used");
}

#[test]
fn a_key_that_is_not_the_joiners_own_redeems_nothing() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let by_another = asked(&invitation, 6);
    let by_zone = Redemption { zone_key: identity(3).public_key(), ..by_another };
    assert_eq!(book.redeem(by_zone, &HERE, NOW).err(), Some(RedeemError::Invalid));
}

#[test]
fn a_record_of_another_key_or_zone_or_beyond_the_invitation_burns_nothing() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let foreign = invitation.redemption(&identity(3), record(6, 66), &HERE);
    assert_eq!(book.redeem(foreign, &HERE, NOW).err(), Some(RedeemError::Record));
    let mut content = record(3, 3).decode().unwrap();
    content.content.prefixes = vec!["10.10.0.0/16".parse().unwrap()];
    let wide = SignedRecord::sign(&content, &identity(3));
    let wide = invitation.redemption(&identity(3), wide, &HERE);
    assert!(matches!(book.redeem(wide, &HERE, NOW).err(), Some(RedeemError::OutOfBounds(_))));
    content.zone = name(4);
    let of_other = SignedRecord::sign(&content, &identity(3));
    let of_other = invitation.redemption(&identity(3), of_other, &HERE);
    assert_eq!(book.redeem(of_other, &HERE, NOW).err(), Some(RedeemError::Record));
    assert_eq!(redeem(&mut book, &invitation, 3, NOW), Ok(true));
}

#[test]
fn a_redemption_that_is_taken_back_was_none() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let redeemed = book.redeem(asked(&invitation, 3), &HERE, NOW).unwrap();
    let burned = book.burn(&redeemed);
    book.take_back(burned);
    assert!(book.issued().all(|issued| issued.used_by.is_none()));
    assert_eq!(redeem(&mut book, &invitation, 4, NOW), Ok(true));
}

#[test]
fn what_was_broken_off_is_left_to_the_same_key_and_to_nobody_else() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let redeemed = book.redeem(asked(&invitation, 3), &HERE, NOW).unwrap();
    drop(book.burn(&redeemed));
    assert_eq!(redeem(&mut book, &invitation, 4, NOW), Err(RedeemError::Used));
    assert_eq!(redeem(&mut book, &invitation, 3, LATER), Ok(true), "completes it");
    assert_eq!(redeem(&mut book, &invitation, 3, LATER), Ok(false));
}

#[test]
fn what_expired_is_refused() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    assert_eq!(redeem(&mut book, &invitation, 3, LATER), Err(RedeemError::Expired));
    assert_eq!(redeem(&mut book, &invitation, 3, NOW), Ok(true), "the clock was wrong");
}

#[test]
fn a_changed_invitation_redeems_nothing() {
    let issued = invitation(1);
    let mut book = book(&issued);
    let changes: [fn(&mut Invitation); 6] = [
        |i| i.prefixes = vec!["10.0.0.0/8".parse().unwrap()],
        |i| i.inviter.zone_key = Some(identity(9).public_key()),
        |i| i.expires_at = LATER.plus(1),
        |i| i.authority_set = [0; 32],
        |i| i.secret = InvitationSecret::from_bytes([0; 16]),
        |i| i.id = InvitationId([9; 16]),
    ];
    for change in changes {
        let mut changed = invitation(1);
        change(&mut changed);
        assert_eq!(redeem(&mut book, &changed, 3, NOW), Err(RedeemError::Invalid));
    }
    assert_eq!(redeem(&mut book, &issued, 3, NOW), Ok(true), "and did not burn it");
}

#[test]
fn an_invitation_is_followed_by_meshes_whose_authorities_came_after_its_own() {
    let (invitation, mut later) = (invitation(1), mesh());
    let joins = |invitation: &Invitation, mesh: &Membership| {
        let pin = Some(invitation.authority_set);
        Membership::from_items(&invitation.mesh, pin, mesh.items()).map(|_| ())
    };
    assert_eq!(joins(&invitation, &later), Ok(()));
    let change = draft(&later, &edit(&[1], &[], None));
    later.accept_all(batch(change, &[owner(0), authority(1)]));
    assert_eq!(joins(&invitation, &later), Ok(()), "they were changed since");
    let newer = Invitation { authority_set: later.authority_set().0, ..invitation };
    assert_eq!(joins(&newer, &later), Ok(()));
    let refused = joins(&newer, &mesh());
    assert_eq!(refused, Err(TrustRejected::UnknownPredecessor), "not heard of, or another one");
}

#[test]
fn a_proof_holds_for_its_record_only() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let changed = Redemption { record: record(3, 9), ..asked(&invitation, 3) };
    assert_eq!(book.redeem(changed, &HERE, NOW).err(), Some(RedeemError::Invalid));
}

#[test]
fn the_joiner_believes_only_an_inviter_that_knows_the_secret_and_only_its_answer() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let asked = asked(&invitation, 3);
    let redeemed = book.redeem(asked.clone(), &HERE, NOW).unwrap();
    let answer = redeemed.answer(vec![grant(&mesh(), 3)], Some(record(0, 5)), false);
    let verify = |answer: &RedemptionAnswer| invitation.verify_answer(&asked, &HERE, answer);
    assert!(verify(&answer));
    assert!(!invitation.verify_answer(&asked, &ELSEWHERE, &answer), "said elsewhere");
    assert!(!verify(&RedemptionAnswer { trust: Vec::new(), ..answer.clone() }));
    assert!(!verify(&RedemptionAnswer { record: Some(record(0, 6)), ..answer.clone() }));
    assert!(!verify(&RedemptionAnswer { record: None, ..answer.clone() }));
    assert!(!verify(&RedemptionAnswer { pending: true, ..answer.clone() }));
    let own = RedemptionAnswer { proof: asked.proof.clone(), ..answer };
    assert!(!verify(&own), "not the joiner's own");
}

#[test]
fn the_book_survives_its_files() {
    let invitation = invitation(1);
    let mut first = book(&invitation);
    redeem(&mut first, &invitation, 3, NOW).unwrap();
    let files: Vec<_> = first.issued().map(IssuedInvitation::to_file_bytes).collect();
    let stored =
        files.iter().map(|bytes| IssuedInvitation::from_file_bytes(bytes).unwrap()).collect();
    let mut second = Redemptions::new(invitation.mesh.clone(), stored);
    assert_eq!(redeem(&mut second, &invitation, 4, NOW), Err(RedeemError::Used));
    assert_eq!(
        redeem(&mut second, &invitation, 3, NOW),
        Ok(false),
        "it has brought what it brings"
    );
    let request = second.issued().next().unwrap().grant_request().unwrap();
    assert_eq!(request.zone_key, identity(3).public_key());
    assert!(IssuedInvitation::from_file_bytes(&files[0][..20]).is_err());
}

#[test]
fn what_expired_long_ago_leaves_the_book() {
    let old = invitation(1);
    let mut book = book(&old);
    let month = LATER.plus(31 * 24 * 3_600_000);
    let (entered, gone) = book.issue(&invitation(2), InvitedAs::default(), month);
    assert!(entered);
    assert_eq!(gone, [old.id]);
    assert_eq!(book.issued().count(), 1);
}

proptest! {
    #[test]
    fn no_text_panics_and_a_damaged_one_is_found(at in 0..500_usize, to in "[A-Za-z0-9+/=]", cut in 0..900_usize) {
        let text = invitation(1).to_text();
        let mut damaged = text.to_string();
        let at = at % damaged.len();
        damaged.replace_range(at..=at, &to);
        if *damaged != **text {
            prop_assert!(Invitation::from_text(&damaged).is_err());
        }
        prop_assert!(Invitation::from_text(&text[..cut.min(text.len() - 1)]).is_err());
    }
}

//! An invitation: its text, its proofs, and that one key uses it once.

use std::net::IpAddr;

use proptest::prelude::*;
use zonemesh_core::invitation::{
    Invitation, InvitationError, InvitationId, InvitationSecret, Inviter, IssuedInvitation,
    JoinerKeys, RedeemError, RedemptionAnswer, Redemptions,
};
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::record::Gateway;
use zonemesh_core::time::UnixMillis;

use crate::mesh::{NOW, grant, identity, mesh, name, request};

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
            zone_key: identity(0).public_key(),
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
        secret: InvitationSecret::from_bytes([number ^ 0x5a; 16]),
    }
}

fn joiner(zone: u8) -> JoinerKeys {
    JoinerKeys {
        zone_key: identity(zone).public_key(),
        wireguard_key: WireGuardPublicKey([zone; 32]),
    }
}

fn book(invitation: &Invitation) -> Redemptions {
    let inviter = identity(0).public_key();
    let mut book = Redemptions::new(invitation.mesh.clone(), inviter, Vec::new());
    assert!(book.issue(invitation, NOW).0);
    book
}

fn redeem(
    book: &mut Redemptions,
    invitation: &Invitation,
    zone: u8,
    now: UnixMillis,
) -> Result<bool, RedeemError> {
    let asked = invitation.redemption(&joiner(zone), vec!["198.51.100.3:51820".to_owned()]);
    book.redeem(asked, now).map(|redeemed| redeemed.first)
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
    assert_eq!(back.prove(&joiner(3)), invitation.prove(&joiner(3)), "the secret too");
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
    assert!(counters.refused().any(|counted| counted == (RedeemError::Used, 1)));
}

#[test]
fn a_used_invitation_that_is_played_again_changes_no_key_and_no_endpoint() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    assert_eq!(redeem(&mut book, &invitation, 3, NOW), Ok(true));
    let thief = JoinerKeys { wireguard_key: WireGuardPublicKey([66; 32]), ..joiner(3) };
    for who in [thief, joiner(3)] {
        let asked = invitation.redemption(&who, vec!["192.0.2.66:51820".to_owned()]);
        let again = book.redeem(asked, NOW).unwrap();
        assert!(!again.first);
        for issued in [&again.invitation, book.issued().next().unwrap()] {
            assert_eq!(issued.used_by, Some(joiner(3)));
            assert_eq!(issued.endpoints, ["198.51.100.3:51820"]);
        }
    }
}

#[test]
fn a_redemption_that_is_taken_back_was_none() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let asked = invitation.redemption(&joiner(3), vec!["198.51.100.3:51820".to_owned()]);
    let redeemed = book.redeem(asked.clone(), NOW).unwrap();
    book.take_back(&redeemed);
    assert!(book.issued().all(|issued| issued.used_by.is_none() && issued.endpoints.is_empty()));
    let first = book.redeem(asked.clone(), NOW).unwrap();
    let again = book.redeem(asked, NOW).unwrap();
    assert!(first.first && !again.first);
    book.take_back(&again);
    assert!(book.issued().all(|issued| issued.used_by.is_some()), "the first one stands");
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
        |i| i.inviter.zone_key = identity(9).public_key(),
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
fn a_proof_holds_for_its_keys_only() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let mut asked = invitation.redemption(&joiner(3), Vec::new());
    asked.joiner.wireguard_key = WireGuardPublicKey([9; 32]);
    let refused = book.redeem(asked, NOW);
    assert_eq!(refused.err(), Some(RedeemError::Invalid));
}

#[test]
fn the_joiner_believes_only_an_inviter_that_knows_the_secret_and_only_its_answer() {
    let invitation = invitation(1);
    let mut book = book(&invitation);
    let asked = invitation.redemption(&joiner(3), Vec::new());
    let redeemed = book.redeem(asked.clone(), NOW).unwrap();
    let answer = redeemed.answer(vec![grant(&mesh(), 3)], false);
    assert!(invitation.verify_answer(&joiner(3), &answer));
    assert!(!invitation.verify_answer(&joiner(4), &answer));
    let cut = RedemptionAnswer { trust: Vec::new(), ..answer.clone() };
    assert!(!invitation.verify_answer(&joiner(3), &cut));
    let own = RedemptionAnswer { proof: asked.proof, ..answer };
    assert!(!invitation.verify_answer(&joiner(3), &own), "not the joiner's own");
}

#[test]
fn the_book_survives_its_files() {
    let invitation = invitation(1);
    let mut first = book(&invitation);
    redeem(&mut first, &invitation, 3, NOW).unwrap();
    let files: Vec<_> = first.issued().map(IssuedInvitation::to_file_bytes).collect();
    let stored =
        files.iter().map(|bytes| IssuedInvitation::from_file_bytes(bytes).unwrap()).collect();
    let inviter = identity(0).public_key();
    let mut second = Redemptions::new(invitation.mesh.clone(), inviter, stored);
    assert_eq!(redeem(&mut second, &invitation, 4, NOW), Err(RedeemError::Used));
    assert_eq!(redeem(&mut second, &invitation, 3, NOW), Ok(false));
    let request = second.issued().next().unwrap().grant_request().unwrap();
    assert_eq!(request.zone_key, identity(3).public_key());
    assert!(IssuedInvitation::from_file_bytes(&files[0][..20]).is_err());
}

#[test]
fn what_expired_long_ago_leaves_the_book() {
    let old = invitation(1);
    let mut book = book(&old);
    let month = LATER.plus(31 * 24 * 3_600_000);
    let (entered, gone) = book.issue(&invitation(2), month);
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

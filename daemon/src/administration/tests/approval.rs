//! Who waits for approval, and who only looks like it: a thief, and zones that were put out.

use zonemesh_core::membership::AuthorityEdit;

use super::*;
use crate::administration::DisputedKeys;

fn zone() -> ZoneName {
    "madrid".parse().unwrap()
}

fn thief() -> ZonePublicKey {
    ZoneIdentity::from_seed(&[66; 32]).public_key()
}

fn waiting(administration: &Administration) -> usize {
    administration.waiting_zones().len()
}

/// What another gateway that may sign says of the true madrid.
fn true_grant(administration: &Administration, invitation: &Invitation) -> Vec<SignedTrustItem> {
    let items = administration.draft_grant(GrantRequest {
        zone: zone(),
        zone_key: madrid().public_key(),
        prefixes: invitation.prefixes.clone(),
        tunnel_ips: invitation.tunnel_ips.clone(),
        federations: Vec::new(),
    });
    administration.sign(&items.unwrap()).unwrap().0
}

/// A zone that has come with its own key, and a thief who has used an invitation of it.
pub(crate) async fn disputed() -> (InvitedZones, DisputedKeys) {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    let true_madrid = true_grant(administration, &invitation);
    std::fs::remove_file(berlin.folder.path().join("authority.key")).unwrap();
    assert!(redeem(administration, another_madrid(&invitation)).await.unwrap().pending);
    administration.import(true_madrid).await.unwrap();
    let keys = DisputedKeys { joiner: thief(), granted: madrid().public_key() };
    (administration.invited().await, keys)
}

async fn is_held_by_another(administration: &Administration) -> bool {
    let (joiner, granted) = (thief(), madrid().public_key());
    let swapped = DisputedKeys { joiner: granted, granted: joiner };
    for confirmed in [None, Some(swapped)] {
        let refused = administration.approve(&zone(), confirmed).await.err().unwrap();
        let said = refused.to_line();
        let names_both = [joiner, granted].iter().all(|key| said.contains(&key.to_string()));
        assert!(names_both && matches!(refused, Refusal::HeldByOther { .. }), "{said}");
    }
    let joiners = administration.invited().await.joiners;
    let disputed: Vec<_> = joiners.disputed.iter().map(|one| one.keys).collect();
    joiners.pending.is_empty() && disputed == [DisputedKeys { joiner, granted }]
}

#[tokio::test]
async fn a_stolen_invitation_waits_for_nobody_once_its_zone_has_come_and_takes_both_keys() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    let true_madrid = true_grant(administration, &invitation);
    let [file, away] = ["authority.key", "away"].map(|name| berlin.folder.path().join(name));
    std::fs::rename(&file, &away).unwrap();
    // During a cut; berlin may not sign, and hears of madrid later.
    assert!(redeem(administration, another_madrid(&invitation)).await.unwrap().pending);
    assert_eq!(waiting(administration), 1, "nothing is known of it");
    administration.import(true_madrid).await.unwrap();
    assert_eq!(waiting(administration), 0);
    assert!(is_held_by_another(administration).await);
    let restarted = open(berlin.folder.path(), &berlin.disk);
    assert!(waiting(&restarted) == 0 && is_held_by_another(&restarted).await);
    // It was madrid's new gateway, and the engineer says so.
    std::fs::rename(&away, &file).unwrap();
    let keys = DisputedKeys { joiner: thief(), granted: madrid().public_key() };
    restarted.approve(&zone(), Some(keys)).await.unwrap();
    assert_eq!(restarted.granted("madrid").unwrap().zone_key, thief());
    let is_revoked = |registry: &Registry| registry.membership().unwrap().is_revoked(&keys.granted);
    assert!(restarted.ledger.read(is_revoked));
}

#[tokio::test]
async fn a_thief_that_was_granted_and_lost_against_the_older_grant_waits_for_nobody_ever() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    let true_madrid = true_grant(administration, &invitation);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert!(!redeem(administration, another_madrid(&invitation)).await.unwrap().pending);
    administration.import(true_madrid).await.unwrap();
    assert_eq!(administration.granted("madrid").unwrap().zone_key, madrid().public_key());
    assert!(waiting(administration) == 0 && is_held_by_another(administration).await);
    // An engineer who attests the true key ends the dispute.
    let attested = AttestedGrant {
        zone: zone(),
        zone_key: madrid().public_key(),
        prefixes: invitation.prefixes.clone(),
        tunnel_ips: Vec::new(),
        federations: Vec::new(),
    };
    administration.grant(attested).await.unwrap();
    assert!(administration.invited().await.joiners.disputed.is_empty());
    administration.revoke(&zone(), "gone").await.unwrap();
    assert_eq!(waiting(administration), 0);
    let refused = administration.approve(&zone(), None).await;
    assert!(matches!(refused, Err(Refusal::NotPending(_))));
}

/// The owners put another signing key in the place of berlin's, which was stolen, and leave out who
/// is named.
async fn change_authorities(administration: &Administration, without: &[&str]) {
    let [owner, new] = [77, 78].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
    let own = administration.authority().unwrap().unwrap().public_key();
    let edit = AuthorityEdit {
        add: [new.public_key()].into(),
        remove: [own].into(),
        stolen: true,
        leave_out: without.iter().map(|zone| zone.parse().unwrap()).collect(),
        ..AuthorityEdit::default()
    };
    let mut items = administration.draft_change(&edit, |_| true).unwrap().items;
    for item in items.iter_mut().filter(|item| item.kind() == TrustKind::AuthoritySet) {
        [&owner, &new].into_iter().for_each(|key| item.sign(key));
    }
    let change = administration.import(items).await.unwrap();
    assert_eq!(change.lacking, []);
}

/// Nobody waits, here and after a restart, and the way back is told.
async fn stays_out(berlin: &Berlin) {
    let restarted = open(berlin.folder.path(), &berlin.disk);
    for administration in [&berlin.administration, &restarted] {
        assert_eq!(administration.granted("madrid"), None);
        assert_eq!(waiting(administration), 0);
        let refused = administration.approve(&zone(), None).await.err().unwrap();
        assert!(matches!(refused, Refusal::PutOut(..)), "{refused:?}");
        assert!(administration.export_pending(&zone()).await.is_err());
    }
}

#[tokio::test]
async fn a_zone_that_was_revoked_under_an_earlier_set_waits_for_nobody() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    redeem(administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    administration.revoke(&zone(), "stolen").await.unwrap();
    change_authorities(administration, &[]).await;
    stays_out(&berlin).await;
}

#[tokio::test]
async fn a_zone_that_its_owners_left_out_waits_for_nobody_also_after_a_restart() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    redeem(administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    change_authorities(administration, &["madrid"]).await;
    stays_out(&berlin).await;
}

#[tokio::test]
async fn an_invitation_stays_over_whose_zone_was_put_out_under_an_earlier_set() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    // By another gateway, which had issued one of its own.
    administration.import(true_grant(administration, &invitation)).await.unwrap();
    let revocation = administration.ledger.read(|registry| {
        registry.membership().unwrap().draft_revocation(&zone(), "stolen", now()).unwrap()
    });
    administration.sign_and_apply(&[TrustItem::Revocation(revocation)]).await.unwrap();
    change_authorities(administration, &[]).await;
    let restarted = open(berlin.folder.path(), &berlin.disk);
    for administration in [administration, &restarted] {
        let thief = redeem(administration, another_madrid(&invitation)).await;
        assert!(matches!(thief, Err(NotRedeemed::Invitation(RedeemError::Overtaken))));
    }
}

//! What becomes of invitations and addresses of zones that were put out, or came otherwise.

use super::*;

#[tokio::test]
async fn an_invitation_is_not_burned_for_a_key_that_was_revoked() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let first = berlin.invite_madrid().await.unwrap();
    redeem(administration, asks(&first, 1, FIRST_KEY)).await.unwrap();
    administration.revoke(&"madrid".parse().unwrap(), "stolen").await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    let refused = redeem(administration, asks(&second, 1, FIRST_KEY)).await.err().unwrap();
    assert!(refused.to_string().contains("was revoked: make a new one"), "{refused}");
    assert!(!redeem(administration, another_madrid(&second)).await.unwrap().pending);
    assert_eq!(berlin.zones(), 2);
    // Who was put out and asks with its used invitation is told, and is not asked to wait.
    let answer = redeem(administration, asks(&first, 1, FIRST_KEY)).await.unwrap();
    assert!(!answer.pending);
    let mesh = Membership::from_items(&first.mesh, None, answer.trust).unwrap();
    assert!(mesh.is_revoked(&madrid().public_key()));
}

/// Also one that has redeemed and waits for approval.
#[tokio::test]
async fn an_invitation_of_a_zone_that_is_no_member_is_withdrawn_by_revoking_the_zone() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let zone = "madrid".parse().unwrap();
    let open = berlin.invite_madrid().await.unwrap();
    let change = administration.revoke(&zone, "a mistake").await.unwrap();
    assert_eq!(change.notes, ["zone madrid is no member: its invitation holds no more"]);
    assert!(change.warnings.is_empty(), "it is what was asked for");
    assert!(administration.invited().await.open.is_empty());
    let refused = redeem(administration, asks(&open, 1, FIRST_KEY)).await;
    assert!(matches!(refused, Err(NotRedeemed::Invitation(_))));
    std::fs::remove_file(berlin.folder.path().join("authority.key")).unwrap();
    let waits = berlin.invite_madrid().await.unwrap();
    assert!(redeem(administration, asks(&waits, 1, FIRST_KEY)).await.unwrap().pending);
    administration.revoke(&zone, "a mistake").await.unwrap();
    assert!(administration.waiting_zones().is_empty());
    let refused = administration.revoke(&zone, "again").await.err().unwrap();
    assert!(refused.to_string().contains("madrid"), "{refused}");
}

#[tokio::test]
async fn a_revocation_that_cannot_be_stored_is_refused_with_the_reason() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let first = asks(&invitation, 1, FIRST_KEY);
    redeem(&berlin.administration, first).await.unwrap();
    assert_eq!(berlin.zones(), 2);
    berlin.fill_disk(true);
    let zone = "madrid".parse().unwrap();
    let refused = berlin.administration.revoke(&zone, "stolen").await.err().unwrap();
    assert!(refused.to_line().contains("cannot write to the state folder"), "{refused:?}");
    assert_eq!(berlin.zones(), 2);
    berlin.fill_disk(false);
    berlin.administration.revoke(&zone, "stolen").await.unwrap();
    assert_eq!(berlin.zones(), 1);
}

#[tokio::test]
async fn what_a_revoked_zone_had_may_be_given_to_another() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    redeem(administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    let rome = || InvitationRequest {
        zone: "rome".parse().unwrap(),
        prefixes: invitation.prefixes.clone(),
        tunnel_ips: Vec::new(),
        federations: Vec::new(),
        tokens: Vec::new(),
        valid_for_ms: 0,
    };
    let taken = administration.invite(rome()).await;
    assert!(taken.is_err(), "madrid has it");
    administration.revoke(&"madrid".parse().unwrap(), "gone").await.unwrap();
    administration.invite(rome()).await.unwrap();
}

#[tokio::test]
async fn one_invitation_of_a_zone_is_open_and_none_once_it_has_come_or_was_put_out() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let is_refused = async |asked| {
        matches!(redeem(administration, asked).await, Err(NotRedeemed::Invitation(_)))
    };
    let lost = berlin.invite_madrid().await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    assert!(is_refused(another_madrid(&lost)).await, "invited anew");
    let first = asks(&second, 1, FIRST_KEY);
    redeem(administration, first.clone()).await.unwrap();
    // Whoever moves or renames the zone's gateway invites it again; that one is open.
    let third = berlin.invite_madrid().await.unwrap();
    let zone = "madrid".parse().unwrap();
    administration.revoke(&zone, "stolen").await.unwrap();
    assert!(is_refused(another_madrid(&third)).await, "put out");
    assert_eq!(berlin.zones(), 1);
    // Nor after a restart.
    let restarted = open(berlin.folder.path(), &berlin.disk);
    for asked in [another_madrid(&lost), another_madrid(&third)] {
        let refused = redeem(&restarted, asked).await;
        assert!(matches!(refused, Err(NotRedeemed::Invitation(_))));
    }
}

#[tokio::test]
async fn an_older_invitation_is_void_once_its_zone_has_come_with_another() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    let comes = asks(&second, 1, FIRST_KEY);
    redeem(&berlin.administration, comes).await.unwrap();
    let thief = redeem(&berlin.administration, another_madrid(&first)).await;
    assert!(matches!(thief, Err(NotRedeemed::Invitation(_))));
    assert_eq!(berlin.administration.invited().await.open.len(), 0);
}

#[tokio::test]
async fn who_asks_about_a_key_is_told_what_revoked_it_and_nothing_of_others() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let comes = asks(&invitation, 1, FIRST_KEY);
    redeem(&berlin.administration, comes).await.unwrap();
    let key = madrid().public_key();
    assert!(berlin.administration.decided(&key).is_empty(), "a member");
    let zone = "madrid".parse().unwrap();
    berlin.administration.revoke(&zone, "stolen").await.unwrap();
    let told = berlin.administration.decided(&key);
    let kinds: Vec<_> = told.iter().map(SignedTrustItem::kind).collect();
    assert_eq!(kinds, [TrustKind::AuthoritySet, TrustKind::Revocation]);
    let stranger = ZoneIdentity::from_seed(&[66; 32]).public_key();
    assert!(berlin.administration.decided(&stranger).is_empty());
}

#[tokio::test]
async fn an_invitation_of_another_gateway_is_over_once_its_zone_has_come_or_was_put_out() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    // Another gateway grants the zone, and puts it out: only the items come here.
    let granted = GrantRequest {
        zone: "madrid".parse().unwrap(),
        zone_key: madrid().public_key(),
        prefixes: invitation.prefixes.clone(),
        tunnel_ips: invitation.tunnel_ips.clone(),
        federations: Vec::new(),
    };
    let items = administration.draft_grant(granted).unwrap();
    administration.sign_and_apply(&items).await.unwrap();
    let is_over = async || {
        let thief = redeem(administration, another_madrid(&invitation)).await;
        matches!(thief, Err(NotRedeemed::Invitation(RedeemError::Overtaken)))
    };
    assert!(is_over().await, "it has come");
    let revocation = administration.ledger.read(|registry| {
        let mesh = registry.membership().unwrap();
        mesh.draft_revocation(&"madrid".parse().unwrap(), "stolen", now()).unwrap()
    });
    administration.sign_and_apply(&[TrustItem::Revocation(revocation)]).await.unwrap();
    assert!(is_over().await, "it was put out");
    // An invitation of now is as good as any.
    let anew = berlin.invite_madrid().await.unwrap();
    assert!(!redeem(administration, another_madrid(&anew)).await.unwrap().pending);
}

#[tokio::test]
async fn a_zone_whose_key_was_revoked_invites_nobody_and_does_not_leave() {
    let berlin = berlin().await;
    let own = "berlin".parse().unwrap();
    let revoked = berlin.administration.ledger.read(|registry| {
        registry.membership().unwrap().draft_revocation(&own, "stolen", now()).unwrap()
    });
    let items = [TrustItem::Revocation(revoked)];
    berlin.administration.sign_and_apply(&items).await.unwrap();
    let refused = berlin.invite_madrid().await.unwrap_err();
    assert!(matches!(refused, Refusal::Revoked), "{refused:?}");
    let refused = berlin.administration.leave(&own).await.unwrap_err();
    assert!(matches!(refused, Refusal::Revoked), "{refused:?}");
}

//! When invitations expire, whatever becomes of the clock.

use super::*;

#[tokio::test]
async fn an_invitation_holds_for_seven_days_unless_its_issuer_says_otherwise() {
    let invitation = berlin().await.invite_madrid().await.unwrap();
    let left = invitation.expires_at.since(now());
    let days = left.div_ceil(24 * 3600 * 1000);
    assert_eq!(days, 7, "{left} ms");
}

#[tokio::test]
async fn an_expired_invitation_stays_so_when_the_clock_is_set_back() {
    let berlin = berlin().await;
    let old = berlin.invite_madrid().await.unwrap();
    // The gateway has run until the invitation was over; then its clock went back.
    let over = old.expires_at.plus(1);
    std::fs::write(berlin.folder.path().join("clock"), format!("{}\n", over.0)).unwrap();
    let refused = redeem(&berlin.administration, asks(&old, 1, FIRST_KEY)).await;
    let is_over = matches!(refused, Err(NotRedeemed::Invitation(RedeemError::Expired)));
    assert!(is_over, "{:?}", refused.err());
    // One that is issued now lasts as long as any other.
    let new = berlin.invite_madrid().await.unwrap();
    assert!(new.expires_at > over);
    redeem(&berlin.administration, asks(&new, 1, FIRST_KEY)).await.unwrap();
}

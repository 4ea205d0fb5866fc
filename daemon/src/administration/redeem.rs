//! Redeeming invitations: the inviter's end.
//!
//! Promises: an invitation is burned and its zone granted in one write, before the answer leaves; who
//! asks again gets what is in force now and changes nothing. What a zone says of itself is judged
//! like any other record. An invitation that cannot be granted is not burned.

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::invitation::{
    ChannelBinding, InvitedAs, IssuedInvitation, RedeemError, Redeemed, Redemption,
    RedemptionAnswer, Redemptions,
};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{Membership, SignedTrustItem};
use zonemesh_core::record::{ProtocolRange, SignedRecord};
use zonemesh_core::registry::Registry;

use super::{Administration, Refusal};
use crate::facts::clock;

/// Why a joiner is turned away. It is a stranger: the text tells no more than the book's one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRedeemed {
    #[error("no protocol version that both gateways speak: update the older one")]
    Protocol,
    #[error("this gateway has invited nobody")]
    NobodyInvited,
    #[error(transparent)]
    Invitation(#[from] RedeemError),
    #[error("the inviter cannot write to its disk: try again")]
    Disk(#[source] std::io::Error),
    #[error(transparent)]
    Refused(Refusal),
}

impl From<Refusal> for NotRedeemed {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Disk(error) => Self::Disk(error),
            other => Self::Refused(other),
        }
    }
}

impl Administration {
    /// Redeems an invitation for whoever asks on the connection of `binding`.
    pub(crate) async fn redeem(
        &self,
        asked: Redemption,
        binding: &ChannelBinding,
    ) -> Result<RedemptionAnswer, NotRedeemed> {
        if ProtocolRange::CURRENT.common(asked.protocol).is_none() {
            return Err(NotRedeemed::Protocol);
        }
        let mut state = self.state.lock().await;
        let book = state.book.as_mut().ok_or(NotRedeemed::NobodyInvited)?;
        let key = asked.zone_key;
        let redeemed = book.redeem(asked, binding, clock::never_back(&self.config()))?;
        let zone = redeemed.invitation.zone.clone();
        if redeemed.first {
            self.burn_and_grant(book, &redeemed).await?;
        }
        drop(state);
        tracing::info!(%zone, first = redeemed.first, "an invitation was redeemed");
        let is_member = |registry: &Registry| {
            registry.all_members().any(|member| member.zone == zone && member.key == key)
        };
        if self.ledger.read(is_member) {
            let record = Ok(redeemed.record.clone());
            // What is refused is counted, and told if it is suspicious.
            let _ = self.ledger.offer_record(zone.as_str(), record).await;
        }
        let (trust, record, pending) =
            self.ledger.read(|registry| in_force(registry, &redeemed.invitation, key));
        Ok(redeemed.answer(trust, record, pending))
    }

    /// Burns it and, if this gateway can sign it, grants what it promises: both or neither.
    async fn burn_and_grant(
        &self,
        book: &mut Redemptions,
        redeemed: &Redeemed,
    ) -> Result<(), NotRedeemed> {
        let issued = &redeemed.invitation;
        let zone = self
            .ledger
            .read(|registry| registry.membership().map(|mesh| InvitedAs::of(&issued.zone, mesh)));
        if zone.is_some_and(|zone| issued.is_overtaken(zone)) {
            return Err(RedeemError::Overtaken.into());
        }
        let invited = Subject::Zone(issued.zone.clone());
        let items = self.sign_promised(issued).inspect_err(|refusal| {
            tracing::warn!(zone = %issued.zone, reason = refusal.to_line(), "cannot grant a zone that was invited");
            let reason = Evidence::Reason(refusal.to_line());
            let finding = Finding::new(Code::InvitedNotGranted, invited.clone());
            self.ledger.findings().raise(finding.with(reason));
        })?;
        let burned = book.burn(redeemed);
        let mut writes = vec![self.invitations.write(issued)];
        writes.extend(burned.voided.iter().map(|other| self.invitations.remove(&other.id)));
        let granted = self.ledger.accept_trust_with(items, writes, all_are_kept).await;
        if let Err(refusal) = granted {
            let reason = refusal.to_line();
            tracing::error!(reason, "cannot store a redeemed invitation and its grant");
            book.take_back(burned);
            return Err(refusal.into());
        }
        book.settle(burned);
        self.ledger.findings().clear(Code::InvitedNotGranted, &invited);
        Ok(())
    }

    /// What grants the zone what it was promised; nothing if it has that already, or if an authority
    /// elsewhere must sign.
    fn sign_promised(&self, issued: &IssuedInvitation) -> Result<Vec<SignedTrustItem>, Refusal> {
        let Some(request) = issued.grant_request() else { return Ok(Vec::new()) };
        let granted = self.ledger.read(|registry| {
            let grant = registry.membership().and_then(|m| m.grant(&request.zone));
            grant.is_some_and(|grant| {
                grant.zone_key == request.zone_key
                    && grant.prefixes == request.prefixes
                    && grant.tunnel_ips == request.tunnel_ips
                    && (request.federations.is_empty() || grant.federations == request.federations)
            })
        });
        if granted {
            return Ok(Vec::new());
        }
        let items = self.draft_grant(request)?;
        let (signed, missing) = self.sign(&items)?;
        Ok(if missing > 0 { Vec::new() } else { signed })
    }
}

/// An invitation is not burned for a grant that would not be kept.
fn all_are_kept(membership: &Membership, items: &[SignedTrustItem]) -> Result<(), Refusal> {
    let mut trial = membership.clone();
    let refused = trial.accept_all(items.to_vec()).into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |reason| Err(reason.into()))
}

/// All trust items, this zone's own record, and whether the joiner waits for an authority.
fn in_force(
    registry: &Registry,
    issued: &IssuedInvitation,
    key: ZonePublicKey,
) -> (Vec<SignedTrustItem>, Option<SignedRecord>, bool) {
    let own = registry.get(registry.zone()).map(|held| held.signed.clone());
    let Some(membership) = registry.membership() else { return (Vec::new(), own, true) };
    let is_granted = membership.grant(&issued.zone).is_some_and(|grant| grant.zone_key == key);
    let is_pending = !is_granted && !membership.is_revoked(&key);
    (membership.items(), own, is_pending)
}

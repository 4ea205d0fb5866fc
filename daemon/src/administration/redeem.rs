//! Redeeming invitations: the inviter's end.

use tonic::Status;
use zonemesh_api::v1::RedeemReply;
use zonemesh_api::wire::join::{Redeem, redeem_reply};
use zonemesh_core::invitation::{Issued, Redeemed};
use zonemesh_core::membership::Membership;
use zonemesh_core::record::ProtocolRange;

use super::{Office, Refusal};
use crate::facts::ledger::now;

impl Office {
    /// Redeems an invitation: burned, on disk and, if this gateway can sign it, granted before the
    /// answer leaves.
    ///
    /// The caller is a stranger: a refusal tells no more than the book's one sentence.
    pub(crate) fn redeem(&self, request: Redeem) -> Result<RedeemReply, Status> {
        if ProtocolRange::CURRENT.common(request.protocol).is_none() {
            return Err(Status::failed_precondition(
                "no protocol version that both gateways speak: update the older one",
            ));
        }
        let mut state = self.lock();
        let not_here = || Status::unauthenticated("this gateway has invited nobody");
        let book = state.book.as_mut().ok_or_else(not_here)?;
        let joiner = (request.joiner, request.endpoints);
        let redeemed = book
            .redeem(request.invitation, joiner, &request.proof, now())
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        let issued = &redeemed.invitation;
        self.invitations.store(issued).map_err(|error| {
            tracing::error!(%error, "cannot store a redeemed invitation; is the disk full?");
            Status::unavailable("the inviter cannot write to its disk: try again")
        })?;
        self.learn(issued);
        tracing::info!(zone = %issued.zone, first = redeemed.first, "an invitation was redeemed");
        let pending = self.grant(issued).map_err(|refusal| {
            tracing::warn!(zone = %issued.zone, reason = refusal.to_line(), "cannot grant a zone that was invited");
            Status::from(refusal)
        })?;
        Ok(self.answer(&redeemed, pending))
    }

    fn learn(&self, issued: &Issued) {
        let older = self.ledger.read(|registry| {
            let record = registry.get(&issued.zone).map(|held| &held.record)?;
            let key = record.content.gateways.first()?.wireguard_key;
            let joiner = issued.used_by?;
            (key != joiner.wireguard_key).then_some(record.version)
        });
        self.hints.learn_joiner(issued, older);
    }

    /// True if an authority elsewhere must still sign.
    fn grant(&self, issued: &Issued) -> Result<bool, Refusal> {
        let Some(request) = issued.grant_request() else { return Ok(true) };
        let granted = self.ledger.read(|registry| {
            let grant = registry.membership().and_then(|m| m.grant(&request.zone));
            grant.is_some_and(|grant| {
                grant.zone_key == request.zone_key
                    && grant.prefixes == request.prefixes
                    && grant.tunnel_ips == request.tunnel_ips
            })
        });
        if granted {
            return Ok(false);
        }
        let items = self.draft_grant(request)?;
        let signed = self.sign_and_apply(&items)?;
        Ok(signed.missing > 0)
    }

    fn answer(&self, redeemed: &Redeemed, pending: bool) -> RedeemReply {
        let items = self.ledger.read(|registry| registry.membership().map(Membership::items));
        let items = items.unwrap_or_default();
        redeem_reply(&items, &redeemed.answer(&items), pending)
    }
}

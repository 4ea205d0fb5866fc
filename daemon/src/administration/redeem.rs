//! Redeeming invitations: the inviter's end.

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::invitation::{IssuedInvitation, RedeemError, Redemption, RedemptionAnswer};
use zonemesh_core::membership::{Membership, SignedTrustItem};
use zonemesh_core::record::ProtocolRange;

use super::{Administration, Refusal};
use crate::facts::ledger::now;

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
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Administration {
    /// Redeems an invitation: burned, on disk and, if this gateway can sign it, granted before the
    /// answer leaves. A repeat gets what is in force and completes what the first has left open;
    /// nothing is learned from it.
    pub(crate) async fn redeem(&self, asked: Redemption) -> Result<RedemptionAnswer, NotRedeemed> {
        if ProtocolRange::CURRENT.common(asked.protocol).is_none() {
            return Err(NotRedeemed::Protocol);
        }
        let mut state = self.state.lock().await;
        let book = state.book.as_mut().ok_or(NotRedeemed::NobodyInvited)?;
        let redeemed = book.redeem(asked, now())?;
        let issued = &redeemed.invitation;
        if redeemed.first {
            // The zone has come: whoever has another of its invitations does not take its place.
            let voided = book.void(&issued.zone, Some(&issued.id));
            let mut writes = vec![self.invitations.write(issued)];
            writes.extend(voided.iter().map(|other| self.invitations.remove(&other.id)));
            if let Err(error) = self.disk.write(writes).await {
                tracing::error!(%error, "cannot store a redeemed invitation; is the disk full?");
                book.take_back(&redeemed);
                book.restore(voided);
                return Err(error.into());
            }
        }
        // Once: a hint of a repeat would outrank what the zone has said since.
        if redeemed.first || !self.is_known(issued) {
            self.learn(issued);
        }
        tracing::info!(zone = %issued.zone, first = redeemed.first, "an invitation was redeemed");
        let invited = Subject::Zone(issued.zone.clone());
        let pending = self.grant(issued).await.inspect_err(|refusal| {
            tracing::warn!(zone = %issued.zone, reason = refusal.to_line(), "cannot grant a zone that was invited");
            let reason = Evidence::Reason(refusal.to_line());
            let finding = Finding::new(Code::InvitedNotGranted, invited.clone());
            self.ledger.findings().raise(finding.with(reason));
        })?;
        self.ledger.findings().clear(Code::InvitedNotGranted, &invited);
        Ok(redeemed.answer(self.trust(), pending))
    }

    fn is_known(&self, issued: &IssuedInvitation) -> bool {
        issued.used_by.is_some_and(|joiner| self.hints.all().contains_key(&joiner.zone_key))
    }

    fn learn(&self, issued: &IssuedInvitation) {
        let older = self.ledger.read(|registry| {
            let record = registry.get(&issued.zone).map(|held| &held.record)?;
            let is_known = |key| record.content.gateways.iter().any(|g| g.wireguard_key == key);
            let joiner = issued.used_by?;
            (!is_known(joiner.wireguard_key)).then_some(record.version)
        });
        self.hints.learn_joiner(issued, older);
    }

    /// True if an authority elsewhere must still sign.
    async fn grant(&self, issued: &IssuedInvitation) -> Result<bool, Refusal> {
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
        let signed = self.sign_and_apply(&items).await?;
        Ok(signed.missing > 0)
    }

    /// All trust items of the mesh.
    fn trust(&self) -> Vec<SignedTrustItem> {
        let items = self.ledger.read(|registry| registry.membership().map(Membership::items));
        items.unwrap_or_default()
    }
}

//! The tokens of VMs that this gateway keeps: taken with an invitation or a founding bundle, given up.
//!
//! Promises: what came with them counts when it is on disk; an invitation that brings tokens takes the
//! place of what was kept, once, and one that brings none changes nothing. Refuses to know what
//! the configuration says of tokens.

use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::Invitation;
use zonemesh_core::journal::AuditAct;
use zonemesh_core::token::{KeptTokens, TokenHash};

use super::{Administration, Refusal};
use crate::facts::disk::Write;
use crate::facts::tokens::TokenBoard;

impl Administration {
    /// The tokens that are kept.
    pub(crate) fn tokens(&self) -> TokenBoard {
        self.tokens.clone()
    }

    /// What an invitation brings that this gateway has not used yet. Who uses it again, as a gateway
    /// does at each start of its VM, brings nothing back that was given up.
    pub(super) fn brought(&self, invitation: &Invitation) -> Option<KeptTokens> {
        let used = self.invitations.inviter().is_some_and(|used| used.id == invitation.id);
        let inviter = Some(invitation.inviter.zone.clone());
        let kept = KeptTokens { tokens: invitation.tokens.clone(), inviter };
        Some(kept).filter(|kept| !used && !kept.tokens.is_empty())
    }

    /// What a founding bundle brings.
    pub(super) fn brought_by_bundle(bundle: &FoundingBundle) -> Option<KeptTokens> {
        let kept = KeptTokens { tokens: bundle.founder.tokens.clone(), inviter: None };
        Some(kept).filter(|kept| !kept.tokens.is_empty())
    }

    pub(super) fn keep_tokens(&self, kept: Option<&KeptTokens>) -> Option<Write> {
        kept.map(|kept| self.tokens_file.write(kept))
    }

    /// Gives up a token that is kept. False if it is not.
    pub(crate) async fn remove_token(&self, hash: &TokenHash) -> Result<bool, Refusal> {
        let _turn = self.state.lock().await;
        let mut kept = self.tokens.kept();
        let before = kept.tokens.len();
        kept.tokens.retain(|token| token.hash != *hash);
        if kept.tokens.len() == before {
            return Ok(false);
        }
        let audit = self.ledger.audit(AuditAct::RemoveToken, hash, String::new());
        self.disk.write(vec![self.tokens_file.write(&kept), audit]).await?;
        self.tokens.set(kept);
        Ok(true)
    }
}

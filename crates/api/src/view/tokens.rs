//! Which tokens of its zone's VMs a gateway takes: `zonemesh token list`, `token remove`.

use serde::Serialize;

use super::{Timestamp, known};
use crate::v1::{TakenToken, TokenListReply};

/// The tokens that are taken.
#[derive(Debug, Serialize)]
pub struct TokensView {
    pub schema: &'static str,
    pub served: bool,
    pub tokens: Vec<TakenTokenEntry>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct TakenTokenEntry {
    pub name: String,
    pub role: String,
    pub federation: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub source: String,
    pub inviter: Option<String>,
    pub sha256: String,
}

impl From<TokenListReply> for TokensView {
    fn from(reply: TokenListReply) -> Self {
        let TokenListReply { tokens, served } = reply;
        let tokens = tokens.into_iter().map(TakenTokenEntry::from).collect();
        Self { schema: "zonemesh/tokens/v1", served, tokens }
    }
}

impl From<TakenToken> for TakenTokenEntry {
    fn from(token: TakenToken) -> Self {
        let end = token.expires_at_unix_ms;
        Self {
            name: token.name,
            role: token.role,
            federation: known(token.federation),
            expires_at: (end != 0).then(|| end.into()),
            source: token.source,
            inviter: known(token.inviter),
            sha256: token.sha256,
        }
    }
}

//! Which tokens of the zone's VMs are taken, as engineers see it.

use std::time::SystemTime;

use tonic::Status;
use zonemesh_api::v1::{TakenToken, TokenListReply};
use zonemesh_api::wire::finding::with_next;
use zonemesh_config::TokenSettings;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::KnownToken;

use crate::administration::Administration;

/// Those of the configuration, then those that are kept. One that stands in both is the
/// configuration's.
pub(super) fn taken(administration: &Administration) -> TokenListReply {
    let config = administration.config();
    let local_api = config.local_api.as_ref();
    let configured = local_api.map(|api| api.tokens.as_slice()).unwrap_or_default();
    let kept = administration.tokens().kept();
    let (source, inviter) = match kept.inviter {
        Some(inviter) => ("invitation", inviter.to_string()),
        None => ("founding", String::new()),
    };
    let is_new = |token: &&KnownToken| configured.iter().all(|one| one.sha256 != token.hash);
    let others = kept.tokens.iter().filter(is_new).map(|token| TakenToken {
        name: token.name(),
        role: token.role.as_str().to_owned(),
        federation: token.federation.as_ref().map(ToString::to_string).unwrap_or_default(),
        expires_at_unix_ms: token.expires_at.map_or(0, |end| end.0),
        sha256: token.hash.to_string(),
        source: source.to_owned(),
        inviter: inviter.clone(),
    });
    let tokens = configured.iter().map(of_configuration).chain(others).collect();
    TokenListReply { tokens, served: local_api.is_some() }
}

fn of_configuration(token: &TokenSettings) -> TakenToken {
    let end = |time: SystemTime| UnixMillis::from(time).0;
    TakenToken {
        name: token.name.clone(),
        role: token.role.as_str().to_owned(),
        federation: token.federation.as_ref().map(ToString::to_string).unwrap_or_default(),
        expires_at_unix_ms: token.expires.map_or(0, end),
        sha256: token.sha256.to_string(),
        source: "configuration".to_owned(),
        inviter: String::new(),
    }
}

/// Why a token cannot be given up.
pub(super) fn not_kept() -> Status {
    let told = "no token with this hash came with the invitation or the founding bundle; those of the \
        configuration are taken out there";
    with_next(Status::not_found(told), "zonemesh token list")
}

#[cfg(test)]
mod tests {
    use zonemesh_api::wire::finding::told_next;

    #[test]
    fn who_gives_up_an_unknown_token_is_shown_to_the_list_of_tokens() {
        assert_eq!(told_next(&super::not_kept()), Some("zonemesh token list"));
    }
}

//! From a gateway that nobody talks to any more to the join port of a member: was its key revoked?

use std::sync::Arc;

use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::SignedTrustItem;

use super::join::JoinAddress;
use super::{ConnectError, Said, dial};
use crate::v1::StandingRequest;
use crate::v1::join_client::JoinClient;
use crate::wire::WireError;
use crate::wire::standing::told_items;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StandingCallError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The other gateway says no.
    #[error(transparent)]
    Refused(#[from] Said),
    /// An answer that means nothing.
    #[error(transparent)]
    Malformed(#[from] WireError),
}

/// Asks one gateway about `key`; `tls` pins its zone. No items: the key was not revoked there.
///
/// # Errors
/// [`StandingCallError`].
pub async fn ask(
    at: JoinAddress,
    tls: Arc<rustls::ClientConfig>,
    key: &ZonePublicKey,
) -> Result<Vec<SignedTrustItem>, StandingCallError> {
    let channel =
        dial::tls_channel(dial::Route::to(at.outer, at.tunnel_ip), tls, &Keepalive::DEFAULT)
            .await?;
    let reply = JoinClient::new(channel).standing(StandingRequest::from(key)).await;
    let reply = reply.map_err(Said::from)?;
    Ok(told_items(reply.into_inner())?)
}

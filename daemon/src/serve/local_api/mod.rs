//! The local API: what this gateway does for the VMs of its own zone.

mod attest;
mod authority;
mod behind;
mod desk;
mod door;
pub(crate) mod granted;
mod members;
mod onegate;
mod presence;
mod seats;
mod service;
mod session;
pub(crate) mod view;

use std::sync::Arc;
use std::time::Instant;

use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::local_server::LocalServer;
use zonemesh_pki::{CurrentLeaf, local_server_config};

use super::listen::{FollowedListener, ListenSetting, SoonListening};
use crate::act::lookout::LOCAL_API;
use crate::act::reachability::Reachability;
use crate::facts::certificates::FederationCas;
use crate::facts::companions::CompanionBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::refused_vms::RefusedVms;
use crate::facts::tokens::TokenBoard;
use crate::failure::{Exit, Failure, OrExit as _};

pub(crate) use authority::{Denied, VmPermissions};
pub(crate) use behind::BehindGateway;
pub(crate) use door::VmDoor;

use desk::VmDesk;
use presence::Presence;
use seats::OpenSessions;
use service::LocalService;

/// Who is connected stays so when it listens elsewhere.
const LISTEN: ListenSetting = ListenSetting {
    key: LOCAL_API,
    address: |config| config.local_api.as_ref().map(|settings| settings.listen),
    begins_anew: |before, now| !now.keepalive.is_same_for_streams(&before.keepalive),
};

/// The local API, ready to be served.
pub(crate) struct Ready {
    listener: FollowedListener,
    api: LocalApi,
}

/// What serves wherever it listens.
struct LocalApi {
    config: ConfigInForce,
    tls: Arc<rustls::ServerConfig>,
    door: Arc<dyn Door>,
    sessions: Arc<OpenSessions>,
    presence: Presence,
    service: Arc<LocalService>,
}

/// What the local API tells of, and changes.
#[derive(Clone)]
pub(crate) struct LocalParts {
    pub(crate) config: ConfigInForce,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) reach: Arc<Reachability>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) companions: Arc<CompanionBoard>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) refused_vms: Arc<RefusedVms>,
    pub(crate) tokens: TokenBoard,
    pub(crate) behind: BehindGateway,
}

/// Prepares the local API, and has it listen if it is to and that can be now.
pub(crate) async fn prepare(leaf: &CurrentLeaf, parts: LocalParts) -> Result<Ready, Failure> {
    let tls = local_server_config(leaf)
        .or_exit(Exit::Trust, || "cannot set up TLS of the local API".to_owned())?;
    let config = parts.config.clone();
    let authority = Arc::new(VmPermissions::new(config.clone(), parts.tokens.clone()));
    let refusals = parts.refusals.clone();
    let door = Arc::new(VmDoor::new(authority.clone(), refusals.clone()));
    let sessions = Arc::new(OpenSessions::new(refusals));
    let presence = Presence { ledger: parts.ledger.clone(), companions: parts.companions.clone() };
    let findings = parts.ledger.findings();
    let service = Arc::new(LocalService::new(VmDesk::new(authority, parts), sessions.clone()));
    let listener = FollowedListener::begin(LISTEN, config.clone(), findings).await;
    Ok(Ready { listener, api: LocalApi { config, tls, door, sessions, presence, service } })
}

/// Serves the zone's VMs until it is dropped.
pub(crate) async fn run(ready: Ready) -> anyhow::Result<()> {
    let Ready { listener, api } = ready;
    tokio::select! {
        served = listener.serve(|listening| serve_at(&api, listening)) => served,
        () = api.sessions.mind() => Ok(()),
        () = api.presence.mind() => Ok(()),
    }
}

/// Companions are missed only once they can call.
async fn serve_at(api: &LocalApi, listening: SoonListening) -> anyhow::Result<()> {
    let listener = listening.listener().await;
    tracing::info!(address = ?listener.local_addr().ok(), "local API");
    api.presence.companions.begin(Instant::now());
    let incoming = Incoming::through(api.door.clone(), listener, api.tls.clone());
    let service = LocalServer::from_arc(api.service.clone());
    let service = service.max_decoding_message_size(serve::SMALL_REQUEST);
    let keepalive = api.config.now().keepalive;
    let served = serve::small_requests(&keepalive).add_service(service);
    Ok(served.serve_with_incoming(incoming).await?)
}

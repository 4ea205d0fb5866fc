//! The local API: what this gateway does for the VMs of its own zone.

mod attest;
mod authority;
mod desk;
mod door;
mod granted;
mod onegate;
mod presence;
mod seats;
mod service;
mod session;
mod view;

use std::sync::Arc;
use std::time::Instant;

use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::local_server::LocalServer;
use zonemesh_config::{Config, LocalApiSettings};
use zonemesh_core::keepalive::Keepalive;
use zonemesh_pki::{CurrentLeaf, local_server_config};

use super::listen::{ListenAt, SoonListening};
use crate::act::reachability::Reachability;
use crate::facts::certificates::FederationCas;
use crate::facts::companions::CompanionBoard;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::tokens::TokenBoard;
use crate::failure::{Exit, Failure, OrExit as _};

use authority::VmPermissions;
use desk::VmDesk;
use door::VmDoor;
use onegate::VmDirectory;
use presence::Presence;
use seats::OpenSessions;
use service::LocalService;

/// The local API, ready to be served.
pub(crate) struct Ready {
    listening: SoonListening,
    tls: Arc<rustls::ServerConfig>,
    door: Arc<dyn Door>,
    sessions: Arc<OpenSessions>,
    presence: Presence,
    service: LocalService,
    keepalive: Keepalive,
}

/// What the local API tells of, and changes.
#[derive(Clone)]
pub(crate) struct LocalParts {
    pub(crate) config: Arc<Config>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) reach: Arc<Reachability>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) companions: Arc<CompanionBoard>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) tokens: TokenBoard,
}

/// Prepares the local API, and has it listen if that can be now.
pub(crate) async fn prepare(
    settings: &LocalApiSettings,
    leaf: &CurrentLeaf,
    parts: LocalParts,
) -> Result<Ready, Failure> {
    let tls = local_server_config(leaf)
        .or_exit(Exit::Trust, || "cannot set up TLS of the local API".to_owned())?;
    let config = &parts.config;
    let authority = Arc::new(VmPermissions::new(
        config.zone.prefixes.clone(),
        settings.tokens.clone(),
        config.federations.clone(),
        parts.tokens.clone(),
    ));
    let refusals = parts.refusals.clone();
    let door = Arc::new(VmDoor::new(authority.clone(), refusals.clone()));
    let sessions = Arc::new(OpenSessions::new(refusals));
    let keepalive = config.keepalive;
    let vms = settings.onegate.as_deref().map(VmDirectory::new).transpose();
    let vms = vms.or_exit(Exit::Configuration, || "cannot use local_api.onegate".to_owned())?;
    let presence = Presence { ledger: parts.ledger.clone(), companions: parts.companions.clone() };
    let findings = parts.ledger.findings();
    let service = LocalService::new(VmDesk::new(authority, vms, parts), sessions.clone());
    let at = ListenAt::of_setting("local_api.listen", settings.listen);
    let listening = at.begin(findings).await;
    Ok(Ready { listening, tls, door, sessions, presence, service, keepalive })
}

/// Serves the zone's VMs until it is dropped. Companions are missed only once they can call.
pub(crate) async fn run(ready: Ready) -> anyhow::Result<()> {
    let listener = ready.listening.listener().await;
    tracing::info!(address = ?listener.local_addr().ok(), "local API");
    ready.presence.companions.begin(Instant::now());
    let incoming = Incoming::through(ready.door, listener, ready.tls);
    let service = LocalServer::new(ready.service).max_decoding_message_size(serve::SMALL_REQUEST);
    let served =
        serve::small_requests(&ready.keepalive).add_service(service).serve_with_incoming(incoming);
    tokio::select! {
        served = served => Ok(served?),
        () = ready.sessions.mind() => Ok(()),
        () = ready.presence.mind() => Ok(()),
    }
}

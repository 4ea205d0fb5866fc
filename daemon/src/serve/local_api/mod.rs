//! The local API: what this gateway does for the VMs of its own zone.

mod attest;
mod authority;
mod desk;
mod door;
mod granted;
mod members;
mod onegate;
mod presence;
mod seats;
mod service;
mod session;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::local_server::LocalServer;
use zonemesh_config::Config;
use zonemesh_pki::{CurrentLeaf, local_server_config};

use super::listen::{ListenAt, SoonListening};
use crate::act::lookout::LOCAL_API;
use crate::act::reachability::Reachability;
use crate::facts::certificates::FederationCas;
use crate::facts::companions::CompanionBoard;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::refused_vms::RefusedVms;
use crate::facts::tokens::TokenBoard;
use crate::failure::{Exit, Failure, OrExit as _};

use authority::VmPermissions;
use desk::VmDesk;
use door::VmDoor;
use presence::Presence;
use seats::OpenSessions;
use service::LocalService;

/// The local API, ready to be served.
pub(crate) struct Ready {
    config: ConfigInForce,
    /// Where it listens from the start; absent if the configuration has no local API then.
    first: Option<SoonListening>,
    tls: Arc<rustls::ServerConfig>,
    door: Arc<dyn Door>,
    sessions: Arc<OpenSessions>,
    presence: Presence,
    service: Arc<LocalService>,
    findings: Arc<FindingBoard>,
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
    let first = match wanted(&config.now()) {
        Some(address) => Some(at(address).begin(findings.clone()).await),
        None => None,
    };
    Ok(Ready { config, first, tls, door, sessions, presence, service, findings })
}

fn wanted(config: &Config) -> Option<SocketAddr> {
    config.local_api.as_ref().map(|settings| settings.listen)
}

fn at(address: SocketAddr) -> ListenAt {
    ListenAt::of_setting(LOCAL_API, address)
}

/// Serves the zone's VMs until it is dropped.
pub(crate) async fn run(ready: Ready) -> anyhow::Result<()> {
    let (sessions, presence) = (ready.sessions.clone(), ready.presence.clone());
    tokio::select! {
        served = follow(ready) => served,
        () = sessions.mind() => Ok(()),
        () = presence.mind() => Ok(()),
    }
}

/// Listens where the configuration in force says. Who is connected stays so when that is elsewhere.
async fn follow(mut ready: Ready) -> anyhow::Result<()> {
    let mut changes = ready.config.changes();
    loop {
        let (address, ours) = {
            let now = changes.borrow_and_update();
            (wanted(&now), now.keepalive)
        };
        let is_other =
            |now: &Arc<Config>| wanted(now) != address || !now.keepalive.is_same_for_streams(&ours);
        let Some(address) = address else {
            at(([0; 4], 0).into()).give_up(&ready.findings);
            changes.wait_for(is_other).await?;
            continue;
        };
        let listening = match ready.first.take() {
            Some(first) => first,
            None => at(address).begin(ready.findings.clone()).await,
        };
        tokio::select! {
            served = serve_at(&ready, listening) => return served,
            changed = changes.wait_for(is_other) => drop(changed?),
        }
    }
}

/// Companions are missed only once they can call.
async fn serve_at(ready: &Ready, listening: SoonListening) -> anyhow::Result<()> {
    let listener = listening.listener().await;
    tracing::info!(address = ?listener.local_addr().ok(), "local API");
    ready.presence.companions.begin(Instant::now());
    let incoming = Incoming::through(ready.door.clone(), listener, ready.tls.clone());
    let service = LocalServer::from_arc(ready.service.clone());
    let service = service.max_decoding_message_size(serve::SMALL_REQUEST);
    let keepalive = ready.config.now().keepalive;
    let served = serve::small_requests(&keepalive).add_service(service);
    Ok(served.serve_with_incoming(incoming).await?)
}

//! Starts everything that others see of this gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use zonemesh_pki::{ZoneTrust, join_server_config, zone_server_config};

use super::admin::{AdminParts, AdminSocket};
use super::listen::ListenAt;
use super::local_api::LocalParts;
use super::registry::{RegistryService, RegistryTerms};
use super::sources::SnapshotSources;
use super::{admin, join, local_api, manager, registry};
use crate::act::reachability::Reachability;
use crate::act::streams::StreamContext;
use crate::administration::Administration;
use crate::administration::announcer::Announcer;
use crate::administration::join::Joining;
use crate::administration::rotation::Rotation;
use crate::facts::tokens::TokenBoard;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::supervisor::Supervisor;

/// What is served.
pub(crate) struct Served {
    pub(crate) sources: SnapshotSources,
    pub(crate) administration: Arc<Administration>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) trust: ZoneTrust,
    pub(crate) streams: StreamContext,
}

/// Starts the registry's server, the join service, the local API and the admin socket, in this
/// order; then the service manager hears that all is there.
pub(crate) async fn start(
    served: Served,
    socket: AdminSocket,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    start_registry(&served, supervisor).await?;
    let Served { sources, administration, announcer, .. } = served;
    let tls = join_server_config(sources.leaf.current())
        .or_exit(Exit::Trust, || "cannot set up TLS of the join service".to_owned())?;
    let service = join::run(administration.clone(), tls, sources.refusals.clone());
    supervisor.spawn("join service", service);
    start_local_api(&sources, administration.tokens(), supervisor).await?;
    let following = announcer.clone().follow_grant(administration.clone());
    supervisor.spawn("own record", following);
    let rotation = Arc::new(Rotation {
        administration: administration.clone(),
        announcer: announcer.clone(),
        tunnel: sources.tunnel.clone(),
        peers: sources.peers.clone(),
        turn: tokio::sync::Mutex::default(),
    });
    supervisor.spawn("key rotation", rotation.clone().run());
    let joining = Arc::new(Joining {
        administration: administration.clone(),
        announcer,
        leaf: sources.leaf.clone(),
        tunnel: sources.tunnel.clone(),
        peers: sources.peers.clone(),
    });
    let parts = AdminParts { sources: sources.clone(), administration, rotation, joining };
    supervisor.spawn("admin socket", admin::run(socket, parts));
    supervisor.spawn("service manager", manager::run(sources));
    Ok(())
}

async fn start_registry(served: &Served, supervisor: &mut Supervisor) -> Result<(), Failure> {
    let config = &served.sources.config;
    let tls = zone_server_config(&served.trust, served.sources.leaf.current());
    let tls = tls.or_exit(Exit::Trust, || "cannot set up TLS between the gateways".to_owned())?;
    let service = RegistryService::new(served.trust.clone(), served.streams.clone());
    let network = &served.streams.network;
    for (index, ip) in config.tunnel.addresses.iter().enumerate() {
        let address = SocketAddr::new(network.place(*ip), config.registry.port);
        let at = ListenAt::of_setting(format!("tunnel.addresses[{index}]"), address);
        let terms = RegistryTerms {
            tls: tls.clone(),
            keepalive: config.keepalive,
            refusals: served.sources.refusals.clone(),
        };
        let listening = at.begin(served.sources.findings.clone()).await;
        supervisor.spawn("registry server", registry::run(listening, service.clone(), terms));
    }
    Ok(())
}

async fn start_local_api(
    sources: &SnapshotSources,
    tokens: TokenBoard,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let Some(settings) = &sources.config.local_api else { return Ok(()) };
    let reach = Reachability {
        own_zone: sources.config.zone.name.clone(),
        tunnel: sources.tunnel.clone(),
        peers: sources.peers.clone(),
        paths: sources.paths.clone(),
        streams: sources.board.clone(),
    };
    let parts = LocalParts {
        config: sources.config.clone(),
        ledger: sources.ledger.clone(),
        reach: Arc::new(reach),
        keepalives: sources.keepalives.clone(),
        cas: sources.cas.clone(),
        companions: sources.companions.clone(),
        refusals: sources.refusals.clone(),
        tokens,
    };
    let ready = local_api::prepare(settings, sources.leaf.current(), parts).await?;
    supervisor.spawn("local API", local_api::run(ready));
    Ok(())
}

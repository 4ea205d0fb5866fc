//! Starts everything that others see of this gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use zonemesh_core::kernel::Ipv6State;
use zonemesh_pki::{ZoneTrust, join_server_config, zone_server_config};

use super::admin::{AdminParts, AdminSocket};
use super::listen::ListenAt;
use super::local_api::{BehindGateway, LocalParts};
use super::onegate_view::OneGateView;
use super::registry::{RegistryService, RegistryTerms};
use super::sources::SnapshotSources;
use super::{admin, http, join, local_api, manager, registry};
use crate::act::reachability::Reachability;
use crate::act::streams::StreamContext;
use crate::administration::Administration;
use crate::administration::announcer::Announcer;
use crate::administration::join::Joining;
use crate::administration::reload::Reloading;
use crate::administration::rotation::Rotation;
use crate::facts::kernel::ipv6;
use crate::facts::tokens::TokenBoard;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::supervisor::Supervisor;

/// How often it is looked whether IPv6 is switched on.
const LOOK: Duration = Duration::from_secs(1);

/// What is served.
pub(crate) struct Served {
    pub(crate) sources: SnapshotSources,
    pub(crate) administration: Arc<Administration>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) reloading: Arc<Reloading>,
    pub(crate) trust: ZoneTrust,
    pub(crate) behind: BehindGateway,
    pub(crate) streams: StreamContext,
    /// Tells when a signal asks for a reload.
    pub(crate) hang_ups: Signal,
}

/// Starts the registry's server, the join service, the local API and the admin socket, in this
/// order; then the service manager hears that all is there.
pub(crate) async fn start(
    served: Served,
    socket: AdminSocket,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    start_registry(&served, supervisor).await?;
    let Served { sources, administration, announcer, reloading, hang_ups, behind, .. } = served;
    supervisor.spawn("reload", reload_on(hang_ups, reloading.clone()));
    let tls = join_server_config(sources.leaf.current())
        .or_exit(Exit::Trust, || "cannot set up TLS of the join service".to_owned())?;
    let service = join::run(administration.clone(), tls, sources.refusals.clone());
    supervisor.spawn("join service", service);
    start_local_api(&sources, administration.tokens(), behind, supervisor).await?;
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
    let parts =
        AdminParts { sources: sources.clone(), administration, rotation, joining, reloading };
    supervisor.spawn("admin socket", admin::run(socket, parts));
    if let Some(settings) = sources.config.now().http {
        let at = ListenAt::of_setting("http.listen", settings.listen);
        let listening = at.begin(sources.findings.clone()).await;
        supervisor.spawn("health over HTTP", http::run(listening, sources.clone()));
    }
    supervisor.spawn("service manager", manager::run(sources));
    Ok(())
}

/// True if the tunnel's interface cannot have this address.
fn lacks_ipv6(address: SocketAddr, interface: &str) -> bool {
    address.is_ipv6() && ipv6::state(interface) != Ipv6State::On
}

/// Reloads at each SIGHUP until it is dropped; what is refused stands in the log and in the findings.
async fn reload_on(mut hang_ups: Signal, reloading: Arc<Reloading>) -> anyhow::Result<()> {
    while hang_ups.recv().await.is_some() {
        let _told_already = admin::reload(&reloading).await;
    }
    anyhow::bail!("signals come no more")
}

async fn start_registry(served: &Served, supervisor: &mut Supervisor) -> Result<(), Failure> {
    let config = served.sources.config.now();
    let tls = zone_server_config(&served.trust, served.sources.leaf.current());
    let tls = tls.or_exit(Exit::Trust, || "cannot set up TLS between the gateways".to_owned())?;
    let service = RegistryService::new(served.trust.clone(), served.streams.clone());
    let network = &served.streams.network;
    for (index, ip) in config.tunnel.addresses.iter().enumerate() {
        let address = SocketAddr::new(network.place(*ip), config.registry.port);
        let at = ListenAt::of_setting(format!("tunnel.addresses[{index}]"), address);
        let terms = RegistryTerms {
            tls: tls.clone(),
            config: served.sources.config.clone(),
            refusals: served.sources.refusals.clone(),
        };
        let (findings, service) = (served.sources.findings.clone(), service.clone());
        if lacks_ipv6(address, &config.tunnel.interface) {
            // Told as such; until then there is nothing to listen on.
            let interface = config.tunnel.interface.clone();
            supervisor.spawn("registry server", async move {
                while lacks_ipv6(address, &interface) {
                    tokio::time::sleep(LOOK).await;
                }
                registry::run(at.begin(findings).await, service, terms).await
            });
            continue;
        }
        let listening = at.begin(findings).await;
        supervisor.spawn("registry server", registry::run(listening, service, terms));
    }
    Ok(())
}

async fn start_local_api(
    sources: &SnapshotSources,
    tokens: TokenBoard,
    behind: BehindGateway,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let reach = Reachability {
        own_zone: sources.config.now().zone.name.clone(),
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
        refused_vms: sources.lookout.refused_vms.clone(),
        tokens,
        behind,
    };
    let view = OneGateView::prepare(parts.clone()).await;
    let ready = local_api::prepare(sources.leaf.current(), parts).await?;
    supervisor.spawn("local API", local_api::run(ready));
    supervisor.spawn("OneGate view", view.run());
    Ok(())
}

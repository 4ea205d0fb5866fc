//! The life of a gateway: what starts after what, and how it ends.
//!
//! Tunnels come up with what configuration and disk say, before any network answer is awaited.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};
use zonemesh_core::record::Lane;
use zonemesh_pki::{LocalApiKey, ZoneTrust, join_server_config, zone_server_config};
use zonemesh_tunnel::{MOST_LANES, Tunnel, TunnelEvent};

use crate::act::lookout;
use crate::act::paths;
use crate::act::plane::{Ground, Plane, Wakers};
use crate::act::{etcd, resolver, tunnel};
use crate::administration::rotation::Rotation;
use crate::administration::{Identity, Office};
use crate::facts::certificates::{FederationCas, OwnLeaf};
use crate::facts::disk::{self, DiskWriter, StateFolder};
use crate::facts::etcd::EtcdBoard;
use crate::facts::journal;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::{Ledger, NotPublished, OwnZone};
use crate::facts::observer::Observer;
use crate::facts::paths::PathBoard;
use crate::facts::streams::StreamBoard;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::Plan;
use crate::plan::announcement;
use crate::plan::announcement::WireGuardKeys;
use crate::serve::registry::Service;
use crate::serve::{admin, join, local_api, registry};
use crate::supervisor::Supervisor;

/// Runs the gateway until a signal asks it to end, or something it needs has ended.
pub async fn run(config: Config) -> Result<(), Failure> {
    let config = Arc::new(config);
    let mut supervisor = Supervisor::new();
    let Running { tunnel, disk } = start(&config, &mut supervisor).await?;
    tracing::info!(zone = %config.zone.name, gateway = config.gateway.name, "ready");
    let ended = tokio::select! {
        ended = supervisor.first_end() => Err(ended),
        asked = asked_to_end() => asked,
    };
    tracing::info!("stopping");
    supervisor.stop().await;
    disk.flush().await;
    if matches!(ended, Ok(Wish::Restart)) {
        match tunnel.leave_device() {
            Ok(()) => tracing::info!("interface and routes stay for the next start"),
            Err(error) => tracing::warn!(%error, "interface and routes cannot stay"),
        }
    }
    ended.map(drop)
}

/// What is left to be ended when all tasks have.
struct Running {
    tunnel: Arc<Tunnel>,
    disk: DiskWriter,
}

async fn start(config: &Arc<Config>, supervisor: &mut Supervisor) -> Result<Running, Failure> {
    let started_at = SystemTime::now();
    let folder = &config.gateway.state_dir;
    disk::open_folder(folder)?;
    let private_key = disk::keys::wireguard(&config.tunnel.private_key_file)?;
    let next_key = disk::keys::next_wireguard(&config.tunnel.private_key_file)?;
    let identity = disk::keys::zone_identity(&config.registry.identity_key_file)?;
    config
        .check_keys(private_key.public_key(), identity.public_key())
        .or_exit(Exit::Configuration, || {
            "the configuration does not fit this gateway".to_owned()
        })?;
    let leaf = OwnLeaf::issue(&config.zone.name, &identity, &config.tunnel.addresses)?;
    let disk = DiskWriter::start(StateFolder)
        .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
    let cas = FederationCas::open(folder, &config.federations, disk.clone());
    let members = announcement::members(config, identity.public_key());
    let own_keys = WireGuardKeys {
        current: private_key.public_key(),
        next: next_key.as_ref().map(WireGuardPrivateKey::public_key),
    };
    let own = Identity::new(identity.public_key(), own_keys);
    let own_zone = OwnZone { zone: config.zone.name.clone(), identity, members };
    let ledger = Ledger::open(own_zone, folder, disk.clone())?;
    announce(config, &own, None, (&cas, &ledger)).await?;
    let office = Office::open(config.clone(), ledger.clone(), own, disk.clone())
        .or_exit(Exit::Configuration, || format!("cannot use the state in {}", folder.display()))?;
    let office = Arc::new(office);

    let admin_socket = admin::bind(&config.gateway.admin_socket).await?;
    let (tunnel, ground) = bring_up(config, (private_key, next_key), &office).await?;
    let refusals = Arc::default();
    let paths = Arc::new(PathBoard::default());
    let findings = ledger.findings();
    let observer = Observer {
        keepalives: Keepalives::new(config.keepalive, paths.clone()),
        config: config.clone(),
        tunnel: tunnel.clone(),
        peers: ground.table.subscribe(),
        ledger,
        board: Arc::new(StreamBoard::new(Arc::clone(&refusals))),
        paths,
        etcd: etcd_board(config),
        cas: Arc::new(cas),
        leaf: Arc::new(leaf),
        refusals,
        findings,
        started_at,
    };
    let lanes = Some(observer.lanes());
    announce(config, office.identity(), lanes, (&observer.cas, &observer.ledger)).await?;
    let endpoints =
        resolver::run(observer.peers.clone(), observer.tunnel.clone(), observer.paths.clone());
    supervisor.spawn("endpoints", endpoints);
    supervisor.spawn("UAPI socket", tunnel::serve_wg(observer.tunnel.clone()));
    let watched = (&observer.tunnel, observer.peers.clone(), observer.paths.clone());
    paths::start(config, watched, supervisor).await?;
    start_registry(&observer, (&office, ground), supervisor).await?;
    start_joining(&observer, office.clone(), supervisor)?;
    let local_api_key = start_local_api(&observer, supervisor).await?;
    let rotation = Arc::new(Rotation::new(observer.clone(), office.clone(), disk.clone()));
    supervisor.spawn("key rotation", rotation.clone().run());
    supervisor.spawn("lookout", lookout::run(observer.clone()));
    if let Some(events) = observer.findings.events() {
        supervisor.spawn("journal", journal::run(events, disk.clone(), folder.clone()));
    }
    let admin = admin::run(admin_socket, (observer, office, rotation), local_api_key);
    supervisor.spawn("admin socket", admin);
    Ok(Running { tunnel, disk })
}

/// Publishes what this zone says. In a managed mesh the grant bounds it: a gateway whose settings
/// go beyond runs on with what it said before.
async fn announce(
    config: &Config,
    own: &Identity,
    lanes: Option<Vec<Lane>>,
    (cas, ledger): (&FederationCas, &Arc<Ledger>),
) -> Result<(), Failure> {
    let is_managed = ledger.read(|registry| registry.membership().is_some());
    match announcement::publish(config, own.wireguard(), lanes, cas, ledger).await {
        Err(NotPublished::Refused(error)) if !is_managed => Err(error)
            .or_exit(Exit::Configuration, || "cannot publish this zone's record".to_owned()),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "this zone's record stays as it was");
            let refused = Finding::new(Code::AnnouncementRefused, Subject::Here);
            ledger.findings().raise(refused.with(Evidence::Reason(error)));
            Ok(())
        }
        Ok(()) => {
            ledger.findings().clear(Code::AnnouncementRefused, &Subject::Here);
            Ok(())
        }
    }
}

/// Tunnels and routes, from what is on disk.
async fn bring_up(
    config: &Config,
    (private_key, next_key): (WireGuardPrivateKey, Option<WireGuardPrivateKey>),
    office: &Office,
) -> Result<(Arc<Tunnel>, Ground), Failure> {
    let own: Vec<_> =
        [Some(&private_key), next_key.as_ref()].into_iter().flatten().flat_map(all_keys).collect();
    let (plan, strict) = office.ledger().read(|registry| {
        let plan = Plan::of(registry, config, &own, &office.hints().all());
        (plan, registry.membership().is_none())
    });
    let preshared = tunnel::preshared_keys(config)?;
    let (tunnel, routes) =
        tunnel::start(config, (private_key, next_key), (&plan, &preshared), strict).await?;
    let table = watch::Sender::new(Arc::new(plan.peers.clone()));
    Ok((tunnel, Ground { plan, preshared, routes, table }))
}

/// The keys by which a gateway with this one is known, on all lanes that it may have.
fn all_keys(private_key: &WireGuardPrivateKey) -> Vec<WireGuardPublicKey> {
    let further = (1..MOST_LANES).map(|lane| private_key.of_lane(lane).public_key());
    std::iter::once(private_key.public_key()).chain(further).collect()
}

/// The join service waits until somebody is invited.
fn start_joining(
    observer: &Observer,
    office: Arc<Office>,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let tls = join_server_config(observer.leaf.current())
        .or_exit(Exit::Trust, || "cannot set up TLS of the join service".to_owned())?;
    supervisor.spawn("join service", join::run(office, tls, observer.refusals.clone()));
    Ok(())
}

async fn start_registry(
    observer: &Observer,
    (office, ground): (&Office, Ground),
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let (config, ledger) = (&observer.config, &observer.ledger);
    let no_tls = || "cannot set up TLS between the gateways".to_owned();
    let trust = ZoneTrust::new(&ground.plan.trusted).or_exit(Exit::Configuration, no_tls)?;
    let server =
        zone_server_config(&trust, observer.leaf.current()).or_exit(Exit::Trust, no_tls)?;
    let service = Service::new(trust.clone(), observer.streams());
    let terms = (config.keepalive, observer.refusals.clone());
    for listener in registry::bind(&config.tunnel.addresses, config.registry.port).await? {
        let served = registry::run(listener, server.clone(), service.clone(), terms.clone());
        supervisor.spawn("registry server", served);
    }
    if let Some((settings, board)) = config.registry.etcd.clone().zip(observer.etcd.clone()) {
        supervisor.spawn("etcd", etcd::run(settings, ledger.clone(), board));
    }
    let plane = Plane::new(observer.clone(), trust, office.hints(), ground);
    watch_tunnel(observer, plane.wakers(), supervisor);
    supervisor.spawn("mesh", plane.run());
    supervisor.spawn("registry", ledger.clone().run());
    let leaf = observer.leaf.clone();
    supervisor.spawn("certificate renewal", async move { leaf.keep_fresh().await });
    Ok(())
}

fn etcd_board(config: &Config) -> Option<Arc<EtcdBoard>> {
    let first = config.registry.etcd.as_ref()?.endpoints.first()?;
    Some(Arc::new(EtcdBoard::new(first)))
}

async fn start_local_api(
    observer: &Observer,
    supervisor: &mut Supervisor,
) -> Result<Option<LocalApiKey>, Failure> {
    let Some(settings) = &observer.config.local_api else { return Ok(None) };
    let key = local_api::key(&observer.config.gateway.state_dir)?;
    let bound = local_api::bind(settings, &key, observer.clone()).await?;
    supervisor.spawn("local API", local_api::run(bound));
    Ok(Some(key))
}

/// Wakes the dialler of each peer whose handshake completes; ends if the data plane does.
fn watch_tunnel(observer: &Observer, wakers: Wakers, supervisor: &mut Supervisor) {
    if let Some(events) = observer.tunnel.events() {
        let stop = supervisor.stop_token();
        supervisor.spawn("tunnel events", async move {
            let forward = move || {
                while !stop.is_cancelled() && forward_event(&events, &wakers) {}
            };
            Ok(tokio::task::spawn_blocking(forward).await?)
        });
    }
    let tunnel = observer.tunnel.clone();
    supervisor.spawn("data plane", async move {
        while tunnel.is_running() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        anyhow::bail!("the tunnel device or socket is gone")
    });
}

/// False when no event can come any more.
fn forward_event(events: &Receiver<TunnelEvent>, wakers: &Wakers) -> bool {
    match events.recv_timeout(Duration::from_millis(250)) {
        Ok(TunnelEvent::HandshakeCompleted(key)) => {
            wakers.wake(&key);
            true
        }
        Ok(_) | Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    }
}

/// What a signal asks for.
enum Wish {
    /// To end and leave nothing but the routes of last resort.
    Stop,
    /// To end and leave the interface to the next start.
    Restart,
}

async fn asked_to_end() -> Result<Wish, Failure> {
    let on = |kind| signal(kind).or_exit(Exit::Negative, || "cannot wait for signals".to_owned());
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut restart = on(SignalKind::user_defined1())?;
    Ok(tokio::select! {
        _ = terminate.recv() => Wish::Stop,
        _ = interrupt.recv() => Wish::Stop,
        _ = restart.recv() => Wish::Restart,
    })
}

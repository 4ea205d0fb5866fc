//! Carries out the plan: tunnel peers, routes, TLS trust, diallers; again after each change.
//!
//! Promises: what does not change is not touched. A zone that leaves is distrusted first, then its
//! peer and routes go; for a zone that comes the way is barred in the clear before it is opened in
//! the tunnel. A step that fails is said and tried again, it never stops the gateway.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use zonemesh_core::key::{PresharedKey, WireGuardPublicKey};
use zonemesh_core::name::ZoneName;
use zonemesh_pki::{ZoneTrust, zone_client_config};

use crate::act::network::{self, Routes};
use crate::act::streams::{self, Neighbour};
use crate::act::tunnel;
use crate::facts::hints::Hints;
use crate::facts::observer::Observer;
use crate::plan::{PeerPlan, Plan};

/// Pause before a step that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The peers as they are in service; the sender is the plane's.
pub(crate) type PeerTable = watch::Receiver<Arc<Vec<PeerPlan>>>;

/// Wakes the dialler of the peer whose handshake completes.
#[derive(Clone, Default)]
pub(crate) struct Wakers(Arc<Mutex<BTreeMap<WireGuardPublicKey, Arc<Notify>>>>);

impl Wakers {
    pub(crate) fn wake(&self, key: &WireGuardPublicKey) {
        if let Some(dialler) = self.lock().get(key) {
            dialler.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WireGuardPublicKey, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dialler that runs, and what it was told.
struct Dialler {
    tunnel_ips: Vec<IpAddr>,
    port: u16,
    reachable: Arc<Notify>,
    task: AbortHandle,
}

/// What the plan is carried out on.
pub(crate) struct Plane {
    observer: Observer,
    trust: ZoneTrust,
    hints: Hints,
    preshared: BTreeMap<ZoneName, PresharedKey>,
    routes: Routes,
    table: watch::Sender<Arc<Vec<PeerPlan>>>,
    wakers: Wakers,
    running: BTreeMap<ZoneName, Dialler>,
    diallers: JoinSet<anyhow::Result<()>>,
    plan: Plan,
}

/// What a plane starts with: what was set up with the tunnel.
pub(crate) struct Ground {
    pub(crate) plan: Plan,
    pub(crate) preshared: BTreeMap<ZoneName, PresharedKey>,
    pub(crate) routes: Routes,
    pub(crate) table: watch::Sender<Arc<Vec<PeerPlan>>>,
}

impl Plane {
    /// A plane on a tunnel that was started with the plan of `ground`.
    pub(crate) fn new(observer: Observer, trust: ZoneTrust, hints: Hints, ground: Ground) -> Self {
        let Ground { plan, preshared, routes, table } = ground;
        Self {
            observer,
            trust,
            hints,
            preshared,
            routes,
            table,
            wakers: Wakers::default(),
            running: BTreeMap::new(),
            diallers: JoinSet::new(),
            plan,
        }
    }

    /// Wakes diallers.
    pub(crate) fn wakers(&self) -> Wakers {
        self.wakers.clone()
    }

    /// Follows the mesh until it is dropped.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut revision = self.observer.ledger.revision();
        let mut hints = self.hints.changes();
        self.follow_neighbours()?;
        let mut complete = self.routes.is_complete(&self.plan);
        loop {
            tokio::select! {
                changed = revision.changed() => changed?,
                changed = hints.changed() => changed?,
                () = tokio::time::sleep(RETRY), if !complete => {}
                Some(ended) = self.diallers.join_next() => match ended {
                    Err(error) if error.is_cancelled() => continue,
                    ended => ended??,
                },
            }
            let plan = self.observer.plan(&self.hints);
            if plan != self.plan || !complete {
                complete = self.carry_out(plan).await;
            }
        }
    }

    /// False if something is to be tried again.
    async fn carry_out(&mut self, plan: Plan) -> bool {
        if plan.trusted != self.plan.trusted
            && let Err(error) = self.trust.replace(&plan.trusted)
        {
            tracing::error!(error = %error, "cannot change which zones are trusted");
            return false;
        }
        let mut complete = true;
        let tunnel = &self.observer.tunnel;
        let zones = tunnel::zones(&plan, &self.preshared, self.observer.config.keepalive.wireguard);
        let set = async |routes: &mut Routes, netlink: &rtnetlink::Handle| {
            let mut failed = routes.bar(netlink, &plan.backstops).await;
            if let Err(error) = tunnel.set_zones(zones) {
                failed.push(anyhow::Error::new(error).context("cannot set the tunnel's peers"));
            }
            failed.extend(routes.open(netlink, &plan.routed()).await);
            failed.extend(routes.unbar(netlink, &plan.backstops).await);
            failed
        };
        match network::with_netlink(async |netlink| set(&mut self.routes, &netlink).await).await {
            Ok(failed) => {
                for error in failed {
                    complete = false;
                    tracing::error!(
                        error = format!("{error:#}"),
                        "a route or peer could not be set"
                    );
                }
            }
            Err(error) => {
                complete = false;
                tracing::error!(error = format!("{error:#}"), "cannot change the routes");
            }
        }
        self.plan = plan;
        self.table.send_replace(Arc::new(self.plan.peers.clone()));
        if let Err(error) = self.follow_neighbours() {
            complete = false;
            tracing::error!(error = format!("{error:#}"), "cannot dial a neighbour");
        }
        complete
    }

    /// Starts and stops diallers as the plan says.
    fn follow_neighbours(&mut self) -> anyhow::Result<()> {
        let wanted: BTreeMap<_, _> =
            self.plan.peers.iter().filter(|p| p.is_neighbour).map(|p| (&p.zone, p)).collect();
        let stays = |zone: &ZoneName, dialler: &Dialler| {
            wanted.get(zone).is_some_and(|peer| {
                peer.tunnel_ips == dialler.tunnel_ips && peer.registry_port == dialler.port
            })
        };
        let board = &self.observer.board;
        self.running.retain(|zone, dialler| {
            let stays = stays(zone, dialler);
            if !stays {
                dialler.task.abort();
                board.forget(zone);
            }
            stays
        });
        let new: Vec<_> =
            wanted.into_iter().filter(|(zone, _)| !self.running.contains_key(*zone)).collect();
        for (zone, peer) in new {
            let tls = zone_client_config(&self.trust, self.observer.leaf.current(), zone.as_str())?;
            let reachable = Arc::new(Notify::new());
            let neighbour = Neighbour {
                zone: zone.clone(),
                tunnel_ips: peer.tunnel_ips.clone(),
                port: peer.registry_port,
                tls,
                reachable: reachable.clone(),
            };
            let task = self.diallers.spawn(streams::dial(neighbour, self.observer.streams()));
            let dialler = Dialler {
                tunnel_ips: peer.tunnel_ips.clone(),
                port: peer.registry_port,
                reachable,
                task,
            };
            self.running.insert(zone.clone(), dialler);
        }
        // A stream outlives its peer's WireGuard key.
        let waker = |peer: &PeerPlan| {
            let dialler = self.running.get(&peer.zone)?;
            Some((peer.wireguard_key, dialler.reachable.clone()))
        };
        *self.wakers.lock() = self.plan.peers.iter().filter_map(waker).collect();
        Ok(())
    }
}

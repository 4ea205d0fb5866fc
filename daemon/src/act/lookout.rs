//! Looks at what is known, again and again, and has findings raised and cleared.
//!
//! What is a finding stands in `plan::troubles`; here is where the sights come from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Finding, Subject};
use zonemesh_core::kernel::Ipv6State;
use zonemesh_core::name::ZoneName;
use zonemesh_core::path::{PathState, SendRefusal};
use zonemesh_core::registry::{Registry, Standing};
use zonemesh_tunnel::Offload;

use crate::act::{PeersInService, network, udp_port};
use crate::facts::certificates::FederationCas;
use crate::facts::companions::CompanionBoard;
use crate::facts::disk::aside::AsideFiles;
use crate::facts::disk::config_file::ConfigFile;
use crate::facts::disk::state_folder::{self, FolderState};
use crate::facts::etcd::EtcdBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::keepalives::Keepalives;
use crate::facts::kernel::ipv6;
use crate::facts::lan;
use crate::facts::ledger::Ledger;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::reach::state_of;
use crate::facts::refused_vms::RefusedVms;
use crate::facts::streams::{StreamBoard, StreamFailure};
use crate::facts::tunnel::DataPlane;
use crate::facts::wan::WanLinks;
use crate::plan::PeerPlan;
use crate::plan::troubles::{
    self, CompanionSight, EtcdSight, FolderSight, Ipv6Sight, MachineSight, PeerSight,
    StreamRefusal, StreamSight,
};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How old a look may be for a screen, so that it does not pay for going through all peers.
const FRESH: Duration = Duration::from_millis(1500);

/// The setting that says where VMs of the zone ask.
pub(crate) const LOCAL_API: &str = "local_api.listen";

/// How long a member that has just been granted has to say where it is.
const SILENT: Duration = Duration::from_secs(10);

/// Where it looks, and where it tells.
pub(crate) struct Lookout {
    pub(crate) config: ConfigInForce,
    /// Absent if it was started without one.
    pub(crate) file: Option<Arc<ConfigFile>>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) streams: Arc<StreamBoard>,
    pub(crate) etcd: Arc<EtcdBoard>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) companions: Arc<CompanionBoard>,
    pub(crate) refused_vms: Arc<RefusedVms>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) wan: Arc<WanLinks>,
    pub(crate) aside: AsideFiles,
    /// Members of which nothing is known, and since when.
    pub(crate) silent: Mutex<BTreeMap<ZoneName, Instant>>,
    /// The last one.
    pub(crate) last: Mutex<Option<Arc<Sighting>>>,
}

/// What a look has seen beside what it has found.
pub(crate) struct Sighting {
    at: Instant,
    pub(crate) peers: Arc<Vec<PeerPlan>>,
    /// Of each peer, in their order.
    pub(crate) states: Vec<PathState>,
}

/// Looks until it is dropped.
pub(crate) async fn run(lookout: Arc<Lookout>) -> anyhow::Result<()> {
    loop {
        lookout.look();
        tokio::time::sleep(LOOK).await;
    }
}

fn look_at(folder: &Path, aside: &AsideFiles) -> FolderSight {
    let FolderState { unwritable, open_to } = state_folder::look(folder);
    let inside = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let set_aside = aside.look(folder).iter().map(|path| inside(path)).collect();
    FolderSight { path: folder.display().to_string(), unwritable, open_to, set_aside }
}

impl Lookout {
    /// Looks now for who shows all peers, so that what is found fits what is shown. For a screen that
    /// shows `at_most` of more, the last look will do, unless it is too old or of other peers.
    pub(crate) fn refresh(&self, at_most: usize) -> Arc<Sighting> {
        let is_good = |look: &Arc<Sighting>| {
            look.peers.len() > at_most
                && look.at.elapsed() < FRESH
                && Arc::ptr_eq(&look.peers, &self.peers.borrow())
        };
        let last = self.last().clone().filter(is_good);
        last.unwrap_or_else(|| self.look())
    }

    /// How long ago the last look was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.last().as_ref().map(|look| look.at.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<Sighting>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address at which the VMs of the zone ask, if this machine has had it and has it no more. That
    /// it never had it is told by who wants to listen there.
    fn lost_address(&self, config: &Config) -> Option<IpAddr> {
        let ip = config.local_api.as_ref()?.listen.ip();
        let is_told = || {
            let subject = Subject::Setting(LOCAL_API.to_owned());
            self.ledger.findings().stands(Code::NotListening, &subject)
        };
        let is_lost = !ip.is_unspecified() && !lan::is_here(&ip) && !is_told();
        is_lost.then_some(ip)
    }

    /// Looks now.
    fn look(&self) -> Arc<Sighting> {
        let at = Instant::now();
        let (config, status) = (self.config.now(), self.tunnel.status());
        let peers = self.peers.borrow().clone();
        let etcd_lost = self.etcd.state().filter(|etcd| !etcd.reached);
        let missing = status.offloads.iter().filter(|(_, state)| *state != Offload::InUse);
        let missing = missing.map(|(kind, state)| format!("{kind} {}", state.as_str()));
        let interface = &config.tunnel.interface;
        let lan = lan::interfaces(&config.zone.prefixes, interface);
        let forward = lan.keys().chain([interface]).map(String::as_str);
        let down = lan.iter().filter(|(_, is_up)| !**is_up);
        let mut lan_down: Vec<_> = down.map(|(name, _)| format!("{name} is down")).collect();
        lan_down.extend(self.lost_address(&config).map(|ip| format!("no interface has {ip}")));
        let wan_down = self.wan.troubles();
        let machine = MachineSight {
            clock_behind: status.clock_behind,
            not_forwarded: network::switched_off(&config.zone.prefixes, forward),
            lan_down,
            wan_down: wan_down.values().cloned().collect(),
            without_ipv6: without_ipv6(&config, &peers),
            bulk_work_missing: missing.collect(),
            etcd_lost: etcd_lost.map(|etcd| EtcdSight { url: etcd.url, error: etcd.error }),
            state_folder: look_at(&config.gateway.state_dir, &self.aside),
        };
        let mut found = troubles::of_machine(&machine);
        found.extend(self.configuration());
        found.extend(self.ledger.read(|registry| troubles::of_mesh(registry, &config)));
        found.extend(self.keepalives.findings());
        found.extend(self.refusals.findings(Instant::now()));
        found.extend(self.cas.findings());
        found.extend(troubles::of_companions(&self.companions()));
        found.extend(self.refused_vms.findings(at));
        // Without its port no tunnel works, nor does anything with a revoked key: that is told already.
        let is_deaf = self.ledger.findings().stands(Code::NotListening, &udp_port::subject());
        let is_out = self.ledger.read(|registry| registry.standing() == Standing::Revoked);
        let mut states = Vec::with_capacity(peers.len());
        for zone in peers.chunk_by(PeerPlan::is_beside) {
            for peer in zone {
                // A zone with one gateway is called by its name alone.
                let subject = match zone {
                    [_] => peer.subject(),
                    _ => Subject::Gateway(peer.id.clone()),
                };
                let mut sight = self.sight(peer, subject);
                let endpoint = sight.endpoint.map(|endpoint| endpoint.ip());
                sight.is_link_down = endpoint.is_some_and(|ip| wan_down.contains_key(&ip));
                states.push(sight.state);
                let passes = matches!(sight.state, PathState::Up | PathState::Degraded);
                if !is_out && (!is_deaf || passes) {
                    found.extend(troubles::of_peer(&sight));
                }
            }
        }
        found.extend(self.silent(&peers, at));
        self.ledger.findings().settle(troubles::CODES, found);
        let look = Arc::new(Sighting { at, peers, states });
        *self.last() = Some(look.clone());
        look
    }

    /// What companions that are there say is wrong in their VMs.
    fn companions(&self) -> Vec<CompanionSight> {
        let (mut said, now) = (Vec::new(), Instant::now());
        self.companions.each(|id, known| {
            let report = known.report.as_ref().filter(|_| known.is_heard(now));
            let findings = report.into_iter().flat_map(|report| &report.findings);
            said.extend(findings.map(|one| CompanionSight { vm: id.vm, said: one.clone() }));
        });
        said
    }

    /// How the configuration file stands to what is in force. What was left out of it is told as that.
    fn configuration(&self) -> Option<Finding> {
        let file = self.file.as_ref().filter(|_| self.config.now().left_out.is_empty())?;
        let standing = file.look(&self.config.written());
        troubles::of_configuration(&file.name(), &standing, file.is_of_before())
    }

    /// Members without a tunnel, as nothing has come of them for a while.
    fn silent(&self, peers: &[PeerPlan], now: Instant) -> Vec<Finding> {
        let mut silent = self.ledger.read(troubles::silent_members);
        silent.retain(|zone| peers.iter().all(|peer| peer.is_plain() || peer.id.zone != *zone));
        let mut since = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|zone, _| silent.contains(zone));
        let about = |zone| Finding::new(Code::NoEndpoint, Subject::Zone(zone));
        let long = silent.into_iter().filter(|zone| {
            let since = *since.entry(zone.clone()).or_insert(now);
            now.duration_since(since) > SILENT
        });
        long.map(about).collect()
    }

    /// Why a stream to a zone was refused, with what is known of the keys of both.
    fn refusal(&self, failure: StreamFailure, zone: &ZoneName) -> Option<StreamRefusal> {
        Some(match failure {
            StreamFailure::Broken => return None,
            StreamFailure::Refused => StreamRefusal::Stated,
            StreamFailure::ClockOff => StreamRefusal::Clock,
            StreamFailure::KeyHere => {
                let before = self.ledger.read(|registry| registry.former_key(zone));
                StreamRefusal::KeyHere { before }
            }
            StreamFailure::KeyThere => {
                let own = self.ledger.read(Registry::own_key);
                StreamRefusal::KeyThere { own }
            }
        })
    }

    fn sight(&self, peer: &PeerPlan, subject: Subject) -> PeerSight {
        let tunnel = self.tunnel.peer_status(&peer.wireguard_key);
        let tunnel = tunnel.as_ref();
        let path = self.paths.path(&peer.id);
        let entry = self.streams.entry(&peer.id);
        let lanes = tunnel.iter().flat_map(|tunnel| tunnel.lanes.iter().skip(1));
        PeerSight {
            subject,
            rests: !peer.keeps_alive,
            is_plain: peer.is_plain(),
            calls: peer.plain.is_some_and(|plain| !plain.is_called),
            state: state_of(path, tunnel),
            reason: path.and_then(|path| path.summary.reason),
            in_state_for: path.and_then(|path| path.since?.elapsed().ok()).unwrap_or_default(),
            endpoint: tunnel.and_then(|tunnel| tunnel.endpoint),
            is_unresolved: self.ledger.findings().stands(Code::NameUnresolved, &peer.subject()),
            unanswered: tunnel.map_or(0, |tunnel| tunnel.handshake_attempts_unanswered),
            unused: tunnel.map_or(0, |tunnel| tunnel.handshakes_unused),
            is_link_down: false,
            refused: tunnel.and_then(|tunnel| tunnel.send_refused).map(SendRefusal),
            mtu: path.map_or(0, |path| path.summary.mtu),
            black_hole: path.is_some_and(|path| path.summary.black_hole),
            mtu_back: path.and_then(|path| path.summary.mtu_back),
            two_places: path.and_then(|path| path.two_places),
            one_way: path.is_some_and(|path| path.summary.one_way),
            underlay_mtu: path.and_then(|path| path.underlay_mtu),
            stream: StreamSight {
                is_wanted: peer.is_neighbour,
                is_open: entry.open > 0,
                refusal: self.refusal(entry.failure, &peer.id.zone),
                error: entry.error,
            },
            clock_offset_ms: entry.clock_offset.map(|offset| offset.at_least_ms()),
            lanes: lanes.map(|lane| lane.handshake_attempts_unanswered).collect(),
        }
    }
}

/// What there is of IPv6 in this gateway's part of the mesh, if the machine has none.
fn without_ipv6(config: &Config, peers: &[PeerPlan]) -> Option<Ipv6Sight> {
    let interface = &config.tunnel.interface;
    if ipv6::state(interface) == Ipv6State::On {
        return None;
    }
    let addresses = config.tunnel.addresses.iter().filter(|ip| ip.is_ipv6());
    let networks = peers.iter().flat_map(PeerPlan::routes);
    let networks = networks.filter(|net| net.addr().is_ipv6());
    let left_out = (addresses.count() + networks.count()) as u64;
    (left_out > 0).then(|| Ipv6Sight { switch: ipv6::switch(interface), left_out })
}

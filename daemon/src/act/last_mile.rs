//! Asks the zone's VMs whether packets of other zones reach them and find back.
//!
//! A question is handed to the kernel as if it had come through the tunnel, from a peer's tunnel
//! address; the answer is kept from the tunnel. So filters, switches and routes are found by sending,
//! whoever has set them. Asked is who has a companion that echoes, and nobody else. What the answers
//! mean is `zonemesh_core::path::LastMile`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::path::{AskedWay, LastMile};
use zonemesh_core::prefix;

use super::{PeersInService, datagram, network};
use crate::facts::companions::CompanionBoard;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::lan;
use crate::facts::tunnel::DataPlane;

/// Time between two rounds of questions.
const ROUND: Duration = Duration::from_secs(5);
/// VMs that are asked in one round; the others are asked in the next ones.
const IN_ONE_ROUND: usize = 64;
/// Answers that wait to be read.
const ANSWERS: usize = 256;
/// How long the one who fetches answers does not look whether the gateway stops.
const FETCH: Duration = Duration::from_millis(250);
const COOKIE: usize = 16;
/// Cookie, round, way, zeros.
const QUESTION: usize = 32;

/// Where it looks, and where it tells.
pub(crate) struct LastMileParts {
    pub(crate) config: ConfigInForce,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) companions: Arc<CompanionBoard>,
    pub(crate) findings: Arc<FindingBoard>,
}

/// The VMs that are asked.
struct LastMiles {
    parts: LastMileParts,
    miles: BTreeMap<SocketAddr, LastMile>,
    cookie: [u8; COOKIE],
    round: u64,
}

/// Asks until it is dropped. A tunnel that does not hand back what it is given has nobody asked.
pub(crate) async fn run(parts: LastMileParts) -> anyhow::Result<()> {
    let mut cookie = [0; COOKIE];
    getrandom::fill(&mut cookie)?;
    let Some(back) = parts.tunnel.take_back(cookie) else {
        return std::future::pending().await;
    };
    let (sender, mut through) = mpsc::channel(ANSWERS);
    let mut fetching = JoinSet::new();
    fetching.spawn_blocking(move || while fetch(&back, &sender) {});
    let sockets =
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(DirectSocket::new);
    let [v4, v6] = sockets;
    let mut miles = LastMiles { parts, miles: BTreeMap::new(), cookie, round: 0 };
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => miles.begin_round([&v4, &v6]),
            Some(packet) = through.recv() => {
                if let Some((source, payload)) = datagram::read(&packet) {
                    miles.hear(source, payload, AskedWay::Through);
                }
            }
            (source, payload) = v4.answer() => miles.hear(source, &payload, AskedWay::Direct),
            (source, payload) = v6.answer() => miles.hear(source, &payload, AskedWay::Direct),
        }
    }
}

/// False when nobody wants answers any more, or none can come.
fn fetch(back: &Receiver<Vec<u8>>, to: &mpsc::Sender<Vec<u8>>) -> bool {
    match back.recv_timeout(FETCH) {
        Ok(packet) => {
            let _full = to.try_send(packet);
            true
        }
        Err(RecvTimeoutError::Timeout) => !to.is_closed(),
        Err(RecvTimeoutError::Disconnected) => false,
    }
}

/// A socket for questions from this gateway's own address, if there can be one of its family.
struct DirectSocket(io::Result<UdpSocket>);

impl DirectSocket {
    fn new(any: IpAddr) -> Self {
        let bind = || {
            let socket = std::net::UdpSocket::bind((any, 0))?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        Self(bind())
    }

    fn ask(&self, question: &[u8], vm: SocketAddr) {
        if let Ok(socket) = &self.0 {
            let _refused = socket.try_send_to(question, vm);
        }
    }

    async fn answer(&self) -> (IpAddr, Vec<u8>) {
        let Ok(socket) = &self.0 else { return std::future::pending().await };
        let mut buffer = [0; QUESTION];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((len, from)) => return (from.ip(), buffer[..len].to_vec()),
                // Of a single datagram.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

impl LastMiles {
    fn begin_round(&mut self, [v4, v6]: [&DirectSocket; 2]) {
        let vms = self.echoing();
        self.miles.retain(|vm, _| vms.contains(vm));
        self.round += 1;
        let first = usize::try_from(self.round).unwrap_or(0) * IN_ONE_ROUND;
        let from = if vms.len() > IN_ONE_ROUND { first % vms.len() } else { 0 };
        for vm in vms.iter().cycle().skip(from).take(vms.len().min(IN_ONE_ROUND)) {
            let Some(source) = self.peer_address(vm.is_ipv4()) else { continue };
            self.miles.entry(*vm).or_default().begin_round();
            let (ends, ports) =
                ((source, vm.ip()), (self.parts.config.now().registry.port, vm.port()));
            let len = if vm.is_ipv4() { 28 + QUESTION } else { 48 + QUESTION };
            let question = self.question();
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            if let Some(packet) = datagram::whole(&question, ends, ports, len)
                && let Err(error) = self.parts.tunnel.to_lan(&packet)
            {
                tracing::trace!(%vm, %error, "a VM cannot be asked");
            }
            if vm.is_ipv4() { v4 } else { v6 }.ask(&question, *vm);
        }
        self.tell();
    }

    /// The VMs of this zone that echo.
    fn echoing(&self) -> Vec<SocketAddr> {
        let now = Instant::now();
        let mut vms = Vec::new();
        self.parts.companions.each(|id, known| {
            let port = known.report.as_ref().and_then(|report| report.echo_port);
            let port = port.filter(|_| known.is_heard(now));
            vms.extend(port.map(|port| SocketAddr::new(id.vm, port)));
        });
        let config = self.parts.config.now();
        vms.retain(|vm| prefix::contains(&config.zone.prefixes, &vm.ip()));
        vms.sort();
        vms
    }

    /// As whom a VM is asked: some peer.
    fn peer_address(&self, is_ipv4: bool) -> Option<IpAddr> {
        let peers = self.parts.peers.borrow();
        let mut addresses = peers.iter().flat_map(|peer| &peer.tunnel_ips);
        addresses.find(|ip| ip.is_ipv4() == is_ipv4).copied()
    }

    fn question(&self) -> [u8; QUESTION] {
        let mut question = [0; QUESTION];
        question[..COOKIE].copy_from_slice(&self.cookie);
        question[COOKIE..COOKIE + 8].copy_from_slice(&self.round.to_be_bytes());
        question
    }

    fn hear(&mut self, source: IpAddr, payload: &[u8], way: AskedWay) {
        if payload != self.question() {
            return;
        }
        let source = source.to_canonical();
        let mut is_over = false;
        for (_, mile) in self.miles.iter_mut().filter(|(vm, _)| vm.ip() == source) {
            is_over |= mile.cut_off_for().is_some();
            mile.handle_answer(way);
            is_over &= mile.cut_off_for().is_none();
        }
        if is_over {
            self.tell();
        }
    }

    /// What the switches of the kernel or the LAN's interface say already is not said again.
    fn tell(&self) {
        let config = self.parts.config.now();
        let (zone, tunnel) = (&config.zone, &config.tunnel);
        let lan = lan::interfaces(&zone.prefixes, &tunnel.interface);
        let interfaces = lan.keys().chain([&tunnel.interface]).map(String::as_str);
        let is_known = lan.values().any(|is_up| !is_up)
            || !network::switched_off(&zone.prefixes, interfaces).is_empty();
        let cut_off = self.miles.iter().filter_map(|(vm, mile)| Some((vm, mile.cut_off_for()?)));
        let found = cut_off.filter(|_| !is_known).map(|(vm, rounds)| {
            let count = Evidence::Count(rounds.into());
            Finding::new(Code::VmCutOff, Subject::Vm(vm.ip())).with(count)
        });
        self.parts.findings.settle(&[Code::VmCutOff], found);
    }
}

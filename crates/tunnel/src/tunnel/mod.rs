//! A tunnel in service: the engine on its Linux edges, driven by its lanes.
//!
//! Starting either gives a tunnel that carries packets or leaves nothing behind. Dropping a tunnel
//! stops it. What is asked of one that runs stands in `control`, what it tells in `report`.

mod control;
mod report;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::clock::ClockKeeper;
use crate::config::{LANE_PORTS, MOST_LANES, TunnelConfig, TunnelZone};
use crate::destinations::InnerDestinations;
use crate::edge::UdpEdge as _;
use crate::engine::slow_path::QUEUE;
use crate::engine::{Engine, LaneEdges};
use crate::error::StartError;
use crate::linux::tun::Tun;
use crate::linux::udp::Udp;
use crate::linux::wake::StopSignal;
use crate::offload::WantedOffloads;
use crate::pace;
use crate::peer::{OwnIdentities, OwnIdentity};
use crate::status::TunnelEvent;
use crate::threads::{LaneParts, LaneThreads, slow_lane, spawn};
use crate::zones::RemoteZones;

pub(crate) use self::report::UapiPeer;

/// The bounds of an MTU: the least that IPv4 demands, the most that a datagram can carry.
const MTU_BOUNDS: std::ops::RangeInclusive<u16> = 576..=65_456;

/// A tunnel in service. It ends when it is dropped.
pub struct Tunnel {
    engine: Arc<Engine>,
    /// The queues of the TUN device and the sockets, one of each for each lane.
    tuns: Vec<Arc<Tun>>,
    udps: Vec<Arc<Udp>>,
    interface: String,
    fwmark: Option<u32>,
    realtime: bool,
    outlives_device: bool,
    events: Mutex<Option<Receiver<TunnelEvent>>>,
    clock: Option<ClockKeeper>,
    stop: StopSignal,
    threads: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Creates the TUN device or takes over one that was left ([`Self::leave_device`]), binds the
    /// port, takes the zones and starts to carry packets.
    /// Handshakes with all gateways that have an endpoint and keepalive start at once.
    ///
    /// # Errors
    /// [`StartError`], with nothing left behind.
    pub fn start(config: TunnelConfig, zones: Vec<TunnelZone>) -> Result<Self, StartError> {
        check_mtu(config.mtu)?;
        let wanted = WantedOffloads::from_environment();
        let lanes = usize::from(config.lanes.clamp(1, MOST_LANES));
        let tuns: Vec<_> =
            Tun::open(&config.interface, wanted, lanes)?.into_iter().map(Arc::new).collect();
        let udps = bind(&config, tuns.len(), wanted)?;
        let identity = Arc::new(OwnIdentity::new(&config.private_key, udps.len() as u8));
        let identities = Arc::new(OwnIdentities::one(identity));
        let none = Arc::new(RemoteZones::empty());
        let destinations = InnerDestinations::new(config.inner_destinations.as_deref()).into();
        let lanes = edges(&tuns, &udps);
        let (engine, events) = Engine::new(identities, none, destinations, config.mtu, lanes);
        engine.set_zones(zones)?;
        let mut tunnel = Self {
            engine: Arc::new(engine),
            tuns,
            udps,
            interface: config.interface,
            fwmark: config.fwmark,
            realtime: config.realtime,
            outlives_device: config.outlives_device,
            events: Mutex::new(Some(events)),
            clock: None,
            stop: StopSignal::new().map_err(system("create an eventfd"))?,
            threads: Vec::new(),
        };
        tunnel.start_threads().map_err(system("start a thread"))?;
        Ok(tunnel)
    }

    /// Changes key, port, mark and zones under the same TUN device; its name and the inner
    /// destinations stay. Sessions survive unless the private key changes. Under a new key or port,
    /// counters start again and events are handed out anew.
    ///
    /// # Errors
    /// [`StartError`]; the tunnel goes on as it was.
    pub fn reconfigure(
        &mut self,
        config: TunnelConfig,
        zones: Vec<TunnelZone>,
    ) -> Result<(), StartError> {
        check_mtu(config.mtu)?;
        let same_port = [0, self.listen_port()].contains(&config.listen_port);
        let udps = if same_port {
            self.udps.iter().try_for_each(|udp| udp.set_mark(config.fwmark))?;
            self.udps.clone()
        } else {
            bind(&config, self.udps.len(), WantedOffloads::from_environment())?
        };
        let old = &self.engine;
        let present = Arc::clone(&old.identities.load().current);
        let same_key = config.private_key.public_key() == present.key;
        if same_key && same_port {
            old.set_zones(zones)?;
            self.fwmark = config.fwmark;
            return Ok(());
        }
        let (identities, before) = if same_key && udps.len() == self.udps.len() {
            (old.identities.load_full(), old.zones.load_full())
        } else {
            let lanes = udps.len() as u8;
            let identity = OwnIdentity::with_clock(&config.private_key, lanes, &present.clock);
            (Arc::new(OwnIdentities::one(Arc::new(identity))), Arc::new(RemoteZones::empty()))
        };
        let lanes = edges(&self.tuns, &udps);
        let destinations = old.destinations.load_full();
        let (engine, events) = Engine::new(identities, before, destinations, config.mtu, lanes);
        engine.follow_mtu();
        engine.set_zones(zones)?;
        let stop = StopSignal::new().map_err(system("create an eventfd"))?;
        self.halt();
        self.engine = Arc::new(engine);
        (self.udps, self.stop, self.fwmark) = (udps, stop, config.fwmark);
        self.events = Mutex::new(Some(events));
        self.start_threads().map_err(system("start a thread"))
    }

    /// Keeps the time of the last handshakes in `file` from now on, and takes over what stands there:
    /// a clock that went back since then is reported in the log and in [`crate::TunnelStatus`].
    ///
    /// # Errors
    /// When no thread can be started. A file that cannot be used is a warning in the log.
    pub fn keep_clock(&mut self, file: &Path) -> io::Result<()> {
        let clock = Arc::clone(&self.engine.identities.load().current.clock);
        self.clock = Some(ClockKeeper::start(file, clock)?);
        Ok(())
    }

    /// False once a thread has ended because its device or socket is gone for good.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    fn start_threads(&mut self) -> io::Result<()> {
        let (queue, handshakes) = sync_channel(QUEUE);
        let (engine, stop) = (Arc::clone(&self.engine), self.stop.clone());
        self.threads.push(spawn("zm-slow", move || slow_lane(&engine, &handshakes, &stop))?);
        for (number, (tun, udp)) in self.tuns.iter().zip(&self.udps).enumerate() {
            let name = |kind: &str| match number {
                0 => format!("zm-{kind}"),
                _ => format!("zm-{kind}-{number}"),
            };
            let parts = LaneParts {
                number,
                tun: Arc::clone(tun),
                udp: Arc::clone(udp),
                handshakes: queue.clone(),
                realtime: self.realtime && pace::has_several_cores(),
                outlives_device: self.outlives_device,
                stop: self.stop.clone(),
            };
            let lane = Arc::new(LaneThreads::new(&self.engine, parts)?);
            let second = Arc::clone(&lane);
            self.threads.push(spawn(&name("in"), move || second.carry_inward())?);
            self.threads.push(spawn(&name("both"), move || lane.carry_both())?);
        }
        Ok(())
    }

    /// The events of this tunnel, handed out once. What is not fetched in time is let go.
    pub fn events(&self) -> Option<Receiver<TunnelEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The index of the TUN device, for netlink.
    #[must_use]
    pub fn if_index(&self) -> u32 {
        self.tuns[0].index()
    }

    /// Takes the UDP port, if somebody else has had it ([`TunnelConfig::waits_for_port`]).
    ///
    /// # Errors
    /// [`StartError::PortInUse`] while somebody has it for one of the families; the other works.
    pub fn listen(&self) -> Result<(), StartError> {
        self.udps[0].listen()
    }

    /// Makes the TUN device anew when somebody has deleted it, under its first name. Sessions and
    /// counters stay; MTU, addresses and routes are the owner's to set again. For a tunnel that
    /// outlives its device ([`TunnelConfig::outlives_device`]).
    ///
    /// # Errors
    /// [`StartError`], also when an interface of this name exists: it is somebody else's.
    pub fn renew_device(&self) -> Result<(), StartError> {
        Tun::renew(&self.tuns, &self.interface)
    }

    /// The TUN device is to stay when this tunnel ends, with its addresses and routes: packets into
    /// it are lost until the next tunnel of this name takes it over, and no connection is.
    ///
    /// # Errors
    /// When the kernel refuses; the device then goes with the tunnel.
    pub fn leave_device(&self) -> io::Result<()> {
        self.tuns[0].set_persistent(true)
    }

    /// The TUN device is to go with this tunnel, also if it was left by an earlier one.
    ///
    /// # Errors
    /// When the kernel refuses; the device stays as it was.
    pub fn own_device(&self) -> io::Result<()> {
        self.tuns[0].set_persistent(false)
    }

    /// Stops carrying packets and removes the TUN device, unless it is to stay.
    pub fn stop(self) {
        drop(self);
    }

    fn halt(&mut self) {
        self.stop.raise();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane of the tunnel ended in a panic");
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The sockets of all lanes. A lane whose port is taken is done without, and those behind it.
fn bind(
    config: &TunnelConfig,
    lanes: usize,
    wanted: WantedOffloads,
) -> Result<Vec<Arc<Udp>>, StartError> {
    let open = if config.waits_for_port { Udp::bind_soon } else { Udp::bind };
    let with_fresh = |udp: Udp| if config.fresh_ports { udp.with_fresh_ports() } else { Ok(udp) };
    let first = open(config.listen_port, config.fwmark, wanted).and_then(with_fresh)?;
    let mut udps = vec![Arc::new(first)];
    let first = udps[0].port();
    for lane in 1..lanes {
        let port = first.checked_add(LANE_PORTS + lane as u16);
        let udp = port.map(|port| Udp::bind(port, config.fwmark, wanted).and_then(with_fresh));
        match udp {
            Some(Ok(udp)) => udps.push(Arc::new(udp)),
            Some(Err(error)) => {
                tracing::warn!(lane, %error, "no more lanes than these: a port cannot be bound");
                break;
            }
            None => break,
        }
    }
    Ok(udps)
}

fn edges(tuns: &[Arc<Tun>], udps: &[Arc<Udp>]) -> Vec<LaneEdges> {
    let pairs = tuns.iter().zip(udps);
    pairs.map(|(tun, udp)| LaneEdges { tun: tun.clone(), udp: udp.clone() }).collect()
}

fn check_mtu(mtu: u16) -> Result<(), StartError> {
    if MTU_BOUNDS.contains(&mtu) { Ok(()) } else { Err(StartError::Mtu { mtu }) }
}

fn system(action: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_out_of_range_is_refused_before_anything_is_opened() {
        for (mtu, fits) in
            [(575, false), (576, true), (1420, true), (65_456, true), (65_457, false)]
        {
            assert_eq!(check_mtu(mtu).is_ok(), fits, "{mtu}");
        }
    }
}

//! The two directions of a lane, and the threads that carry them.
//!
//! One thread carries both as long as it can: what it writes to the TUN device is often answered
//! before it sleeps, and no other thread is woken for the answer. While both directions are busy, a
//! second thread carries the inward one. Promises: one thread at a time for each direction, so that
//! packets keep their order; a panic leaves both directions carried. Refuses to know packets: those
//! are the engine's.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::engine::inbound::Inbound;
use crate::engine::outbound::Outbound;
use crate::engine::slow_path::{HandshakeMessage, TICK};
use crate::linux::tun::Tun;
use crate::linux::udp::{ReadableSocket, Udp};
use crate::linux::wake::{Poller, StopSignal, WakeBell, WakeReason};
use crate::pace::{PacketDirection, ThreadLoad, ThreadPace};
use crate::peer::ClockReading;

/// Turns of both directions between two looks at what else is to be waited for.
const TURNS: usize = 16;
/// Over this time it is judged whether one thread is enough ...
const LEND_AFTER: Duration = Duration::from_millis(10);
/// ... and over this one whether it would be again.
const RETURN_AFTER: Duration = Duration::from_millis(100);

/// How often a device that is gone is asked whether it is there again.
const GONE: Duration = Duration::from_millis(20);

/// What a lane is made of.
pub(crate) struct LaneParts {
    /// Whose queue and sockets these are, 0 for the first.
    pub(crate) number: usize,
    pub(crate) tun: Arc<Tun>,
    pub(crate) udp: Arc<Udp>,
    pub(crate) handshakes: SyncSender<HandshakeMessage>,
    /// It runs before all that are not real-time while it is busy, now and then and if it may.
    pub(crate) realtime: bool,
    /// A device that is deleted will be made anew under the same descriptors.
    pub(crate) outlives_device: bool,
    pub(crate) stop: StopSignal,
}

/// What the two threads of a lane share.
pub(crate) struct LaneThreads {
    engine: Arc<Engine>,
    lane: usize,
    tun: Arc<Tun>,
    udp: Arc<Udp>,
    stop: StopSignal,
    realtime: bool,
    outlives_device: bool,
    inward: Mutex<Inbound>,
    /// The second thread carries the inward direction. Set by the first, taken back by the second.
    lent: AtomicBool,
    lend: WakeBell,
}

impl LaneThreads {
    pub(crate) fn new(engine: &Arc<Engine>, parts: LaneParts) -> io::Result<Self> {
        let LaneParts { number, tun, udp, handshakes, realtime, outlives_device, stop } = parts;
        Ok(Self {
            engine: Arc::clone(engine),
            lane: number,
            tun,
            udp,
            stop,
            realtime,
            outlives_device,
            inward: Mutex::new(Inbound::new(Arc::clone(engine), number, handshakes)),
            lent: AtomicBool::new(false),
            lend: WakeBell::new()?,
        })
    }

    /// The first thread: outward, and inward while it is not lent.
    pub(crate) fn carry_both(&self) -> io::Result<()> {
        let mut outbound = Outbound::new(Arc::clone(&self.engine), self.lane);
        let sockets = self.udp.readable();
        // One bell for all that changes what is waited for: a direction that is back, other sockets.
        let mut fds = vec![self.tun.as_raw_fd(), self.udp.bell().as_raw_fd()];
        fds.extend(sockets.iter().map(|socket| socket.fd));
        let mut poller = Poller::new(&fds, self.stop.clone());
        let mut load = ThreadLoad::new(Instant::now());
        let mut pace = ThreadPace::new(self.realtime);
        loop {
            let lent = self.lent.load(Ordering::Acquire);
            for (bit, socket) in sockets.iter().enumerate() {
                poller.set_watched(2 + bit, !lent && self.udp.has_port(socket.name));
            }
            let WakeReason::Ready(ready) = poller.wait()? else { return Ok(()) };
            pace.waited(load.woke(Instant::now()));
            if ready & 2 != 0 {
                self.udp.bell().clear();
            }
            let mut inward = (!lent).then(|| InwardTurn::new(self.inbound(), &sockets, ready >> 2));
            let mut emptied = false;
            for _ in 0..TURNS {
                let begun = load.last();
                let more = match &mut inward {
                    Some(inward) => load.time(PacketDirection::In, || inward.turn())?,
                    None => false,
                };
                let outward = load.time(PacketDirection::Out, || self.outward(&mut outbound))?;
                pace.worked(load.last().saturating_duration_since(begun), load.last());
                emptied = !more && !outward;
                if emptied {
                    break;
                }
            }
            drop(inward);
            if load.is_over(LEND_AFTER) {
                let load = load.take();
                pace.judge(&load);
                if load.is_too_much() && !lent {
                    self.lend_inward();
                }
            }
            if emptied {
                pace.rest();
            }
        }
    }

    fn lend_inward(&self) {
        // What this thread did to the direction is seen by the one that finds it lent.
        self.lent.store(true, Ordering::Release);
        self.lend.ring();
    }

    /// The second thread: inward while it is lent.
    pub(crate) fn carry_inward(&self) -> io::Result<()> {
        let sockets = self.udp.readable();
        let fds: Vec<_> = sockets.iter().map(|socket| socket.fd).collect();
        let mut idle = Poller::new(&[self.lend.as_raw_fd()], self.stop.clone());
        let mut poller = Poller::new(&fds, self.stop.clone());
        // It ranks as any other, so that each lane takes one core for itself at most.
        let mut pace = ThreadPace::new(false);
        loop {
            while !self.lent.load(Ordering::Acquire) {
                if idle.wait()? == WakeReason::Stop {
                    return Ok(());
                }
                self.lend.clear();
            }
            let mut load = ThreadLoad::new(Instant::now());
            pace.set_busy(true);
            while !load.is_over(RETURN_AFTER) || load.take().is_worth_a_thread() {
                for (bit, socket) in sockets.iter().enumerate() {
                    poller.set_watched(bit, self.udp.has_port(socket.name));
                }
                let WakeReason::Ready(ready) = poller.wait_timeout(RETURN_AFTER)? else {
                    return Ok(());
                };
                pace.waited(load.woke(Instant::now()));
                let mut inward = InwardTurn::new(self.inbound(), &sockets, ready);
                let more = load.time(PacketDirection::In, || inward.turn())?;
                drop(inward);
                if !more {
                    pace.rest();
                }
            }
            pace.set_busy(false);
            self.lent.store(false, Ordering::Release);
            self.udp.bell().ring();
        }
    }

    /// Nobody waits here: who does not carry the direction does not ask. A panic left no more
    /// behind than packets that were not written.
    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inward.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries what the TUN device has. Returns true if there may be more.
    fn outward(&self, outbound: &mut Outbound) -> io::Result<bool> {
        match outbound.drain(ClockReading::now()) {
            // The device was deleted.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => {
                if !self.outlives_device {
                    return Err(error);
                }
                self.stop.wait_timeout(GONE).map(|_stopped| false)
            }
            Err(error) => {
                tracing::warn!(%error, "reading the TUN device failed, trying again");
                self.stop.wait_timeout(TICK).map(|_stopped| false)
            }
            more => more,
        }
    }
}

/// The sockets that had something when it was last looked.
struct InwardTurn<'a> {
    inbound: MutexGuard<'a, Inbound>,
    sockets: &'a [ReadableSocket],
    ready: u8,
}

impl<'a> InwardTurn<'a> {
    fn new(inbound: MutexGuard<'a, Inbound>, sockets: &'a [ReadableSocket], ready: u8) -> Self {
        Self { inbound, sockets, ready }
    }

    /// Carries some of what they have. Returns true if there may be more.
    fn turn(&mut self) -> io::Result<bool> {
        for (bit, socket) in self.sockets.iter().enumerate() {
            if self.ready & (1 << bit) != 0
                && !self.inbound.drain(socket.name, ClockReading::now())?
            {
                self.ready &= !(1 << bit);
            }
        }
        Ok(self.ready != 0)
    }
}

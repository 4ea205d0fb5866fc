//! Datagrams that no gateway made, as fast as one thread sends them, and who has to wait for them.
//!
//! Owns the sender and the sleeper that notices who keeps the core from it. Promises the rate that was
//! really offered, and the longest time by which the sleeper was late. Both run as processes of their
//! own (`zonemesh-reliability garbage`, `stalls`). Refuses any target outside a namespace of the lab.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::flood::Offered;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(1);
/// Datagrams in one send.
const RUN: usize = 40;
/// How often the sleeper wants to run.
const CYCLE: Duration = Duration::from_millis(1);

/// Sends garbage of every kind to `target`, so many datagrams a second.
///
/// # Errors
/// When no socket can be opened; what the system refuses to send is not counted as offered.
pub fn send(target: SocketAddr, rate: u32, duration: Duration) -> Result<Offered> {
    let kinds = kinds().into_iter().map(GarbageRun::new).collect::<Result<Vec<_>>>()?;
    let (start, mut sent, mut tried) = (Instant::now(), 0_u64, 0_usize);
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due && start.elapsed() < duration {
            tried += 1;
            let run = &kinds[tried % kinds.len()];
            sent += if run.socket.send_to(&run.bytes, target).is_ok() { RUN as u64 } else { 0 };
        }
        std::thread::sleep(TICK);
    }
    Ok(Offered { sent, took: start.elapsed() })
}

/// Datagrams of one kind that leave in one system call, as cheap for the sender as they get.
struct GarbageRun {
    socket: UdpSocket,
    bytes: Vec<u8>,
}

impl GarbageRun {
    fn new(datagram: Vec<u8>) -> Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        setsockopt(&socket, UdpGsoSegment, &i32::try_from(datagram.len())?)?;
        Ok(Self { socket, bytes: datagram.repeat(RUN) })
    }
}

/// Noise, data of no session, and each handshake message in its right length: all that a stranger
/// can make who knows no key. Initiations are what cost most, and come most often.
fn kinds() -> Vec<Vec<u8>> {
    let shaped = |kind: u8, len: usize| {
        let mut datagram: Vec<u8> = (0..len).map(|at| (at * 31 + 7) as u8).collect();
        datagram[..4].copy_from_slice(&[kind, 0, 0, 0]);
        datagram
    };
    let rare = [
        (0..200).map(|at| (at * 17 + 5) as u8).collect(),
        shaped(4, 96),
        shaped(4, 1452),
        shaped(2, 92),
        shaped(3, 64),
    ];
    rare.into_iter().flat_map(|other| [vec![shaped(1, 148); 9], vec![other]].concat()).collect()
}

/// Puts the session of this process before all others: a loaded machine is not to be taken for a stall
/// that a busy thread makes.
///
/// # Errors
/// Without the right to.
pub fn come_first() -> Result<()> {
    // Sessions count where `sched_autogroup_enabled` is set; elsewhere the file is not there. The session
    // that the machine started with has no weight: what runs in it competes thread by thread.
    match std::fs::write("/proc/self/autogroup", "-20") {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// Sleeps for a millisecond again and again; returns by how much it was late at most, and how often by
/// more than 10 ms.
#[must_use]
pub fn stalls(duration: Duration) -> Stalls {
    let start = Instant::now();
    let mut seen = Stalls { longest: Duration::ZERO, beyond_10_ms: 0 };
    while start.elapsed() < duration {
        let before = Instant::now();
        std::thread::sleep(CYCLE);
        let late = before.elapsed().saturating_sub(CYCLE);
        seen.longest = seen.longest.max(late);
        seen.beyond_10_ms += u32::from(late > Duration::from_millis(10));
    }
    seen
}

/// What a sleeper saw.
#[derive(Debug, Clone, Copy)]
pub struct Stalls {
    /// By how much it was late at most.
    pub longest: Duration,
    /// How often it was late by more than 10 ms.
    pub beyond_10_ms: u32,
}

//! A userspace UDP relay with delay, jitter, reordering and loss, for kernels without netem.
//!
//! Owns one pair of sockets: what comes from peer A to socket A leaves socket B towards peer B, and
//! back. Promises that the fate of the n-th datagram of a direction depends on the seed alone, not
//! on time. Refuses to look inside datagrams.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What the relay does to the datagrams of both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Same seed, same fates.
    pub seed: u64,
    /// One-way delay of every datagram.
    pub delay: Duration,
    /// Up to this much more, uniformly.
    pub jitter: Duration,
    /// Share of datagrams lost, in percent.
    pub loss_percent: f64,
    /// Share of datagrams that skip the delay and so overtake others, in percent.
    pub reorder_percent: f64,
}

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Lost,
    /// It leaves after this time.
    After(Duration),
}

/// The fates of one direction, in order.
#[derive(Debug, Clone)]
pub struct Fates {
    state: u64,
    impairment: Impairment,
}

impl Fates {
    /// `direction` (0 or 1) gives both ways different, equally reproducible fates.
    #[must_use]
    pub fn new(impairment: Impairment, direction: u64) -> Self {
        let state = impairment.seed ^ direction.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self { state, impairment }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a fraction in [0, 1).
    fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 53 bits fit a double exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Iterator for Fates {
    type Item = Fate;

    fn next(&mut self) -> Option<Fate> {
        // All three are drawn every time: a changed percentage does not shift later fates.
        let (loss, reorder, jitter) = (self.fraction(), self.fraction(), self.fraction());
        let Impairment { delay, jitter: most, .. } = self.impairment;
        Some(if loss * 100.0 < self.impairment.loss_percent {
            Fate::Lost
        } else if reorder * 100.0 < self.impairment.reorder_percent {
            Fate::After(Duration::ZERO)
        } else {
            Fate::After(delay + most.mul_f64(jitter))
        })
    }
}

/// One side of the relay: where it listens and whom it serves.
#[derive(Debug, Clone, Copy)]
pub struct RelaySide {
    /// The relay's own address on this side.
    pub listen: SocketAddr,
    /// The only sender that is relayed, and the receiver of what comes from the other side.
    pub peer: SocketAddr,
}

/// A relay whose sockets are bound.
#[derive(Debug)]
pub struct Relay {
    sides: [(RelaySide, Arc<UdpSocket>); 2],
}

impl Relay {
    /// Binds both sockets.
    ///
    /// # Errors
    /// When an address is not to be had.
    pub fn bind(a: RelaySide, b: RelaySide) -> Result<Self> {
        let socket = |side: RelaySide| -> Result<(RelaySide, Arc<UdpSocket>)> {
            let socket = UdpSocket::bind(side.listen)
                .with_context(|| format!("the relay cannot listen on {}", side.listen))?;
            Ok((side, Arc::new(socket)))
        };
        Ok(Self { sides: [socket(a)?, socket(b)?] })
    }

    /// Relays until a socket fails.
    ///
    /// # Errors
    /// The socket error.
    pub fn run(self, impairment: Impairment) -> Result<()> {
        let [a, b] = self.sides;
        let back = (b.clone(), a.clone());
        let thread = std::thread::Builder::new().name("relay b to a".to_owned());
        let other = thread.spawn(move || {
            let ((from, inlet), (to, outlet)) = back;
            carry(&inlet, from.peer, &outlet, to.peer, Fates::new(impairment, 1))
        })?;
        let result = carry(&a.1, a.0.peer, &b.1, b.0.peer, Fates::new(impairment, 0));
        drop(other);
        result
    }
}

/// One direction: a heap of datagrams by due time, and a receive that lasts until the next is due.
fn carry(
    inlet: &UdpSocket,
    from: SocketAddr,
    outlet: &UdpSocket,
    to: SocketAddr,
    mut fates: Fates,
) -> Result<()> {
    let mut waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let mut buffer = vec![0; 65_536];
    let mut order = 0;
    loop {
        while let Some(Reverse((due, ..))) = waiting.peek() {
            if *due > Instant::now() {
                break;
            }
            if let Some(Reverse((_, _, datagram))) = waiting.pop() {
                // A refused datagram is a lost one; the path itself goes on.
                drop(outlet.send_to(&datagram, to));
            }
        }
        let pause = waiting
            .peek()
            .map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()))
            .map(|pause| pause.max(Duration::from_micros(1)));
        inlet.set_read_timeout(pause).context("the relay cannot set its timer")?;
        let Some(length) = receive(inlet, from, &mut buffer)? else {
            continue;
        };
        order += 1;
        if let Some(Fate::After(delay)) = fates.next() {
            let due = Instant::now() + delay;
            waiting.push(Reverse((due, order, buffer[..length].to_vec())));
        }
    }
}

fn receive(inlet: &UdpSocket, from: SocketAddr, buffer: &mut [u8]) -> Result<Option<usize>> {
    use std::io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    match inlet.recv_from(buffer) {
        Ok((length, sender)) if sender == from => Ok(Some(length)),
        Ok(_) => Ok(None),
        Err(error)
            if matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).context("the relay cannot receive"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUGH: Impairment = Impairment {
        seed: 7,
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(10),
        loss_percent: 5.0,
        reorder_percent: 2.0,
    };

    fn fates(impairment: Impairment, direction: u64, n: usize) -> Vec<Fate> {
        Fates::new(impairment, direction).take(n).collect()
    }

    #[test]
    fn same_seed_gives_same_fates_and_another_seed_others() {
        assert_eq!(fates(ROUGH, 0, 1000), fates(ROUGH, 0, 1000));
        assert_ne!(fates(ROUGH, 0, 1000), fates(ROUGH, 1, 1000));
        assert_ne!(fates(ROUGH, 0, 1000), fates(Impairment { seed: 8, ..ROUGH }, 0, 1000));
    }

    #[test]
    fn shares_are_what_was_asked_for() {
        let all = fates(ROUGH, 0, 100_000);
        let lost = all.iter().filter(|fate| **fate == Fate::Lost).count();
        let early = all.iter().filter(|fate| **fate == Fate::After(Duration::ZERO)).count();
        assert!((4_700..5_300).contains(&lost), "{lost}");
        assert!((1_700..2_100).contains(&early), "{early}");
    }

    #[test]
    fn delays_stay_between_delay_and_delay_plus_jitter() {
        let calm = Impairment { loss_percent: 0.0, reorder_percent: 0.0, ..ROUGH };
        for fate in fates(calm, 0, 10_000) {
            let Fate::After(delay) = fate else { panic!("nothing may be lost") };
            assert!(delay >= ROUGH.delay && delay <= ROUGH.delay + ROUGH.jitter, "{delay:?}");
        }
    }
}

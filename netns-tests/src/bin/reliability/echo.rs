//! Datagrams through the tunnel and back, each one timed.
//!
//! Owns two threads in two namespaces: one returns what it gets, one sends every 50 ms. Promises
//! for every moment the time of the next answer. Refuses to judge.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use zonemesh_lab::namespace::Namespace;

const PORT: u16 = 7007;
const INTERVAL: Duration = Duration::from_millis(50);
const PAYLOAD: usize = 1000;

/// A running exchange; it ends when dropped.
pub(crate) struct EchoProbe {
    state: Arc<EchoCounts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct EchoCounts {
    stop: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    last: Mutex<Option<Instant>>,
}

/// One end of the exchange: where it is, and its address there.
#[derive(Clone, Copy)]
pub(crate) struct EchoEnd<'n> {
    pub(crate) namespace: &'n Namespace,
    pub(crate) address: IpAddr,
}

impl EchoProbe {
    /// Starts both threads.
    pub(crate) fn start(from: EchoEnd<'_>, to: EchoEnd<'_>) -> Result<Self> {
        let socket = |end: EchoEnd<'_>, port: u16| {
            end.namespace.inside(|| {
                let socket = UdpSocket::bind((end.address, port))?;
                socket.set_read_timeout(Some(INTERVAL))?;
                Ok(socket)
            })
        };
        let (sender, server) = (socket(from, 0)?, socket(to, PORT)?);
        let state = Arc::new(EchoCounts::default());
        let (near, far) = (Arc::clone(&state), Arc::clone(&state));
        let server = std::thread::spawn(move || serve(&server, &far));
        let target = SocketAddr::new(to.address, PORT);
        let client = std::thread::spawn(move || send(&sender, target, &near));
        Ok(Self { state, threads: vec![server, client] })
    }

    /// When the last answer came.
    pub(crate) fn last(&self) -> Option<Instant> {
        *self.state.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Datagrams sent and answers received so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.state.sent.load(Ordering::Relaxed), self.state.received.load(Ordering::Relaxed))
    }
}

impl Drop for EchoProbe {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn serve(socket: &UdpSocket, state: &EchoCounts) {
    let mut buffer = [0; 2 * PAYLOAD];
    while !state.stop.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&buffer[..len], from));
        }
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, state: &EchoCounts) {
    let mut buffer = [0; 2 * PAYLOAD];
    let mut next = Instant::now();
    while !state.stop.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            next += INTERVAL;
            state.sent.fetch_add(1, Ordering::Relaxed);
            drop(socket.send_to(&[0x5a; PAYLOAD], to));
        }
        if socket.recv_from(&mut buffer).is_ok() {
            state.received.fetch_add(1, Ordering::Relaxed);
            *state.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

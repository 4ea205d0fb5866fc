//! Flows through a tunnel whose receiver sees whether anything was lost, changed or out of order.
//!
//! Owns sockets in two namespaces and the threads that fill and empty them. UDP datagrams bear their
//! number; TCP bytes follow from their place in the stream. Refuses to know what carries them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::namespace::Namespace;

/// Beyond the last datagram, what is on its way may take this long.
const DRAIN: Duration = Duration::from_millis(500);

/// A host by its namespace and address.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Where its sockets are opened.
    pub namespace: &'a Namespace,
    /// Its address.
    pub address: IpAddr,
}

/// Numbered datagrams of many flows in one direction, under way.
#[derive(Debug)]
pub struct Numbered {
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<Arrived>>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that arrived.
    pub received: u64,
    /// Datagrams that arrived after a later one of their flow.
    pub late: u64,
}

impl Numbered {
    /// Sends datagrams of `flows` flows in turn, one of each in two milliseconds, for as long as `time`.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn start(from: Host<'_>, to: Host<'_>, flows: usize, time: Duration) -> Result<Self> {
        let open = |host: Host<'_>| {
            host.namespace.inside(|| {
                let open = || -> Result<UdpSocket> {
                    let socket = UdpSocket::bind((host.address, 0))?;
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                };
                (0..flows).map(|_| open()).collect::<Result<Vec<_>>>()
            })
        };
        let (senders, receivers) = (open(from)?, open(to)?);
        for (sender, receiver) in senders.iter().zip(&receivers) {
            sender.connect(receiver.local_addr()?)?;
        }
        let end = Instant::now() + time;
        Ok(Self {
            receiver: thread::spawn(move || receive(&receivers, end + DRAIN)),
            sender: thread::spawn(move || send(&senders, end)),
        })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When a socket failed.
    pub fn finish(self) -> Result<Arrived> {
        let sent = joined(self.sender)?;
        Ok(Arrived { sent, ..joined(self.receiver)? })
    }
}

fn send(sockets: &[UdpSocket], end: Instant) -> Result<u64> {
    let mut number = 0_u64;
    while Instant::now() < end {
        for socket in sockets {
            match socket.send(&number.to_be_bytes()) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
        }
        number += 1;
        thread::sleep(Duration::from_millis(2));
    }
    Ok(number * sockets.len() as u64)
}

fn receive(sockets: &[UdpSocket], end: Instant) -> Result<Arrived> {
    let mut arrived = Arrived::default();
    let mut next = vec![0; sockets.len()];
    while Instant::now() < end {
        for (socket, next) in sockets.iter().zip(&mut next) {
            let mut bytes = [0; 8];
            while let Ok(8) = socket.recv(&mut bytes) {
                let number = u64::from_be_bytes(bytes);
                arrived.received += 1;
                arrived.late += u64::from(number < *next);
                *next = (*next).max(number + 1);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(arrived)
}

/// TCP streams in one direction, under way.
#[derive(Debug)]
pub struct Streams(Vec<JoinHandle<Result<()>>>);

impl Streams {
    /// Sends `bytes` on each of `streams` connections at once; each byte is checked where it arrives.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub fn start(from: Host<'_>, to: Host<'_>, streams: usize, bytes: usize) -> Result<Self> {
        let mut threads = Vec::new();
        for stream in 0..streams {
            let listener = to.namespace.inside(|| Ok(TcpListener::bind((to.address, 0))?))?;
            let target = listener.local_addr()?;
            let client = from.namespace.inside(|| connect(target))?;
            let (server, _) = listener.accept()?;
            threads.push(thread::spawn(move || fill(client, stream, bytes)));
            threads.push(thread::spawn(move || check(server, stream, bytes)));
        }
        Ok(Self(threads))
    }

    /// Waits until all has arrived.
    ///
    /// # Errors
    /// When a byte is missing or another than was sent.
    pub fn finish(self) -> Result<()> {
        self.0.into_iter().try_for_each(joined)
    }
}

fn connect(target: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect_timeout(&target, Duration::from_secs(10))
        .with_context(|| format!("cannot connect to {target}"))
}

/// 64 KiB of a stream that begin at `offset`; no piece of a stream is like another.
fn piece(stream: usize, offset: usize) -> Vec<u8> {
    let mut state = (stream as u64) << 48 | offset as u64 | 1 << 63;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    });
    words.take(1 << 13).flatten().collect()
}

fn fill(mut socket: TcpStream, stream: usize, bytes: usize) -> Result<()> {
    for offset in (0..bytes).step_by(1 << 16) {
        socket.write_all(&piece(stream, offset))?;
    }
    Ok(())
}

fn check(mut socket: TcpStream, stream: usize, bytes: usize) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut arrived = vec![0; 1 << 16];
    for offset in (0..bytes).step_by(1 << 16) {
        socket.read_exact(&mut arrived).with_context(|| format!("stream {stream} at {offset}"))?;
        ensure!(arrived == piece(stream, offset), "stream {stream} differs after {offset}");
    }
    Ok(())
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_panic) => bail!("a thread of the test panicked"),
    }
}

/// How often TCP in this namespace has sent a segment again, and seen one out of order.
///
/// # Errors
/// When the kernel's counters cannot be read.
pub fn tcp_troubles(namespace: &Namespace) -> Result<(u64, u64)> {
    let counters = namespace.run(&["nstat", "-asz"])?;
    let of = |name: &str| -> Result<u64> {
        let line = counters.lines().find(|line| line.split_whitespace().next() == Some(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(value.with_context(|| format!("nstat shows no {name}"))?.parse()?)
    };
    let reordered =
        of("TcpExtTCPSACKReorder")? + of("TcpExtTCPRenoReorder")? + of("TcpExtTCPTSReorder")?;
    Ok((of("TcpRetransSegs")?, reordered))
}

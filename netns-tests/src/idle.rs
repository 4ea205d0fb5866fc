//! Callers that connect and say nothing, or half of something, and what a gateway spends on them.
//!
//! Owns the connections, in bytes of their own where a protocol is begun, and the times of another
//! process's threads. Refuses to judge: how much is too much is the scenario's matter.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream as AsyncStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::updates::Post;
use zonemesh_lab::namespace::Namespace;

/// Longest time for one connection: those that a gateway does not take wait in its queue.
const CONNECT: Duration = Duration::from_millis(500);
/// Longest time for all of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ticks of a second in /proc, on every Linux that we know.
const TICKS: f64 = 100.0;

/// Connects `count` times to each of `targets` from `place`, and says nothing. What is let in by the
/// kernel is held, whether the gateway takes it or hangs up.
///
/// # Errors
/// When this process may not open as many files.
pub fn hold_idle(
    place: &Namespace,
    targets: &[SocketAddr],
    count: usize,
) -> Result<Vec<TcpStream>> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    place.inside(|| {
        let (mut held, begin) = (Vec::new(), Instant::now());
        for _ in 0..count {
            for target in targets {
                if begin.elapsed() > PATIENCE {
                    return Ok(held);
                }
                if let Ok(stream) = TcpStream::connect_timeout(target, CONNECT) {
                    held.push(stream);
                }
            }
        }
        Ok(held)
    })
}

/// Connects `of_each` times from each of `sources` to each of `targets`, and says nothing; all at
/// once, so that one that is not taken holds up no other.
///
/// # Errors
/// When this process may not open as many files.
pub fn silent_from(
    place: &Namespace,
    sources: &[Ipv4Addr],
    targets: &[SocketAddr],
    of_each: usize,
) -> Result<Vec<AsyncStream>> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connecting = JoinSet::new();
            for source in sources.iter().flat_map(|source| std::iter::repeat_n(*source, of_each)) {
                for target in targets.iter().copied() {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(SocketAddr::from((source, 0)))?;
                    connecting.spawn(tokio::time::timeout(CONNECT, socket.connect(target)));
                }
            }
            let done = connecting.join_all().await;
            Ok(done.into_iter().filter_map(|in_time| in_time.ok()?.ok()).collect())
        })
    })
}

/// A gateway's threads and the time that each has had, in ticks.
#[derive(Debug)]
pub struct ThreadTimes {
    at: Instant,
    ticks: BTreeMap<u32, (String, u64)>,
}

impl ThreadTimes {
    /// Those of a process now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let (at, mut ticks) = (Instant::now(), BTreeMap::new());
        for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            // A thread may end meanwhile.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let (name, rest) = stat.rsplit_once(')').context("no name in stat")?;
            let name = name.split_once('(').map_or("", |(_, name)| name).to_owned();
            // utime and stime are fields 14 and 15, the state behind the name is field 3.
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let time = |field: usize| -> Result<u64> {
                Ok(fields.get(field - 3).context("stat is short")?.parse()?)
            };
            let tid = entry.file_name().to_string_lossy().parse()?;
            ticks.insert(tid, (name, time(14)? + time(15)?));
        }
        Ok(Self { at, ticks })
    }

    /// The busiest thread between `before` and here: its name and its share of a core.
    #[must_use]
    pub fn busiest_since(&self, before: &Self) -> (String, f64) {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let shares = self.ticks.iter().map(|(tid, (name, ticks))| {
            let earlier = before.ticks.get(tid).map_or(0, |(_, ticks)| *ticks);
            let spent = ticks.saturating_sub(earlier);
            #[allow(clippy::cast_precision_loss)]
            let share = spent as f64 / TICKS / seconds;
            (name.clone(), share)
        });
        shares.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// As much as a gateway reads of a request of a VM.
const REQUEST: usize = 16 * 1024;
/// Requests on one connection: as many as are read at once.
const AT_ONCE: usize = 4;

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or_default().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

/// The headers of a question, as HPACK writes them without a table.
fn headers() -> Vec<u8> {
    let mut headers = vec![0x83, 0x87];
    let path = b"/zonemesh.v1.Local/Resolve";
    for (name, value) in
        [(&[0x04][..], &path[..]), (&[0x01], b"gw"), (&[0x0f, 0x10], b"application/grpc")]
    {
        headers.extend(name);
        headers.push(u8::try_from(value.len()).unwrap_or_default());
        headers.extend(value);
    }
    headers
}

/// Connections of a VM with four requests each, every one sent but for its last bytes.
pub struct HalfSent {
    runtime: tokio::runtime::Runtime,
    lines: Vec<TlsStream<AsyncStream>>,
}

impl HalfSent {
    /// Opens `connections` of them.
    ///
    /// # Errors
    /// When the gateway does not speak TLS.
    pub fn open(from: &Post<'_>, connections: usize) -> Result<Self> {
        from.place.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let lines = runtime.block_on(async {
                let mut lines = Vec::new();
                for _ in 0..connections {
                    lines.push(half_a_line(from).await?);
                }
                anyhow::Ok(lines)
            })?;
            Ok(Self { runtime, lines })
        })
    }

    /// Lets go of all of them.
    pub fn close(self) {
        let Self { runtime, lines } = self;
        runtime.block_on(async { drop(lines) });
    }
}

async fn half_a_line(from: &Post<'_>) -> Result<TlsStream<AsyncStream>> {
    let stream = AsyncStream::connect(from.api).await?;
    let name = ServerName::IpAddress(from.api.ip().into());
    let mut line = TlsConnector::from(from.tls.clone()).connect(name, stream).await?;
    let mut message = vec![0];
    message.extend(u32::try_from(REQUEST).unwrap_or_default().to_be_bytes());
    message.resize(REQUEST - 100, 0);
    line.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    line.flush().await?;
    // What the gateway lets it send counts from here.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut bytes = frame(SETTINGS, ACK, 0, &[]);
    for stream in (1..).step_by(2).take(AT_ONCE) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &headers()));
        bytes.extend(frame(DATA, 0, stream, &message));
    }
    line.write_all(&bytes).await?;
    line.flush().await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_spins_is_seen() -> Result<()> {
        let (pid, stop) = (std::process::id(), std::sync::atomic::AtomicBool::new(false));
        let share = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            std::thread::sleep(Duration::from_millis(50));
            let before = ThreadTimes::of(pid)?;
            std::thread::sleep(Duration::from_millis(500));
            let (_, share) = ThreadTimes::of(pid)?.busiest_since(&before);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            anyhow::Ok(share)
        })?;
        // Others may have the machine too.
        anyhow::ensure!(share > 0.2, "{share}");
        Ok(())
    }
}

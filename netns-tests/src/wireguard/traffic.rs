//! Traffic through a tunnel: pings that are counted, TCP whose every byte is compared.
//!
//! Promises that a transfer is only reported when all bytes arrived as they were sent. Refuses to
//! be a benchmark: `netns-tests/bench` is.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;

const STALL: Duration = Duration::from_secs(60);
/// How long a `ping` goes on for an answer that closes its account.
const ONE_MORE_ANSWER: Duration = Duration::from_secs(5);
/// Prime, so that no shift by a packet's or a buffer's size looks like the original.
const PATTERN: usize = 1_048_573;
/// Payload of each datagram of a UDP super-packet.
const DATAGRAM: usize = 1200;

/// What `ping` counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinged {
    /// Echo requests sent.
    pub sent: u64,
    /// Answers received.
    pub received: u64,
}

impl Pinged {
    /// Requests without an answer.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// Sends `count` pings, one each `interval` seconds.
///
/// # Errors
/// When `ping` cannot be started or says nothing that can be counted.
pub fn ping(from: &Namespace, to: IpAddr, count: u32, interval: f64) -> Result<Pinged> {
    let (count, interval) = (count.to_string(), interval.to_string());
    let args = ["-n", "-q", "-W", "1", "-c", &count, "-i", &interval, &to.to_string()];
    let output = from.command("ping").args(args).output().context("cannot start ping")?;
    // No route, or an interface that went: nothing was sent, so nothing came back.
    if !output.status.success() && output.stdout.is_empty() {
        return Ok(Pinged { sent: 1, received: 0 });
    }
    parse_summary(&String::from_utf8_lossy(&output.stdout))
}

/// A `ping` that runs until it is asked for its result.
#[derive(Debug)]
pub struct Pinger {
    process: Process,
}

impl Pinger {
    /// Starts pinging, once each `interval` seconds.
    ///
    /// # Errors
    /// When `ping` cannot be started.
    pub fn start(from: &Namespace, to: IpAddr, interval: f64, folder: &Path) -> Result<Self> {
        let mut command = from.command("ping");
        command.args(["-n", "-i", &interval.to_string(), &to.to_string()]);
        Ok(Self { process: Process::spawn(&format!("ping-{to}"), command, folder)? })
    }

    /// Ends it after one more answer and returns what it counted. All requests up to now are counted as
    /// they ended; only one sent after that answer, and still on its way, is not.
    ///
    /// # Errors
    /// When it ended before, or says nothing that can be counted.
    pub fn finish(mut self) -> Result<Pinged> {
        let before = latest_answer(&self.process.output()?);
        let deadline = Instant::now() + ONE_MORE_ANSWER;
        // Nobody may be there to answer any more: then that is what is counted.
        while latest_answer(&self.process.output()?) == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.signal(Signal::SIGINT)?;
        let (_, output) = self.process.wait_for_end(Duration::from_secs(10))?;
        Ok(without_what_came_after(before, parse_summary(&output)?, latest_answer(&output)))
    }
}

/// Takes a last request out of the count that was sent after an answer `later` than `before`: whoever ends
/// `ping` may do so between a request and its answer.
fn without_what_came_after(before: Option<u64>, pinged: Pinged, later: Option<u64>) -> Pinged {
    match later {
        Some(latest) if later > before && latest + 1 == pinged.sent => {
            Pinged { sent: latest, ..pinged }
        }
        _ => pinged,
    }
}

/// The highest number of a request that was answered.
fn latest_answer(output: &str) -> Option<u64> {
    let number =
        |line: &str| line.split("icmp_seq=").nth(1)?.split_whitespace().next()?.parse().ok();
    output.lines().filter_map(number).max()
}

/// Reads the last lines of a `ping`, also of busybox:
/// `12 packets transmitted, 11 received, 8.33333% packet loss, time 11012ms`
///
/// # Errors
/// When there is no such line.
pub fn parse_summary(output: &str) -> Result<Pinged> {
    let line = output.lines().find(|line| line.contains("packets transmitted"));
    let line = line.with_context(|| format!("ping did not count:\n{output}"))?;
    let number = |part: &str| -> Result<u64> {
        let word = part.split_whitespace().next().context("no number")?;
        Ok(word.parse()?)
    };
    let mut parts = line.split(", ");
    let sent = number(parts.next().context("no count of requests")?)?;
    Ok(Pinged { sent, received: number(parts.next().context("no count of answers")?)? })
}

/// Sends `bytes` over TCP from one namespace to an address in another and compares every byte.
///
/// # Errors
/// When the transfer stalls, ends early, or a byte differs.
pub fn transfer(
    from: &Namespace,
    to: &Namespace,
    address: SocketAddr,
    bytes: u64,
) -> Result<Duration> {
    let listener = to.inside(|| Ok(TcpListener::bind(address)?))?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&listener, bytes));
        let sent = from.inside(|| send(address, bytes));
        let received = match receiver.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        sent.context("the sender failed")?;
        received.context("the receiver failed")
    })?;
    Ok(start.elapsed())
}

fn send(address: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, STALL)?;
    stream.set_write_timeout(Some(STALL))?;
    let pattern = pattern();
    let mut at = 0;
    while at < bytes {
        let part = part(&pattern, at, bytes - at);
        stream.write_all(part).with_context(|| format!("after {at} bytes"))?;
        at += part.len() as u64;
    }
    // The receiver says that it compared all of it.
    let mut verdict = [0];
    stream.set_read_timeout(Some(STALL))?;
    stream.read_exact(&mut verdict).context("no verdict from the receiver")
}

fn receive(listener: &TcpListener, bytes: u64) -> Result<()> {
    let mut stream = accept(listener)?;
    stream.set_read_timeout(Some(STALL))?;
    let pattern = pattern();
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    while at < bytes {
        let len = stream.read(&mut buffer).with_context(|| format!("after {at} bytes"))?;
        ensure!(len > 0, "the stream ended after {at} of {bytes} bytes");
        compare(&pattern, at, &buffer[..len])?;
        at += len as u64;
    }
    Ok(stream.write_all(b"+")?)
}

/// Sends `count` UDP super-packets of ten datagrams each, waits for each to be received, and compares
/// every byte and the order.
///
/// # Errors
/// When one does not arrive within a second, or a byte differs.
pub fn transfer_datagrams(
    from: &Namespace,
    to: &Namespace,
    address: SocketAddr,
    count: u32,
) -> Result<()> {
    let receiver = to.inside(|| Ok(UdpSocket::bind(address)?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let sender = from.inside(|| Ok(UdpSocket::bind(any)?))?;
    setsockopt(&sender, UdpGsoSegment, &(DATAGRAM as i32)).context("no UDP_SEGMENT")?;
    sender.connect(address)?;
    let pattern = pattern();
    for turn in 0..u64::from(count) {
        let start = (turn * 7919) as usize % (PATTERN - 10 * DATAGRAM);
        let sent = &pattern[start..start + 10 * DATAGRAM];
        sender.send(sent)?;
        for expected in sent.chunks(DATAGRAM) {
            let mut buffer = [0; 2 * DATAGRAM];
            let len = receiver.recv(&mut buffer).with_context(|| format!("in turn {turn}"))?;
            ensure!(buffer[..len] == *expected, "a datagram of turn {turn} is not what was sent");
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if start.elapsed() > STALL {
                    bail!("nobody connected");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn compare(pattern: &[u8], mut at: u64, mut received: &[u8]) -> Result<()> {
    while !received.is_empty() {
        let expected = part(pattern, at, received.len() as u64);
        let (now, rest) = received.split_at(expected.len());
        ensure!(now == expected, "a byte after {at} is not what was sent");
        at += now.len() as u64;
        received = rest;
    }
    Ok(())
}

/// The bytes at offset `at` of the stream, up to `most` of them.
fn part(pattern: &[u8], at: u64, most: u64) -> &[u8] {
    // Both fit: the pattern's length is a usize and the rest is below it.
    let start = (at % PATTERN as u64) as usize;
    let len = ((PATTERN - start) as u64).min(most) as usize;
    &pattern[start..start + len]
}

fn pattern() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut pattern = Vec::with_capacity(PATTERN + 8);
    while pattern.len() < PATTERN {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern.extend_from_slice(&state.to_le_bytes());
    }
    pattern.truncate(PATTERN);
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_ping_is_counted() {
        let text = "--- 10.0.0.1 ping statistics ---\n12 packets transmitted, 11 received, \
                    8.33333% packet loss, time 11012ms\n";
        let pinged = parse_summary(text).expect("a summary");
        assert_eq!((pinged.sent, pinged.received, pinged.lost()), (12, 11, 1));
        let errors = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2ms\n";
        assert_eq!(parse_summary(errors).expect("a summary").received, 0);
    }

    #[test]
    fn a_request_sent_after_the_end_is_no_loss_and_any_before_it_is() {
        let answered = |numbers: &[u64]| {
            let line =
                |number| format!("64 bytes from 10.0.0.1: icmp_seq={number} ttl=64 time=0.1 ms\n");
            numbers.iter().map(line).collect::<String>()
        };
        let lost = |before: &[u64], sent, numbers: &[u64]| {
            let pinged = Pinged { sent, received: numbers.len() as u64 };
            let [before, later] = [before, numbers].map(|all| latest_answer(&answered(all)));
            without_what_came_after(before, pinged, later).lost()
        };
        assert_eq!(lost(&[1, 2], 3, &[1, 2, 3]), 0);
        assert_eq!(lost(&[1], 3, &[1, 2]), 0);
        assert_eq!(lost(&[1, 2], 3, &[1, 2]), 1, "nothing came after it: it is lost");
        assert_eq!(lost(&[1], 3, &[1, 3]), 1);
        assert_eq!(lost(&[1], 4, &[1, 2]), 2);
        assert_eq!(lost(&[], 2, &[]), 2);
    }

    #[test]
    fn one_wrong_byte_anywhere_is_found() {
        let pattern = pattern();
        let at = PATTERN as u64 - 3;
        let mut stream = part(&pattern, at, 3).to_vec();
        stream.extend_from_slice(part(&pattern, at + 3, 5));
        assert!(compare(&pattern, at, &stream).is_ok());
        for byte in 0..stream.len() {
            let mut wrong = stream.clone();
            wrong[byte] ^= 1;
            assert!(compare(&pattern, at, &wrong).is_err(), "byte {byte}");
        }
    }
}

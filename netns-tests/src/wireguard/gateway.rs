//! One gateway: an implementation that runs in a namespace, and `wg` to configure and read it.
//!
//! Owns the process, the name of its interface and the inner addresses. Promises that an interface
//! name is used by one process of this machine only: the UAPI sockets of all namespaces share one
//! folder. Refuses to configure by anything but `wg` and the UAPI.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::implementation::Implementation;
use super::key::TunnelKey;
use super::wan::{Family, Side, Wan};
use zonemesh_lab::namespace::{self, Namespace};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

/// The UDP port of every gateway.
pub const PORT: u16 = 51820;
const SOCKETS: &str = "/var/run/wireguard";
const PATIENCE: Duration = Duration::from_secs(20);
const UAPI_TIMEOUT: Duration = Duration::from_secs(10);

/// A running gateway; dropping it kills it and removes its socket.
#[derive(Debug)]
pub struct WireGuardGateway<'a> {
    wan: &'a Wan,
    side: Side,
    implementation: Implementation,
    interface: String,
    process: Process,
}

/// An interface as `wg show IFACE dump` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Base64, or `(none)`.
    pub private_key: String,
    /// Base64, or `(none)`.
    pub public_key: String,
    /// The bound UDP port.
    pub listen_port: u16,
    /// `off`, or a number.
    pub fwmark: String,
    /// Its peers.
    pub peers: Vec<ShownPeer>,
}

/// A peer as `wg show IFACE dump` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownPeer {
    /// Base64.
    pub public_key: String,
    /// Base64, or `(none)`.
    pub preshared_key: String,
    /// `address:port`, or `(none)`.
    pub endpoint: String,
    /// Sorted; empty if there are none.
    pub allowed_ips: Vec<String>,
    /// Seconds since 1970; 0 for never.
    pub latest_handshake: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// `off`, or seconds.
    pub keepalive: String,
}

impl<'a> WireGuardGateway<'a> {
    /// Starts an implementation and waits until `wg` reaches it. The interface is not up yet.
    ///
    /// # Errors
    /// When it is not installed, or ends instead of serving.
    pub fn start(implementation: Implementation, wan: &'a Wan, side: Side) -> Result<Self> {
        Self::start_as(wan.interface(letter(side)), implementation, wan, side)
    }

    /// Starts a further one on a side, under this name (at most 15 bytes).
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(
        interface: String,
        implementation: Implementation,
        wan: &'a Wan,
        side: Side,
    ) -> Result<Self> {
        let process = spawn(implementation, wan, side, &interface)?;
        let mut gateway = Self { wan, side, implementation, interface, process };
        gateway.wait_until_served()?;
        Ok(gateway)
    }

    /// Starts the same implementation again, after it was killed or ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.start_again_with(|_| {})
    }

    /// As [`Self::start_again`], with another environment or further arguments.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again_with(&mut self, alter: impl FnOnce(&mut Command)) -> Result<()> {
        let namespace = self.wan.namespace(self.side);
        let mut command = self.implementation.command(namespace, &self.interface)?;
        alter(&mut command);
        let name = format!("{}-{}-{}", self.side.name(), self.implementation, self.interface);
        self.process = Process::spawn(&name, command, self.wan.folder())?;
        self.wait_until_served()
    }

    fn wait_until_served(&mut self) -> Result<()> {
        let (interface, process) = (self.interface.clone(), &mut self.process);
        until("the UAPI socket", PATIENCE, || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("{interface} ended with {status}: {}", process.output()?);
            }
            Ok(Look::retry(namespace::run(Command::new("wg").args(["show", &interface, "dump"]))))
        })?;
        Ok(())
    }

    /// Gives the interface its inner addresses ([`inner`]), an MTU of 1420, and brings it up.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn bring_up(&self) -> Result<()> {
        let namespace = self.namespace();
        let name = self.interface.as_str();
        for family in [Family::V4, Family::V6] {
            let (address, length) = (inner(self.side, family), prefix_length(family));
            let address = format!("{address}/{length}");
            let mut args = vec!["addr", "add", &address, "dev", name];
            if family == Family::V6 {
                args.push("nodad");
            }
            namespace.ip(&args)?;
        }
        namespace.ip(&["link", "set", name, "mtu", "1420", "up"]).map(drop)
    }

    /// `wg set IFACE <args>`.
    ///
    /// # Errors
    /// When `wg` does not end with 0.
    pub fn set(&self, args: &[&str]) -> Result<()> {
        namespace::run(Command::new("wg").args(["set", &self.interface]).args(args)).map(drop)
    }

    /// `wg setconf|addconf|syncconf IFACE`, with this text as the file.
    ///
    /// # Errors
    /// When `wg` does not end with 0.
    pub fn load(&self, verb: &str, text: &str) -> Result<()> {
        let file = self.wan.folder().join(format!("{}.conf", self.interface));
        std::fs::write(&file, text)?;
        namespace::run(Command::new("wg").args([verb, &self.interface]).arg(&file)).map(drop)
    }

    /// `wg show IFACE dump`.
    ///
    /// # Errors
    /// When `wg` fails, or shows something else than its manual says.
    pub fn show(&self) -> Result<Shown> {
        parse_dump(&self.wg(&["show", &self.interface, "dump"])?)
    }

    /// The only peer.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn peer(&self) -> Result<ShownPeer> {
        let shown = self.show()?;
        let [peer] = shown.peers.as_slice() else {
            anyhow::bail!("one peer expected: {shown:?}");
        };
        Ok(peer.clone())
    }

    /// Any command of `wg`.
    ///
    /// # Errors
    /// When it does not end with 0.
    pub fn wg(&self, args: &[&str]) -> Result<String> {
        namespace::run(Command::new("wg").args(args))
    }

    /// A connection to the UAPI socket.
    ///
    /// # Errors
    /// When nobody serves it.
    pub fn connect(&self) -> Result<UnixStream> {
        let path = self.socket();
        let stream = UnixStream::connect(&path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        stream.set_read_timeout(Some(UAPI_TIMEOUT))?;
        stream.set_write_timeout(Some(UAPI_TIMEOUT))?;
        Ok(stream)
    }

    /// Sends one request to the UAPI and returns the whole answer, `errno=` included.
    ///
    /// # Errors
    /// When the answer does not end in time.
    pub fn ask(&self, request: &str) -> Result<String> {
        let mut stream = self.connect()?;
        // Whoever refuses a request may hang up before it was read to its end.
        let _refused_early = stream.write_all(request.as_bytes());
        read_answer(&mut stream)
    }

    /// The errno that the UAPI answers a request with.
    ///
    /// # Errors
    /// When the answer has none.
    pub fn errno(&self, request: &str) -> Result<i32> {
        let answer = self.ask(request)?;
        let line = answer.lines().find_map(|line| line.strip_prefix("errno="));
        let line = line.with_context(|| format!("no errno in {answer:?}"))?;
        Ok(line.parse()?)
    }

    /// The path of its UAPI socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(SOCKETS).join(format!("{}.sock", self.interface))
    }

    /// The name of its interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Where it runs.
    #[must_use]
    pub fn namespace(&self) -> &'a Namespace {
        self.wan.namespace(self.side)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_kib(&self) -> Result<u64> {
        self.process.resident_kib()
    }

    /// Processor time it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid()))?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        let rest = stat.rsplit_once(')').context("no process name in stat")?.1;
        let ticks = |field: usize| -> Result<u64> {
            Ok(rest.split_whitespace().nth(field).context("a short stat")?.parse()?)
        };
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }
}

impl Drop for WireGuardGateway<'_> {
    fn drop(&mut self) {
        // Killed, it leaves its socket behind.
        drop(std::fs::remove_file(self.socket()));
    }
}

fn spawn(
    implementation: Implementation,
    wan: &Wan,
    side: Side,
    interface: &str,
) -> Result<Process> {
    let command = implementation.command(wan.namespace(side), interface)?;
    let name = format!("{}-{implementation}-{interface}", side.name());
    Process::spawn(&name, command, wan.folder())
}

/// Reads one answer of the UAPI: up to its blank line.
///
/// # Errors
/// When it does not end in time.
pub fn read_answer(stream: &mut UnixStream) -> Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 65_536];
    while !answer.ends_with(b"\n\n") {
        let len = stream.read(&mut buffer).context("the answer does not end")?;
        if len == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..len]);
    }
    Ok(String::from_utf8(answer)?)
}

/// A gateway's address inside the tunnel.
#[must_use]
pub fn inner(side: Side, family: Family) -> IpAddr {
    let host = if side == Side::Left { 1 } else { 2 };
    match family {
        Family::V4 => [10, 99, 0, host].into(),
        Family::V6 => [0xfd99, 0, 0, 0, 0, 0, 0, host.into()].into(),
    }
}

fn prefix_length(family: Family) -> u8 {
    if family == Family::V4 { 24 } else { 64 }
}

/// What a side's interface is told apart by ([`Wan::interface`]).
#[must_use]
pub fn letter(side: Side) -> char {
    if side == Side::Left { 'l' } else { 'r' }
}

/// The key of a side's gateway.
#[must_use]
pub fn key(side: Side) -> TunnelKey {
    TunnelKey::of(if side == Side::Left { 1 } else { 2 })
}

fn parse_dump(text: &str) -> Result<Shown> {
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let first = lines.next().context("wg showed nothing")?;
    let [private_key, public_key, port, fwmark] = first[..] else {
        anyhow::bail!("no interface in {text:?}");
    };
    Ok(Shown {
        private_key: private_key.to_owned(),
        public_key: public_key.to_owned(),
        listen_port: port.parse()?,
        fwmark: fwmark.to_owned(),
        peers: lines.map(|line| parse_peer(&line)).collect::<Result<_>>()?,
    })
}

fn parse_peer(fields: &[&str]) -> Result<ShownPeer> {
    ensure!(fields.len() == 8, "no peer in {fields:?}");
    let mut allowed_ips: Vec<String> =
        fields[3].split(',').filter(|ip| *ip != "(none)").map(str::to_owned).collect();
    allowed_ips.sort();
    Ok(ShownPeer {
        public_key: fields[0].to_owned(),
        preshared_key: fields[1].to_owned(),
        endpoint: fields[2].to_owned(),
        allowed_ips,
        latest_handshake: fields[4].parse()?,
        rx_bytes: fields[5].parse()?,
        tx_bytes: fields[6].parse()?,
        keepalive: fields[7].to_owned(),
    })
}

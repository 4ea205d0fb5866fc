//! A [`crate::wireguard::flood::HandshakeFlood`] in a process of its own, and what the victim answers.
//!
//! Owns the child process and the counters on the router. Promises the offered rate as the child
//! measured it. Refuses to send anything itself.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::gateway::{PORT, key};
use super::wan::{Family, SPOOFED, Side, Wan};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;

/// Length of an initiation in IPv4: no answer may be longer.
const REQUEST: usize = 20 + 8 + 148;

/// A flood against the left gateway, from the router: handshakes or garbage.
#[derive(Debug)]
pub struct Storm {
    process: Process,
    patience: Duration,
}

impl Storm {
    /// Starts `program storm` for `duration`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &str, wan: &Wan, rate: u32, duration: Duration) -> Result<Self> {
        let mut command = wan.router().command(program);
        command
            .args(["storm", "--target", &wan.address(Side::Left, Family::V4).to_string()])
            .args(["--port", &PORT.to_string(), "--key", &key(Side::Left).public_base64()])
            .args(["--rate", &rate.to_string(), "--seconds", &duration.as_secs().to_string()]);
        let process = Process::spawn("storm", command, wan.folder())?;
        Ok(Self { process, patience: duration + Duration::from_secs(30) })
    }

    /// Starts `program garbage` for `duration`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn of_garbage(program: &str, wan: &Wan, rate: u32, duration: Duration) -> Result<Self> {
        let target = SocketAddr::new(wan.address(Side::Left, Family::V4), PORT);
        let mut command = wan.router().command(program);
        command
            .args(["garbage", "--target", &target.to_string(), "--rate", &rate.to_string()])
            .args(["--seconds", &duration.as_secs().to_string()]);
        let process = Process::spawn("garbage", command, wan.folder())?;
        Ok(Self { process, patience: duration + Duration::from_secs(30) })
    }

    /// Waits until it sends.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn wait_until_it_blows(&mut self) -> Result<()> {
        self.process.wait_for("sending", Duration::from_secs(30)).map(drop)
    }

    /// Waits for its end and returns the datagrams per second that it sent.
    ///
    /// # Errors
    /// When it fails, or does not say.
    pub fn wait_for_end(&mut self) -> Result<f64> {
        let (code, output) = self.process.wait_for_end(self.patience)?;
        ensure!(code == 0, "the storm ended with {code}: {output}");
        let line = output.lines().find_map(|line| line.strip_prefix("offered "));
        let number = line.and_then(|line| line.split('/').next());
        let number = number.with_context(|| format!("no rate in {output:?}"))?;
        Ok(number.trim().parse()?)
    }
}

/// Counters on the router for what goes to spoofed addresses.
#[derive(Debug)]
pub struct Replies<'a> {
    router: &'a Namespace,
}

/// What went to spoofed addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replied {
    /// Packets.
    pub packets: u64,
    /// Packets that were longer than an initiation.
    pub longer: u64,
}

impl<'a> Replies<'a> {
    /// Begins to count.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn count(router: &'a Namespace) -> Result<Self> {
        let to = format!("iifname \"left\" ip daddr {{ {} }}", SPOOFED.join(", "));
        let rules = format!(
            "table inet zm_replies {{\n  counter zm_packets {{\n  }}\n  counter zm_longer {{\n  }}\n\
             \x20 chain replies {{\n    type filter hook prerouting priority 0; policy accept;\n\
             \x20   {to} counter name zm_packets\n\
             \x20   {to} meta length > {REQUEST} counter name zm_longer\n  }}\n}}\n"
        );
        load(router, &rules)?;
        Ok(Self { router })
    }

    /// The counts so far.
    ///
    /// # Errors
    /// When nft shows none.
    pub fn read(&self) -> Result<Replied> {
        let of = |name| counter(self.router, name);
        Ok(Replied { packets: of("zm_packets")?, longer: of("zm_longer")? })
    }
}

/// A counter on the router for handshake initiations over IPv4, whoever sends them.
#[derive(Debug)]
pub struct Initiations<'a> {
    router: &'a Namespace,
}

impl<'a> Initiations<'a> {
    /// Begins to count.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn count(router: &'a Namespace) -> Result<Self> {
        let rules = format!(
            "table ip zm_begun {{\n  counter zm_initiations {{\n  }}\n  chain begun {{\n\
             \x20   type filter hook prerouting priority 0; policy accept;\n\
             \x20   meta l4proto udp ip length {REQUEST} counter name zm_initiations\n  }}\n}}\n"
        );
        load(router, &rules)?;
        Ok(Self { router })
    }

    /// The count so far.
    ///
    /// # Errors
    /// When nft shows none.
    pub fn read(&self) -> Result<u64> {
        counter(self.router, "zm_initiations")
    }
}

pub(super) fn load(router: &Namespace, rules: &str) -> Result<()> {
    let mut command = router.command("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = command.spawn().context("cannot start nft -> install nftables")?;
    nft.stdin.take().context("nft has no input")?.write_all(rules.as_bytes())?;
    let output = nft.wait_with_output()?;
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "nft refused: {reason}\n{rules}");
    Ok(())
}

pub(super) fn counter(router: &Namespace, name: &str) -> Result<u64> {
    let text = router.run(&["nft", "-j", "list", "counters"])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let mut counters =
        shown["nftables"].as_array().into_iter().flatten().map(|entry| &entry["counter"]);
    let found = counters.find(|counter| counter["name"] == name);
    found.and_then(|counter| counter["packets"].as_u64()).context("no counter in nft's list")
}

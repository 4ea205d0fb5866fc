//! `zonemesh-reliability`: what takes longer than a test may, and the floods that tests start.
//!
//! Owns the commands `soak` (half an hour of a bad path) and `blackout` (ten minutes of none) and,
//! for use inside the lab, `storm` (handshake initiations from spoofed sources), `garbage` and
//! `stalls` (who waits for it). Prints figures, and ends with 1 if they are not good enough. Method
//! and figures: docs/RELIABILITY.md.

mod blackout;
mod echo;
mod soak;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use clap::{Args, Parser, Subcommand};
use netns_tests::wireguard::flood::HandshakeFlood;
use netns_tests::wireguard::garbage;
use zonemesh_lab::privilege;

#[derive(Parser)]
#[command(about = "Long runs of the data plane in a lab", version)]
struct ReliabilityArguments {
    #[command(subcommand)]
    command: LongRun,
}

#[derive(Subcommand)]
enum LongRun {
    /// Loss, jitter, cuts and forced handshakes, with every recovery measured.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// No path at all for a pair that only keepalives hold up.
    Blackout {
        /// How long the path is gone.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
    /// Send handshake initiations from spoofed sources; for use inside the lab.
    Storm(StormArguments),
    /// Send datagrams that are no WireGuard; for use inside the lab.
    Garbage {
        /// The victim, an address of the lab, and its port.
        #[arg(long)]
        target: SocketAddr,
        /// Datagrams per second.
        #[arg(long)]
        rate: u32,
        /// How long.
        #[arg(long)]
        seconds: u64,
    },
    /// Sleep for a millisecond again and again, and say by how much that was late.
    Stalls {
        /// How long.
        #[arg(long)]
        seconds: u64,
    },
}

#[derive(Args)]
struct StormArguments {
    /// The victim, an address of the lab.
    #[arg(long)]
    target: Ipv4Addr,
    /// Its port.
    #[arg(long)]
    port: u16,
    /// Its public key, base64.
    #[arg(long)]
    key: String,
    /// Initiations per second.
    #[arg(long)]
    rate: u32,
    /// How long.
    #[arg(long)]
    seconds: u64,
}

fn main() -> Result<()> {
    match ReliabilityArguments::parse().command {
        LongRun::Storm(arguments) => storm(&arguments),
        LongRun::Garbage { target, rate, seconds } => send_garbage(target, rate, seconds),
        LongRun::Stalls { seconds } => watch_stalls(seconds),
        LongRun::Soak { minutes } => {
            privilege::enter()?;
            soak::run(Duration::from_secs(minutes * 60))
        }
        LongRun::Blackout { minutes } => {
            privilege::enter()?;
            blackout::run(Duration::from_secs(minutes * 60))
        }
    }
}

fn send_garbage(target: SocketAddr, rate: u32, seconds: u64) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "sending")?;
    let offered = garbage::send(target, rate, Duration::from_secs(seconds))?;
    writeln!(out, "offered {:.0}/s, {} in {:.1?}", offered.rate(), offered.sent, offered.took)?;
    Ok(())
}

fn watch_stalls(seconds: u64) -> Result<()> {
    garbage::come_first()?;
    let seen = garbage::stalls(Duration::from_secs(seconds));
    let micros = seen.longest.as_micros();
    writeln!(std::io::stdout(), "longest {micros} us, {} beyond 10 ms", seen.beyond_10_ms)?;
    Ok(())
}

fn storm(arguments: &StormArguments) -> Result<()> {
    let key = base64::engine::general_purpose::STANDARD.decode(&arguments.key)?;
    let flood = HandshakeFlood {
        target: arguments.target,
        port: arguments.port,
        key: key.as_slice().try_into().context("a key has 32 bytes")?,
        rate: arguments.rate,
        duration: Duration::from_secs(arguments.seconds),
    };
    let prepared = flood.prepare()?;
    let mut out = std::io::stdout();
    writeln!(out, "sending")?;
    let offered = prepared.run()?;
    writeln!(out, "offered {:.0}/s, {} in {:.1?}", offered.rate(), offered.sent, offered.took)?;
    Ok(())
}

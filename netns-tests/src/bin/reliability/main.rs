//! `zonemesh-reliability`: what takes longer than a test may, and the flood that tests start.
//!
//! Owns three commands: `soak` (half an hour of a bad path), `blackout` (ten minutes of none) and
//! `storm` (handshake initiations from spoofed sources, inside the lab). Prints figures, and ends
//! with 1 if they are not good enough. Method and figures: docs/RELIABILITY.md.

mod blackout;
mod echo;
mod soak;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use clap::{Args, Parser, Subcommand};
use netns_tests::wireguard::flood::HandshakeFlood;
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

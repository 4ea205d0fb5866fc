//! `zonemesh-lab`: the Lab's small tools.
//!
//! Owns three commands: `clean` (what killed and kept Labs left), `enter` (a command with the right
//! to make namespaces) and `relay` (the impaired UDP path). Refuses anything outside the Lab.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use zonemesh_lab::relay::{Impairment, Relay, RelaySide};
use zonemesh_lab::{namespace, privilege};

#[derive(Parser)]
#[command(about = "Tools of the Zonemesh lab", version)]
struct LabArguments {
    #[command(subcommand)]
    command: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Remove the namespaces, processes and files of Labs that were killed or kept (KEEP=1).
    Clean,
    /// Run a command as root of a user namespace, unless this is root already.
    Enter {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Relay UDP between two peers with delay, jitter, loss and reordering.
    Relay(RelayArguments),
}

#[derive(Args)]
struct RelayArguments {
    /// Address to listen on towards peer A.
    #[arg(long)]
    a_listen: SocketAddr,
    /// Peer A.
    #[arg(long)]
    a_peer: SocketAddr,
    /// Address to listen on towards peer B.
    #[arg(long)]
    b_listen: SocketAddr,
    /// Peer B.
    #[arg(long)]
    b_peer: SocketAddr,
    /// Same seed, same losses and delays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One-way delay.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Up to this much more delay.
    #[arg(long, default_value_t = 0)]
    jitter_ms: u64,
    /// Share of datagrams lost.
    #[arg(long, default_value_t = 0.0)]
    loss_percent: f64,
    /// Share of datagrams that overtake others.
    #[arg(long, default_value_t = 0.0)]
    reorder_percent: f64,
}

fn main() -> Result<()> {
    match LabArguments::parse().command {
        Tool::Clean => clean(),
        Tool::Enter { command } => privilege::enter_for(&command).map(drop),
        Tool::Relay(arguments) => relay(&arguments),
    }
}

fn clean() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for name in namespace::reap(true)? {
        writeln!(out, "removed {name}")?;
    }
    Ok(writeln!(out, "no lab is left")?)
}

fn relay(arguments: &RelayArguments) -> Result<()> {
    let a = RelaySide { listen: arguments.a_listen, peer: arguments.a_peer };
    let b = RelaySide { listen: arguments.b_listen, peer: arguments.b_peer };
    let relay = Relay::bind(a, b)?;
    writeln!(std::io::stdout(), "relay ready")?;
    relay.run(Impairment {
        seed: arguments.seed,
        delay: Duration::from_millis(arguments.delay_ms),
        jitter: Duration::from_millis(arguments.jitter_ms),
        loss_percent: arguments.loss_percent,
        reorder_percent: arguments.reorder_percent,
    })
}

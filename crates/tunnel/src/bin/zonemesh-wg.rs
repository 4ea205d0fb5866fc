//! `zonemesh-wg IFACE`: the data plane as a plain WireGuard interface, configured by `wg`.
//!
//! Returns once `wg` can configure the interface and serves it in the background, as wg-quick expects
//! of its `WG_QUICK_USERSPACE_IMPLEMENTATION`; with `-f` it stays. Creates the TUN in the namespace it
//! is started in, opens its UDP sockets there, and goes on when the TUN is moved to another.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use tracing_subscriber::EnvFilter;
use zonemesh_tunnel::{ClockVerdict, uapi};

const ENVIRONMENT: &str = "Environment:
  ZONEMESH_LOG                log filter, such as debug (default: info,boringtun=off)
  ZONEMESH_DEBUG_NO_TSO       no TCP super-packets from the TUN
  ZONEMESH_DEBUG_NO_USO       no UDP super-packets from or to the TUN
  ZONEMESH_DEBUG_NO_GSO       one datagram in each send
  ZONEMESH_DEBUG_NO_GRO       one datagram in each receive
  ZONEMESH_DEBUG_NO_MERGE     one packet in each write to the TUN
  ZONEMESH_DEBUG_NO_REALTIME  busy threads rank as any other
The bytes carried are the same with each of these switches.";

/// A userspace WireGuard interface, configured by `wg`.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT)]
struct WgArguments {
    /// Stay in the foreground and log to standard error.
    #[arg(short, long)]
    foreground: bool,
    /// Where to log in the background; nowhere without.
    #[arg(long, value_name = "FILE", conflicts_with = "foreground")]
    log_file: Option<PathBuf>,
    /// MTU up to which packets are padded; set the MTU itself with `ip link`.
    #[arg(long, default_value_t = 1420)]
    mtu: u16,
    /// Where the time of the last handshakes is kept over restarts, to tell a clock that went back.
    #[arg(long, value_name = "FILE")]
    clock_file: Option<PathBuf>,
    /// Instead of an interface: raise the machine's clock to the time in the clock file, if it is behind
    /// and nothing has set it. For a start before the time is known, as PreUp of wg-quick.
    #[arg(long, requires = "clock_file", conflicts_with = "interface")]
    raise_clock: bool,
    /// The interface to create, such as wg0.
    #[arg(required_unless_present = "raise_clock")]
    interface: Option<String>,
}

fn main() -> ExitCode {
    let arguments = WgArguments::parse();
    let filter = EnvFilter::try_from_env("ZONEMESH_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,boringtun=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let done = match (&arguments.interface, &arguments.clock_file) {
        (Some(name), _) if arguments.foreground => serve(name, &arguments),
        (Some(name), _) => go_behind(name, &arguments),
        (None, file) => raise_clock(file.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(5)
        }
    }
}

fn serve(name: &str, arguments: &WgArguments) -> anyhow::Result<()> {
    uapi::serve(name, arguments.mtu, arguments.clock_file.as_deref())?;
    Ok(())
}

fn raise_clock(file: Option<&Path>) -> anyhow::Result<()> {
    let file = file.context("--raise-clock needs --clock-file")?;
    let verdict = zonemesh_tunnel::raise_clock(file)
        .with_context(|| format!("the clock is not raised to the time in {}", file.display()))?;
    match verdict {
        ClockVerdict::NotBehind => tracing::debug!("{verdict}"),
        _ => tracing::warn!("{verdict}"),
    }
    Ok(())
}

/// Starts this program in the foreground of its own process group, and waits until it is served.
fn go_behind(name: &str, arguments: &WgArguments) -> anyhow::Result<()> {
    ensure!(!uapi::is_served(name), "{name} is served by another process already");
    let log = match &arguments.log_file {
        Some(file) => {
            let log = OpenOptions::new().create(true).append(true).open(file);
            log.with_context(|| format!("cannot open the log file {}", file.display()))?.into()
        }
        None => Stdio::null(),
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--foreground", "--mtu"]).arg(arguments.mtu.to_string());
    if let Some(file) = &arguments.clock_file {
        command.arg("--clock-file").arg(file);
    }
    command.arg("--").arg(name);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    let mut server = command.spawn().context("cannot start in the background")?;
    while !uapi::is_served(name) {
        if let Some(status) = server.try_wait()? {
            bail!("it ended with {status}; zonemesh-wg -f {name} says why");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

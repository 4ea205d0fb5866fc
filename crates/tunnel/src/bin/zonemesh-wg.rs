//! `zonemesh-wg IFACE`: the data plane as a plain WireGuard interface, configured by `wg`.
//!
//! Stays in the foreground. Creates the TUN in the namespace it is started in, opens its UDP
//! sockets there, and goes on when the TUN is moved to another. Meant for measurements beside
//! other implementations and as `WG_QUICK_USERSPACE_IMPLEMENTATION`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

const ENVIRONMENT: &str = "Environment:
  ZONEMESH_LOG             log filter, such as debug (default: info,boringtun=off)
  ZONEMESH_DEBUG_NO_TSO    no TCP super-packets from the TUN
  ZONEMESH_DEBUG_NO_USO    no UDP super-packets from or to the TUN
  ZONEMESH_DEBUG_NO_GSO    one datagram in each send
  ZONEMESH_DEBUG_NO_GRO    one datagram in each receive
  ZONEMESH_DEBUG_NO_MERGE  one packet in each write to the TUN
The bytes carried are the same with each of these switches.";

/// A userspace WireGuard interface, configured by `wg`.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT)]
struct Arguments {
    /// Stay in the foreground; this is what happens in any case.
    #[arg(short, long)]
    foreground: bool,
    /// MTU up to which packets are padded; set the MTU itself with `ip link`.
    #[arg(long, default_value_t = 1420)]
    mtu: u16,
    /// The interface to create, such as wg0.
    interface: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("ZONEMESH_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,boringtun=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(5)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    zonemesh_tunnel::uapi::serve(&arguments.interface, arguments.mtu)?;
    Ok(())
}

//! `zonemeshd`, the gateway agent of a zone.
//!
//! A checklist only: arguments, logging, configuration, run, exit code. What happens in between
//! stands in `agent.rs`; exit codes in `failure.rs`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use zonemesh_config::Config;

use zonemesh_daemon::agent::AgentEnd;
use zonemesh_daemon::failure::{Exit, Failure, OrExit as _};
use zonemesh_daemon::{agent, clear, guard, logging, raise_clock, raise_descriptor_limit};

/// The gateway agent of a zone: tunnels, registry, local API.
#[derive(Parser)]
#[command(name = "zonemeshd", version)]
struct DaemonArguments {
    #[command(subcommand)]
    command: DaemonCommand,
}

#[derive(Subcommand)]
enum DaemonCommand {
    /// Run in the foreground until SIGTERM or SIGINT.
    Run {
        /// The configuration file.
        #[arg(long, default_value = "/etc/zonemesh/zonemesh.toml", env = "ZONEMESH_CONFIG")]
        config: PathBuf,
    },
    /// Raise the machine's clock to that of the last handshakes, if it is behind and nothing has set
    /// it; before `run`, with the right to set clocks.
    RaiseClock {
        /// The configuration file.
        #[arg(long, default_value = "/etc/zonemesh/zonemesh.toml", env = "ZONEMESH_CONFIG")]
        config: PathBuf,
    },
    /// Let nothing for other zones leave in the clear, before the network comes up at boot and `run`.
    Guard {
        /// The configuration file.
        #[arg(long, default_value = "/etc/zonemesh/zonemesh.toml", env = "ZONEMESH_CONFIG")]
        config: PathBuf,
    },
    /// Take away what the gateway has in the kernel, when there is to be none any more.
    Clear,
}

fn main() -> ExitCode {
    let done = match DaemonArguments::parse().command {
        DaemonCommand::Run { config } => run(&config),
        DaemonCommand::RaiseClock { config } => read_config(&config).and_then(|c| raise_clock(&c)),
        DaemonCommand::Guard { config } => read_config(&config).and_then(|c| guard(&c)),
        DaemonCommand::Clear => clear(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

fn run(file: &Path) -> Result<(), Failure> {
    let config = read_config(file)?;
    logging::start(&config.log);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_exit(Exit::Negative, || "cannot start the async runtime".to_owned())?;
    let result = runtime.block_on(agent::run(config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result? {
        AgentEnd::Stopped => Ok(()),
        AgentEnd::Again => start_anew(),
    }
}

/// This program takes its own place: nothing is left of it but its arguments and its process ID.
fn start_anew() -> Result<(), Failure> {
    let mut again = Command::new("/proc/self/exe");
    let error = again.args(std::env::args_os().skip(1)).exec();
    Err(error).or_exit(Exit::Negative, || "cannot start anew".to_owned())
}

/// Enough of a file to see that it is too long: a device may have no end.
fn bounded(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(Config::MAX_BYTES + 1).unwrap_or(u64::MAX);
    File::open(file)?.take(most).read_to_end(&mut bytes).map(|_length| bytes)
}

fn read_config(file: &Path) -> Result<Config, Failure> {
    let name = file.display().to_string();
    let bytes = bounded(file).or_exit(Exit::Configuration, || {
        format!("cannot read the configuration {name}; name another with --config FILE")
    })?;
    Config::parse_bytes(&bytes, &name).or_exit(Exit::Configuration, || {
        format!("the configuration is not valid; after the fix run: zonemesh config check {name}")
    })
}

//! `zonemeshd`, the gateway agent of a zone.
//!
//! A checklist only: arguments, logging, configuration, run, exit code. What happens in between
//! stands in `agent.rs`; exit codes in `failure.rs`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use zonemesh_daemon::agent::AgentEnd;
use zonemesh_daemon::failed_starts::Waited;
use zonemesh_daemon::failure::{Exit, Failure, OrExit as _};
use zonemesh_daemon::{
    agent, anew, clear, configuration, failed_starts, guard, guard_as_before, logging, raise_clock,
    raise_descriptor_limit, signals,
};

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
    let command = DaemonArguments::parse().command;
    let read = configuration::read;
    let done = match &command {
        DaemonCommand::Run { config } => run(config),
        DaemonCommand::RaiseClock { config } => read(config).and_then(|c| raise_clock(&c.config)),
        DaemonCommand::Guard { config } => guard_with(config),
        DaemonCommand::Clear => clear(),
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    failure.report();
    if let DaemonCommand::Run { config } = &command
        && failed_starts::wait(config) == Waited::AskedToEnd
    {
        return ExitCode::SUCCESS;
    }
    failure.exit.into()
}

fn run(file: &Path) -> Result<(), Failure> {
    anew::take_name();
    signals::hold()?;
    let begun = configuration::read(file)?;
    logging::start(&begun.config.log);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_exit(Exit::Negative, || "cannot start the async runtime".to_owned())?;
    let result = runtime.block_on(agent::run(begun));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result? {
        AgentEnd::Stopped => Ok(()),
        AgentEnd::Again(signals) => anew::start(signals),
    }
}

/// A file that cannot be used is no reason to bar nothing; where there is none, there is no gateway.
fn guard_with(file: &Path) -> Result<(), Failure> {
    match configuration::read(file) {
        Ok(begun) => guard(&begun.config, begun.broken.as_deref()),
        Err(failure) => {
            if file.exists()
                && let Err(also) = guard_as_before()
            {
                also.report();
            }
            Err(failure)
        }
    }
}

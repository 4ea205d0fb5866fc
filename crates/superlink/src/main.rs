//! `zonemesh-superlink`: the companion in a SuperLink's VM. It has Flower's SuperLink certified and
//! registered by the zone's gateway, keeps it running, and reports whether it serves.
//!
//! It promises exit code 7 for settings that cannot work and none for anything that may pass: that
//! is tried again. Specification: docs/ARCHITECTURE.md.

mod duty;
mod identity;
mod life;
mod plan;
mod run;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zonemesh_appliance::files::Owner;
use zonemesh_appliance::settings::{self, SuperLinkSettings};
use zonemesh_appliance::{guard, startup};

/// Certifies, registers and runs a Flower SuperLink.
#[derive(Parser)]
#[command(version, after_help = "Settings: ONEAPP_ZONEMESH_* in the environment or the context.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until it is told to stop.
    Run {
        /// An OpenNebula context.sh; it is parsed and never sourced.
        #[arg(long, value_name = "FILE")]
        context: Option<PathBuf>,
    },
    /// Prints what `run` would do, as JSON without secrets.
    Plan {
        /// An OpenNebula context.sh; it is parsed and never sourced.
        #[arg(long, value_name = "FILE")]
        context: Option<PathBuf>,
    },
    /// Runs a program until standard input ends; used by `run`.
    #[command(hide = true)]
    Guard {
        #[arg(long, value_name = "UID:GID")]
        owner: Option<Owner>,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Guard { owner, command } => {
            return guard::exit(&guard::Guarded { owner, command });
        }
        Command::Run { context } => {
            read(context.as_deref()).and_then(|settings| startup::block_on(run::run(settings)))
        }
        Command::Plan { context } => read(context.as_deref())
            .and_then(|settings| startup::block_on(run::print_plan(settings))),
    };
    startup::finish(ended.map(|()| ExitCode::SUCCESS))
}

fn read(file: Option<&Path>) -> anyhow::Result<SuperLinkSettings> {
    startup::logging()?;
    startup::crypto();
    let context = startup::context(file)?;
    Ok(settings::superlink(startup::variables(file, context.as_ref()))?)
}

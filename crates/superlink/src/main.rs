//! `zonemesh-superlink`: the companion in a SuperLink's VM. It has Flower's SuperLink certified and
//! registered by the zone's gateway, keeps it running, and reports whether it serves.
//!
//! It promises that `run` ends with 7 for settings that cannot work and never for anything that may
//! pass: that is tried again. Specification: docs/ARCHITECTURE.md.

mod identity;
mod plan;
mod report;
mod run;
mod serving;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use zonemesh_appliance::command::Command;
use zonemesh_appliance::runner::guard;
use zonemesh_appliance::settings::{self, SuperLinkSettings};
use zonemesh_appliance::startup;

/// Certifies, registers and runs a Flower SuperLink.
#[derive(Parser)]
#[command(version, after_help = "Settings: ONEAPP_ZONEMESH_* in the environment or the context.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
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
    startup::finish(ended)
}

fn read(file: Option<&Path>) -> anyhow::Result<SuperLinkSettings> {
    startup::settings(file, settings::superlink)
}

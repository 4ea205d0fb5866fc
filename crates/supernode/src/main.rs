//! `zonemesh-supernode`: the companion in a SuperNode's VM. It finds the SuperLink of its federation
//! through the zone's gateway, checks what Flower would not say, and keeps Flower running.
//!
//! It promises that `run` ends with 7 for settings that cannot work and never for anything that may
//! pass: that is tried again. Specification: docs/ARCHITECTURE.md.

mod decision;
mod fixed;
mod plan;
mod run;
mod spent_keys;
mod started;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use zonemesh_appliance::command::CompanionCommand;
use zonemesh_appliance::flower::PREFERRED;
use zonemesh_appliance::runner::{as_user, guard};
use zonemesh_appliance::settings::{self, SuperNodeSettings};
use zonemesh_appliance::startup;
use zonemesh_context::{Appliance, SETTINGS, help};
use zonemesh_core::token::VmRole;

/// Finds, checks and runs a Flower SuperNode for a federation.
#[derive(Parser)]
#[command(version, after_help = SETTINGS, after_long_help = help(Appliance::SuperNode))]
struct SuperNodeCommandLine {
    #[command(subcommand)]
    command: CompanionCommand,
}

fn main() -> ExitCode {
    let ended = match SuperNodeCommandLine::parse().command {
        CompanionCommand::Guard { owner, command } => {
            return guard::exit(&guard::Guarded { owner, command });
        }
        CompanionCommand::AsUser { owner, command } => {
            return guard::cannot_run(&command, &as_user::run(owner, &command));
        }
        CompanionCommand::FlowerVersion => startup::print(&PREFERRED.to_string()),
        CompanionCommand::Run { context } => {
            let settings = read(context.as_deref());
            settings.and_then(|settings| startup::block_on(run::run(settings)))
        }
        CompanionCommand::Plan { context } => read(context.as_deref())
            .and_then(|settings| startup::block_on(run::print_plan(settings))),
    };
    startup::finish(ended)
}

fn read(file: Option<&Path>) -> anyhow::Result<SuperNodeSettings> {
    startup::settings(file, VmRole::SuperNode, settings::supernode)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use zonemesh_context::keys;

    use super::*;

    #[test]
    fn the_help_lists_the_keys_that_are_read_and_no_other() {
        let text = SuperNodeCommandLine::command().render_long_help().to_string();
        for key in keys::KEYS {
            let line = format!("\n  {}\n", key.name);
            assert_eq!(text.contains(&line), key.readers.has(Appliance::SuperNode), "{}", key.name);
        }
    }
}

//! `zonemesh-gateway`: the companion in a gateway's VM. It makes the daemon's configuration of
//! CONTEXT, has the zone become a member of its mesh, and tells OneGate where the gateway is and
//! when it is ready.
//!
//! It promises that `configure` ends with 7 for what cannot work and with 1 for what may pass, and
//! that `run` tries everything that may pass for ever. Specification: docs/ARCHITECTURE.md.

mod configuration;
mod configure;
mod nics;
mod places;
mod run;
mod settings;
mod written;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use zonemesh_appliance::settings::onegate_lack;
use zonemesh_appliance::startup::{self, SettingsPlaces};
use zonemesh_context::{Appliance, SETTINGS, SettingsErrors, help};

use nics::VmNics;
use settings::GatewaySettings;

/// Configures a gateway from CONTEXT, has it join its mesh, and tells OneGate of it.
#[derive(Parser)]
#[command(version, after_help = SETTINGS, after_long_help = help(Appliance::Gateway))]
struct GatewayCommandLine {
    #[command(subcommand)]
    command: GatewayCommand,
}

#[derive(Subcommand)]
enum GatewayCommand {
    /// Writes the daemon's configuration, unless somebody has edited it.
    Configure(GatewayFiles),
    /// Runs until it is told to stop: founds or joins, and tells OneGate.
    Run {
        #[command(flatten)]
        files: GatewayFiles,
        /// Where it writes how it goes, as JSON: else where ONEAPP_ZONEMESH_GATEWAY_STATUS says, else
        /// /run/zonemesh-gateway/status.json.
        #[arg(long, value_name = "FILE")]
        status: Option<PathBuf>,
    },
}

#[derive(Args)]
struct GatewayFiles {
    /// An OpenNebula context.sh; it is parsed and never sourced.
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// The daemon's configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/zonemesh/zonemesh.toml",
        env = "ZONEMESH_CONFIG"
    )]
    config: PathBuf,
}

fn main() -> ExitCode {
    let ended = match GatewayCommandLine::parse().command {
        GatewayCommand::Configure(files) => read(files.context.as_deref())
            .and_then(|settings| configure::configure(&settings, &files.config)),
        GatewayCommand::Run { files, status } => read(files.context.as_deref())
            .and_then(|settings| startup::block_on(run::run(settings, files.config, status))),
    };
    startup::finish(ended)
}

fn read(file: Option<&Path>) -> anyhow::Result<GatewaySettings> {
    let places = startup::begin(file)?;
    let names = places.names();
    startup::say_of_names(&names, Appliance::Gateway);
    if let Some(lack) = onegate_lack(&places.variables()) {
        tracing::warn!("{lack}");
    }
    Ok(from(&places, &names)?)
}

fn from(
    places: &SettingsPlaces,
    names: &std::collections::BTreeSet<String>,
) -> Result<GatewaySettings, SettingsErrors> {
    let nics = VmNics::read(names.iter().map(String::as_str), |name| places.find(name));
    settings::read(places.variables(), nics)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use zonemesh_context::keys;

    use super::*;

    #[test]
    fn the_help_lists_the_keys_that_are_read_and_no_other() {
        let text = GatewayCommandLine::command().render_long_help().to_string();
        for key in keys::KEYS {
            let line = format!("\n  {}\n", key.name);
            assert_eq!(text.contains(&line), key.readers.has(Appliance::Gateway), "{}", key.name);
        }
    }
}

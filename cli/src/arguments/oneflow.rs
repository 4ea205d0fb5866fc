//! The commands about OneFlow's service templates.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use zonemesh_core::name::FederationName;
use zonemesh_oneflow::render::{InputGiven, PlaceholderValue};

#[derive(Debug, Subcommand)]
pub(crate) enum OneflowVerb {
    /// Find every breach of the rules in service templates, those that OpenNebula passes over too. Exits
    /// with 7 if there is one.
    Check {
        /// A template, or what `oneflow-template show -j` prints; - is standard input. Again for each.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Make a service template ready for `oneflow-template create`: IDs, and what a zone's folder has
    /// for its VMs. The new file is for its owner only.
    Render(Box<Render>),
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// One of coordinator, training-site, training-site-without-gateway, elastic-training-site,
    /// single-site, superlink-gateway, gateway-only; or the path of a template.
    pub(crate) template: String,
    /// What stands for @NAME@ in the template: an ID of this OpenNebula, or an address. Again for each;
    /// without them it says which there are.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) placeholders: Vec<PlaceholderArgument>,
    /// A zone's folder in what `zonemesh mesh init --out` has written: its invitation or bundle, tokens
    /// and federation go into the template, and nothing is asked for any more. Secret then.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) zone: Option<PathBuf>,
    /// Which federation, where the zone has a part in several.
    #[arg(long, value_name = "NAME", requires = "zone")]
    pub(crate) federation: Option<FederationName>,
    /// The value of an input that is no secret: supernode.ONEAPP_FL_NODE_CONFIG=x=1. Again for
    /// each.
    #[arg(long = "value", value_name = "ROLE.KEY=VALUE")]
    pub(crate) inputs: Vec<InputArgument>,
    /// The new file, - for standard output. Without it TEMPLATE-ZONE.json, or TEMPLATE-rendered.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `gateway=12`.
#[derive(Debug, Clone)]
pub(crate) struct PlaceholderArgument(pub(crate) PlaceholderValue);

/// `supernode.ONEAPP_FL_NODE_CONFIG=x=1`.
#[derive(Debug, Clone)]
pub(crate) struct InputArgument(pub(crate) InputGiven);

/// Why a text is none of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderArgumentError {
    #[error("write NAME=VALUE, such as gateway=12")]
    Placeholder,
    #[error("write ROLE.KEY=VALUE, such as supernode.ONEAPP_FL_NODE_CONFIG=x=1")]
    Input,
}

impl FromStr for PlaceholderArgument {
    type Err = RenderArgumentError;

    fn from_str(text: &str) -> Result<Self, RenderArgumentError> {
        let (name, value) = text.split_once('=').ok_or(RenderArgumentError::Placeholder)?;
        // As the template has it, or without the two @.
        let name = name.trim_matches('@').to_owned();
        if name.is_empty() || value.is_empty() {
            return Err(RenderArgumentError::Placeholder);
        }
        Ok(Self(PlaceholderValue { name, value: value.to_owned() }))
    }
}

impl FromStr for InputArgument {
    type Err = RenderArgumentError;

    fn from_str(text: &str) -> Result<Self, RenderArgumentError> {
        let (place, value) = text.split_once('=').ok_or(RenderArgumentError::Input)?;
        let (role, key) = place.split_once('.').ok_or(RenderArgumentError::Input)?;
        let [role, key, value] = [role, key, value].map(str::to_owned);
        Ok(Self(InputGiven { role, key, value }))
    }
}

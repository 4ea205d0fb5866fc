//! The command line that both companions have: `run`, `plan`, `flower-version`, and the hidden `guard`
//! and `as-user`.
//!
//! It promises that both take the same words. It refuses to know what a companion does with them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;

use crate::files::FileOwner;

/// What a companion is asked to do.
#[derive(Debug, Subcommand)]
pub enum CompanionCommand {
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
    /// Prints the version of Flower that goes into new images.
    FlowerVersion,
    /// Runs a program until standard input ends; used by `run`.
    #[command(hide = true)]
    Guard {
        /// As whom the program runs.
        #[arg(long, value_name = "UID:GID")]
        owner: Option<FileOwner>,
        /// The program, then its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Becomes another user, and then a program; used by `guard`.
    #[command(hide = true)]
    AsUser {
        /// As whom the program runs.
        #[arg(long, value_name = "UID:GID")]
        owner: FileOwner,
        /// The program, then its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

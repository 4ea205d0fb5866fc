//! `zonemesh`, the engineers' tool: asks a running gateway and renders what it says.
//!
//! A checklist only: arguments, work, exit code. What each command does stands in `commands.rs`,
//! how its answer looks in `view/`, exit codes in `failure.rs`.

mod arguments;
mod certificate;
mod commands;
mod config_check;
mod daemon;
mod failure;
mod keys;
mod output;
mod quantity;
mod regular_file;
mod secret_file;
mod state;
mod table;
mod view;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::CommandLine::parse();
    let format = arguments.output;
    match commands::run(arguments, &mut io::stdout().lock()) {
        Ok(exit) => exit.into(),
        Err(failure) if failure.is_broken_pipe() => failure::Exit::Ok.into(),
        Err(failure) => {
            failure.report(&mut io::stderr().lock());
            if format == arguments::Format::Json {
                failure.answer(&mut io::stdout().lock());
            }
            failure.exit.into()
        }
    }
}

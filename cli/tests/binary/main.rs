//! The real binary: what it prints, and the exit codes it promises.

mod answers;
mod authorities;
mod daemon;
mod exit_codes;
mod founding;
mod health;
mod keys;
mod mesh;
mod mesh_service;
mod oneflow;
mod permission;
mod reload;
mod state;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary with nothing in its environment.
pub(crate) fn zonemesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zonemesh"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    zonemesh().args(args).output().expect("the binary starts")
}

pub(crate) fn ask(socket: &Path, args: &[&str]) -> Output {
    let output = zonemesh().env("ZONEMESH_SOCKET", socket).args(args).output();
    output.expect("the binary starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

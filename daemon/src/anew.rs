//! A start within: this program takes its own place.
//!
//! Nothing is left of it but its arguments, its process ID and the signals that nobody has heard.

use std::convert::Infallible;
use std::ffi::{CStr, CString, NulError};
use std::os::unix::ffi::OsStringExt as _;

use crate::failure::{Exit, Failure, OrExit as _};
use crate::signals::{self, EndSignals};

/// The program that runs, though its file may have been replaced.
const MYSELF: &CStr = c"/proc/self/exe";
/// What ps, pgrep and killall call it: without this, `exe` after a start within.
const NAME: &CStr = c"zonemeshd";

/// Starts anew, unless an end was asked for meanwhile.
///
/// # Errors
/// When the system refuses.
pub fn start(mut signals: EndSignals) -> Result<(), Failure> {
    signals::hold()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.is_ok_and(|runtime| runtime.block_on(signals.asked_already()).is_some());
    if asked {
        return Ok(());
    }
    let refused = || "cannot start anew".to_owned();
    match again().or_exit(Exit::Negative, refused)? {}
}

fn again() -> std::io::Result<Infallible> {
    let as_text = |argument: std::ffi::OsString| CString::new(argument.into_vec());
    let arguments: Vec<_> = std::env::args_os().map(as_text).collect::<Result<_, NulError>>()?;
    Ok(nix::unistd::execv(MYSELF, &arguments)?)
}

/// Calls this process what its program is called.
pub fn take_name() {
    if let Err(error) = nix::sys::prctl::set_name(NAME) {
        tracing::debug!(%error, "the process keeps its name");
    }
}

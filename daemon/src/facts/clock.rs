//! The machine's clock before the start: raised to the time of the last handshakes.
//!
//! A step of its own, as the running agent has no right to set clocks. What is done when stands in
//! `zonemesh_tunnel::ClockVerdict`; nothing here keeps the agent from starting.

use std::path::PathBuf;
use std::time::SystemTime;

use zonemesh_config::Config;
use zonemesh_core::time::UnixMillis;
use zonemesh_tunnel::{ClockVerdict, latest_kept, raise_clock};

use crate::failure::{Exit, Failure, OrExit as _};
use crate::logging;

/// Where the time of the last handshakes is kept.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.gateway.state_dir.join("clock")
}

/// The time, or the latest that this gateway has known, if the clock went back since: what has expired
/// then stays so.
pub(crate) fn never_back(config: &Config) -> UnixMillis {
    let kept = latest_kept(&file(config)).map_or(UnixMillis(0), UnixMillis);
    UnixMillis::from(SystemTime::now()).max(kept)
}

/// Raises the clock if that is called for, and says what was done.
pub fn raise(config: &Config) -> Result<(), Failure> {
    logging::start(&config.log);
    let file = file(config);
    let verdict = raise_clock(&file).or_exit(Exit::Policy, || {
        format!(
            "the clock is not raised to the time in {}; setting it takes CAP_SYS_TIME",
            file.display()
        )
    })?;
    match verdict {
        ClockVerdict::NotBehind => tracing::debug!("{verdict}"),
        _ => tracing::warn!("{verdict}"),
    }
    Ok(())
}

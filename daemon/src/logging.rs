//! Logs to standard error: text for people, JSON for machines; never a secret.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use zonemesh_config::{LogFormat, LogSettings};

/// Starts logging. `ZONEMESH_LOG`, if set and valid, wins over the configured level.
pub fn start(log: &LogSettings) {
    // boringtun calls an expired handshake an error; the tunnel retries and says so itself.
    let default = || EnvFilter::new(format!("{},boringtun=off", log.level.as_str()));
    let filter = EnvFilter::try_from_env("ZONEMESH_LOG").unwrap_or_else(|_| default());
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

//! Logs to standard error: text for people, JSON for machines; never a secret.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};
use zonemesh_config::{LogFormat, LogLevel, LogSettings};

/// Changes what is logged from now on.
type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// There once logging has started: the log is the process's.
static FILTER: OnceLock<SetFilter> = OnceLock::new();
static FOR_MACHINES: AtomicBool = AtomicBool::new(false);

/// `ZONEMESH_LOG`, if set and valid, wins over the configured level.
fn filter(level: LogLevel) -> EnvFilter {
    // boringtun calls an expired handshake an error; the tunnel retries and says so itself. netlink-proto
    // warns once for each answer that came after the one that was asked for.
    let default =
        || EnvFilter::new(format!("{},boringtun=off,netlink_proto=error", level.as_str()));
    EnvFilter::try_from_env("ZONEMESH_LOG").unwrap_or_else(|_| default())
}

/// Logs in another form, or at another level, from now on.
pub(crate) fn set(log: &LogSettings) {
    FOR_MACHINES.store(log.format == LogFormat::Json, Ordering::Relaxed);
    if let Some(set) = FILTER.get() {
        set(filter(log.level));
    }
}

/// Starts logging. Both forms are there, and one of them is on: what one has noted of a span the other
/// could not read.
pub fn start(log: &LogSettings) {
    FOR_MACHINES.store(log.format == LogFormat::Json, Ordering::Relaxed);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let text = fmt::layer().with_ansi(colour).with_writer(std::io::stderr).with_target(false);
    let text = text.with_filter(dynamic_filter_fn(|_, _| !FOR_MACHINES.load(Ordering::Relaxed)));
    let json = fmt::layer().json().with_ansi(colour).with_writer(std::io::stderr);
    let json = json.with_filter(dynamic_filter_fn(|_, _| FOR_MACHINES.load(Ordering::Relaxed)));
    tracing_subscriber::registry().with(filter).with(text).with(json).init();
    // It is started once; a log that has gone has nobody to tell.
    let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
}

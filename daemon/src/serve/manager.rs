//! What the service manager hears: all is there, how it goes, that this daemon lives, that it ends.
//!
//! The text and the sign of life come from the look that `zonemesh status` shows, which goes
//! through the locks of tunnel and ledger: a daemon that cannot look any more is silent, and
//! started anew. Without a service manager nobody is told. Specification: sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;
use zonemesh_core::name::ZoneName;

use super::sources::SnapshotSources;
use crate::facts::reach;

/// Time between two signs of life: far below what the unit allows.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells until it is dropped.
pub(crate) async fn run(sources: SnapshotSources) -> anyhow::Result<()> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let mut said = String::new();
    tell(&[NotifyState::Ready]);
    loop {
        let text = text(&sources);
        match text == said {
            true => tell(&[NotifyState::Watchdog]),
            false => tell(&[NotifyState::Watchdog, NotifyState::Status(&text)]),
        }
        said = text;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Another configuration is being taken: [`reloaded`] follows, or a new start.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // Since systemd 253 one without the other would be a failed reload.
        Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
    }
}

/// The configuration that is in force is told, or was refused.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

fn text(sources: &SnapshotSources) -> String {
    let look = sources.lookout.refresh(0);
    let up = look.states.iter().filter(|state| reach::passes(**state)).count();
    let counts = Counts { up, peers: look.states.len(), findings: sources.findings.alarming() };
    line(&sources.config.now().zone.name, &counts)
}

struct Counts {
    up: usize,
    peers: usize,
    findings: usize,
}

/// One line for `systemctl status`.
fn line(zone: &ZoneName, counts: &Counts) -> String {
    let Counts { up, peers, findings } = counts;
    let tunnels = match peers {
        0 => format!("zone {zone}: no other zone yet"),
        _ => format!("zone {zone}: {up} of {peers} tunnels up"),
    };
    match findings {
        0 => tunnels,
        1 => format!("{tunnels}, 1 finding: zonemesh status"),
        _ => format!("{tunnels}, {findings} findings: zonemesh status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_tunnels_and_what_needs_a_look() {
        let berlin = "berlin".parse().unwrap();
        let said = |up, peers, findings| line(&berlin, &Counts { up, peers, findings });
        assert_eq!(said(0, 0, 0), "zone berlin: no other zone yet");
        assert_eq!(said(2, 2, 0), "zone berlin: 2 of 2 tunnels up");
        assert_eq!(said(1, 2, 1), "zone berlin: 1 of 2 tunnels up, 1 finding: zonemesh status");
        assert_eq!(said(0, 2, 3), "zone berlin: 0 of 2 tunnels up, 3 findings: zonemesh status");
    }
}

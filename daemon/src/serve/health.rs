//! Whether this gateway lives, and whether it is ready: two states, each with its reason.
//!
//! For whoever starts it anew or sends it work: a container engine, a load balancer, a script. Promises
//! that another zone that is down is a reason for neither: a restart would mend nothing, and cut the
//! zones that are up.

use std::time::Duration;

use zonemesh_core::finding::Code;

use super::sources::SnapshotSources;

/// A gateway looks every second; one that has not for so long stands still.
const STANDS_STILL: Duration = Duration::from_secs(20);

/// Why it does not live, and why it is not ready; empty if it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) not_live: String,
    pub(crate) not_ready: String,
}

impl Health {
    /// As it is now. Waits for nothing that a gateway that stands still could hold.
    pub(crate) fn of(sources: &SnapshotSources) -> Self {
        let not_live = not_live(sources.lookout.age());
        let not_ready = match not_live.is_empty() {
            true => not_listening(sources),
            false => not_live.clone(),
        };
        Self { not_live, not_ready }
    }
}

fn not_live(age: Option<Duration>) -> String {
    match age {
        Some(age) if age < STANDS_STILL => String::new(),
        Some(age) => format!("it has not looked at its tunnels for {} s", age.as_secs()),
        None => "it has not looked at its tunnels yet".to_owned(),
    }
}

/// The first of its own doors that is not open.
fn not_listening(sources: &SnapshotSources) -> String {
    let standing = sources.findings.all();
    let shut = standing.iter().find(|one| one.finding.code == Code::NotListening);
    shut.map(|shut| shut.finding.sentence()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_looks_lives_and_one_that_stands_still_does_not() {
        assert_eq!(not_live(Some(Duration::from_secs(2))), "");
        assert_eq!(not_live(None), "it has not looked at its tunnels yet");
        let still = not_live(Some(Duration::from_secs(61)));
        assert_eq!(still, "it has not looked at its tunnels for 61 s");
    }
}

//! What a companion says about itself: its log lines, its status file, and its attributes in OneGate.
//!
//! It promises that a new reason is said at once, the same one at most once a minute, and that
//! `status.json` is always whole and as new as the last line. It refuses to decide anything. Another
//! platform's way to be told is another field of [`Reporter`].
//! Shape of the file: [`CompanionStatus`], `"schema": "zonemesh/companion/v1"`.

mod attributes;
mod for_both;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_core::finding::Finding;
use zonemesh_core::name::FederationName;

use crate::files::write_atomic;
use crate::onegate::{OneGate, WantedAttributes, keep_told};
use crate::reason::Reason;
use crate::startup::json;
use crate::state_folder::StateFolder;

const SAME_REASON_EVERY: Duration = Duration::from_secs(60);
const OTHER_WORDS_EVERY: Duration = Duration::from_secs(10);

/// Where a companion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompanionState {
    /// Flower does not run; the reason says why.
    Waiting,
    /// Flower was started and is not known to work yet.
    Starting,
    /// Flower works, as far as can be seen from here.
    Ready,
    /// The companion was told to stop.
    Stopped,
}

/// A [`Reason`] as it stands in the status file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReason {
    /// Stable code.
    pub code: &'static str,
    /// Evidence in one line.
    pub text: String,
    /// What to do next.
    pub fix: String,
}

/// The status file, for scripts, tests and people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompanionStatus {
    /// `zonemesh/companion/v1`.
    pub schema: &'static str,
    /// `superlink` or `supernode`.
    pub role: &'static str,
    /// The federation.
    pub federation: FederationName,
    /// Where the companion is.
    pub state: CompanionState,
    /// When it came there, in RFC 3339.
    pub since: String,
    /// Why it is not ready, or what is wrong although it is.
    pub reason: Option<StatusReason>,
    /// The SuperLink's Fleet address as Flower dials or serves it.
    pub endpoint: Option<String>,
    /// Flower's version here.
    pub flower_version: Option<String>,
    /// The process group in which Flower runs.
    pub flower_group: Option<i32>,
    /// How often Flower was started by this companion.
    pub flower_starts: u64,
}

/// Who is told of this VM.
#[derive(Debug, Default)]
pub struct ToldOneGate {
    /// OneGate, if the VM has it.
    pub onegate: Option<OneGate>,
    /// The status file of the gateway's companion, if that runs in this VM: READY is told for both.
    pub gateway_status: Option<PathBuf>,
}

/// The owner of the status file, and the only one who logs reasons and tells OneGate.
#[derive(Debug)]
pub struct Reporter {
    path: PathBuf,
    status: CompanionStatus,
    said: Option<(Reason, Instant)>,
    /// The CA that the SuperLink here serves with.
    ca_pem: Option<String>,
    /// What OneGate is to say of this VM.
    attributes: watch::Sender<WantedAttributes>,
    _telling: JoinSet<()>,
}

impl Reporter {
    /// A companion that has just begun. The folder exists. OneGate, if there is one, is told from
    /// now on what runs in this VM and whether it is ready.
    #[must_use]
    pub fn begin(
        folder: &StateFolder,
        role: &'static str,
        federation: &FederationName,
        told: ToldOneGate,
    ) -> Self {
        let status = CompanionStatus {
            schema: "zonemesh/companion/v1",
            role,
            federation: federation.clone(),
            state: CompanionState::Waiting,
            since: now_text(),
            reason: None,
            endpoint: None,
            flower_version: None,
            flower_group: None,
            flower_starts: 0,
        };
        let path = folder.status_file();
        let (attributes, wanted) = watch::channel(WantedAttributes::new());
        let mut telling = JoinSet::new();
        if let Some(onegate) = told.onegate {
            let wanted = match told.gateway_status {
                Some(file) => for_both::held_back(wanted, file, &mut telling),
                None => wanted,
            };
            telling.spawn(keep_told(onegate, attributes::names(role), wanted));
        }
        let reporter =
            Self { path, status, said: None, ca_pem: None, attributes, _telling: telling };
        reporter.write();
        reporter
    }

    /// What the file says.
    #[must_use]
    pub const fn status(&self) -> &CompanionStatus {
        &self.status
    }

    /// Flower's version is known.
    pub fn flower_version(&mut self, version: &str) {
        if self.status.flower_version.as_deref() != Some(version) {
            self.status.flower_version = Some(version.to_owned());
            self.write();
        }
    }

    /// Flower was started in this process group, for or towards this endpoint.
    pub fn started(&mut self, group: i32, endpoint: &str) {
        self.status.endpoint = Some(endpoint.to_owned());
        self.status.flower_group = Some(group);
        self.status.flower_starts += 1;
        tracing::info!(endpoint, group, starts = self.status.flower_starts, "flower started");
        self.enter(CompanionState::Starting);
    }

    /// The SuperLink here serves with a certificate of this CA.
    pub fn ca(&mut self, pem: &str) {
        self.ca_pem = Some(pem.to_owned());
        self.write();
    }

    /// A new state; whatever was wrong before is over.
    pub fn enter(&mut self, state: CompanionState) {
        if matches!(state, CompanionState::Waiting | CompanionState::Stopped) {
            self.status.flower_group = None;
        }
        if self.status.state != state {
            self.status.state = state;
            self.status.since = now_text();
            let federation = &self.status.federation;
            tracing::info!(state = ?state, %federation, endpoint = self.status.endpoint, "state");
        }
        self.status.reason = None;
        self.said = None;
        self.write();
    }

    /// What is wrong was put right, without a new state.
    pub fn cleared(&mut self) {
        if let Some(reason) = self.status.reason.take() {
            tracing::info!(code = reason.code, "over");
            self.said = None;
            self.write();
        }
    }

    /// Something is wrong. Said at once when it is new, then at most once a minute.
    pub fn blocked(&mut self, reason: &Reason) {
        let finding = Finding::from(reason);
        let entry = StatusReason {
            code: finding.code.as_str(),
            text: reason.to_string(),
            fix: finding.fix.spelled(),
        };
        if self.worth_saying(reason, Instant::now()) {
            let what =
                if self.status.state == CompanionState::Ready { "degraded" } else { "not ready" };
            tracing::warn!(code = entry.code, reason = entry.text, fix = entry.fix, "{what}");
        }
        if self.status.reason.as_ref() != Some(&entry) {
            self.status.reason = Some(entry);
            self.write();
        }
    }

    fn worth_saying(&mut self, reason: &Reason, now: Instant) -> bool {
        let due = self.said.as_ref().is_none_or(|(last, at)| {
            let age = now.saturating_duration_since(*at);
            match last {
                last if last == reason => age >= SAME_REASON_EVERY,
                last if last.code() == reason.code() => age >= OTHER_WORDS_EVERY,
                _ => true,
            }
        });
        if due {
            self.said = Some((reason.clone(), now));
        }
        due
    }

    /// The file, and what OneGate is told.
    fn write(&self) {
        let attributes = attributes::attributes(&self.status, self.ca_pem.as_deref());
        self.attributes.send_if_modified(|told| {
            let is_new = *told != attributes;
            *told = attributes;
            is_new
        });
        let written = json(&self.status)
            .map_err(anyhow::Error::from)
            .and_then(|json| Ok(write_atomic(&self.path, json.as_bytes(), 0o644, None)?));
        if let Err(error) = written {
            tracing::warn!(error = format!("{error:#}"), "the status file was not written");
        }
    }
}

fn now_text() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter(folder: &std::path::Path) -> Reporter {
        let federation = "health-eu".parse().unwrap();
        Reporter::begin(&StateFolder::new(folder), "supernode", &federation, ToldOneGate::default())
    }

    fn skew(ahead_seconds: i64) -> Reason {
        Reason::ClockSkew { ahead_seconds }
    }

    #[test]
    fn a_reason_is_said_on_change_and_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let mut reporter = reporter(folder.path());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let other = Reason::NoSuperLink { federation: "health-eu".parse().unwrap() };
        let script = [
            (0, skew(20), true),
            (5, skew(20), false),
            (6, skew(21), false),
            (11, skew(21), true),
            (12, other.clone(), true),
            (71, other.clone(), false),
            (72, other, true),
        ];
        for (second, reason, said) in script {
            assert_eq!(
                reporter.worth_saying(&reason, at(second)),
                said,
                "second {second}: {reason}"
            );
        }
    }

    #[test]
    fn the_file_says_what_the_companion_said_last() {
        let folder = tempfile::tempdir().unwrap();
        let read = || -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.path().join("status.json")).unwrap())
                .unwrap()
        };
        let mut reporter = reporter(folder.path());
        assert_eq!(read()["state"], "waiting");
        reporter.blocked(&skew(20));
        assert_eq!(read()["reason"]["code"], "T404");
        reporter.started(4711, "10.10.10.5:9092");
        reporter.enter(CompanionState::Ready);
        let status = read();
        assert_eq!(status["schema"], "zonemesh/companion/v1");
        assert_eq!(status["state"], "ready");
        assert_eq!(status["reason"], serde_json::Value::Null);
        assert_eq!(status["endpoint"], "10.10.10.5:9092");
        assert_eq!(status["flower_group"], 4711);
        assert_eq!(status["flower_starts"], 1);
        reporter.blocked(&skew(20));
        reporter.cleared();
        assert_eq!(read()["reason"], serde_json::Value::Null);
        reporter.enter(CompanionState::Waiting);
        assert_eq!(read()["flower_group"], serde_json::Value::Null);
    }
}

//! Findings as engineers see them: what the list of codes says by itself is left out, as both ends
//! have it; a sentence with evidence in it is made here, the data goes beside it.

use zonemesh_core::finding::{Code, Evidence, Severity, StandingFinding};

use crate::v1;

/// A finding that lasts, with its fix as people set settings.
#[must_use]
pub fn finding(standing: &StandingFinding) -> v1::Finding {
    let finding = &standing.finding;
    v1::Finding {
        code: finding.code.to_string(),
        severity: v1::FindingSeverity::from(finding.severity).into(),
        subject_kind: finding.subject.kind().to_owned(),
        subject: finding.subject.to_string(),
        sentence: if finding.code.needs_evidence() { finding.sentence() } else { String::new() },
        evidence: finding.evidence.iter().map(evidence).collect(),
        fix: if finding.has_own_fix() { finding.fix.spelled() } else { String::new() },
        since_unix_ms: standing.since.0,
        seen_at_unix_ms: standing.seen_at.0,
        count: standing.count,
    }
}

/// The metadata of a refusal that says its code.
const CODE: &str = "zonemesh-code";

/// A refusal that says which code it is.
#[must_use]
pub fn with_code(mut refusal: tonic::Status, code: Code) -> tonic::Status {
    if let Ok(code) = code.as_str().parse() {
        refusal.metadata_mut().insert(CODE, code);
    }
    refusal
}

/// The code that a refusal says, if it does and it is on this build's list.
#[must_use]
pub fn told_code(refusal: &tonic::Status) -> Option<Code> {
    Code::of(refusal.metadata().get(CODE)?.to_str().ok()?)
}

/// The metadata of a refusal that says what to do next.
const NEXT: &str = "zonemesh-next";

/// A refusal that says which command to type next; one that no header can carry says nothing.
#[must_use]
pub fn with_next(mut refusal: tonic::Status, next: &str) -> tonic::Status {
    if let Ok(next) = next.parse() {
        refusal.metadata_mut().insert(NEXT, next);
    }
    refusal
}

/// What a refusal says is to be done next, if it does.
#[must_use]
pub fn told_next(refusal: &tonic::Status) -> Option<&str> {
    refusal.metadata().get(NEXT)?.to_str().ok()
}

fn evidence(seen: &Evidence) -> v1::FindingEvidence {
    let name = seen.name().to_owned();
    v1::FindingEvidence { name, text: seen.bare(), figure: seen.figure() }
}

impl From<Severity> for v1::FindingSeverity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Note => Self::Note,
            Severity::Degraded => Self::Degraded,
            Severity::Down => Self::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::finding::{Finding, Findings, Subject};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    #[test]
    fn a_finding_carries_its_data_beside_its_words() {
        let mut findings = Findings::default();
        let paris = Subject::Zone("paris".parse().unwrap());
        let lossy = Finding::new(Code::PathLoses, paris)
            .with(Evidence::LossPermille(43))
            .with(Evidence::Reason("loss of 4.3 %".to_owned()))
            .with(Evidence::Address("198.51.100.7:51820".to_owned()))
            .fix("raise {tunnel.mtu}");
        findings.raise(lossy, UnixMillis(70));
        let wire = finding(&findings.all()[0]);
        assert_eq!((wire.code.as_str(), wire.severity()), ("N208", v1::FindingSeverity::Degraded));
        assert_eq!((wire.subject_kind.as_str(), wire.subject.as_str()), ("zone", "paris"));
        assert_eq!(wire.sentence, "tunnel degraded, loss of 4.3 % (198.51.100.7:51820)");
        assert_eq!(
            (wire.fix.as_str(), wire.since_unix_ms, wire.count),
            ("raise tunnel.mtu", 70, 1)
        );
        let [loss, _, address] = &wire.evidence[..] else { panic!("{:?}", wire.evidence) };
        assert_eq!((loss.name.as_str(), loss.text.as_str()), ("loss_permille", "43"));
        assert_eq!((loss.figure, address.figure), (Some(43), None));
    }

    #[test]
    fn what_the_list_says_by_itself_is_not_sent() {
        let mut findings = Findings::default();
        findings.raise(Finding::new(Code::NoEndpoint, Subject::Here), UnixMillis(70));
        let wire = finding(&findings.all()[0]);
        assert_eq!((wire.sentence.as_str(), wire.fix.as_str()), ("", ""));
    }

    #[test]
    fn a_refusal_says_its_code() {
        let refusal = tonic::Status::not_found("no such zone");
        assert_eq!(told_code(&refusal), None);
        let refusal = with_code(refusal, Code::ChangeRefused);
        assert_eq!(told_code(&refusal), Some(Code::ChangeRefused));
        assert_eq!(told_next(&refusal), None);
        let refusal = with_next(refusal, "zonemesh zone list");
        assert_eq!(told_next(&refusal), Some("zonemesh zone list"));
        assert_eq!(told_next(&with_next(tonic::Status::not_found(""), "two\nlines")), None);
        assert_eq!(refusal.message(), "no such zone");
    }
}

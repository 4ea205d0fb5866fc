//! The VMs of this zone that were refused a moment ago, and why.
//!
//! Promises bounds, whoever calls. A companion that is refused calls again within seconds, so that
//! one of which nothing is heard for a while was put right or is gone. Refuses to decide who is
//! refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

/// Most VMs that are remembered: the longest quiet makes room.
const MOST: usize = 64;
/// Several times what a companion waits before it calls again.
const REMEMBERED: Duration = Duration::from_secs(20);

/// Who was refused.
#[derive(Default)]
pub(crate) struct RefusedVms(Mutex<BTreeMap<IpAddr, VmRefusal>>);

/// Why, last.
struct VmRefusal {
    reason: String,
    /// What is to be done about it.
    next: String,
    at: Instant,
}

impl RefusedVms {
    /// `vm` was refused for `reason`; `next` is what helps.
    pub(crate) fn note(&self, vm: IpAddr, reason: String, next: String, now: Instant) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.contains_key(&vm) && refused.len() >= MOST {
            let quiet = refused.iter().min_by_key(|(_, refusal)| refusal.at).map(|(vm, _)| *vm);
            quiet.and_then(|quiet| refused.remove(&quiet));
        }
        refused.insert(vm, VmRefusal { reason, next, at: now });
    }

    /// One for each VM that goes on calling in vain.
    pub(crate) fn findings(&self, now: Instant) -> Vec<Finding> {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, refusal| now.saturating_duration_since(refusal.at) < REMEMBERED);
        let finding = |(vm, refusal): (&IpAddr, &VmRefusal)| {
            let about = Finding::new(Code::VmRefused, Subject::Vm(*vm));
            about.with(Evidence::Reason(refusal.reason.clone())).fix(refusal.next.clone())
        };
        refused.iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(number: u8) -> IpAddr {
        [10, 10, 10, number].into()
    }

    #[test]
    fn a_vm_that_calls_in_vain_is_a_finding_until_it_calls_no_more() {
        let (refused, now) = (RefusedVms::default(), Instant::now());
        for reason in ["the token is not known", "the token has expired"] {
            refused.note(vm(5), reason.to_owned(), "make a new one".to_owned(), now);
        }
        let found = refused.findings(now + Duration::from_secs(19));
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["P322 VM 10.10.10.5: it is refused: the token has expired"]);
        assert_eq!(found[0].fix.spelled(), "make a new one");
        assert!(found[0].severity.is_alarming());
        assert!(refused.findings(now + REMEMBERED).is_empty());
    }

    #[test]
    fn many_that_are_refused_take_little_memory_and_the_last_are_told() {
        let (refused, start) = (RefusedVms::default(), Instant::now());
        for number in 0..=255 {
            let now = start + Duration::from_millis(number.into());
            refused.note(vm(number), "no".to_owned(), String::new(), now);
        }
        let found = refused.findings(start + Duration::from_secs(1));
        assert_eq!(found.len(), MOST);
        assert!(found.iter().any(|one| one.subject == Subject::Vm(vm(255))));
        assert!(found.iter().all(|one| one.subject != Subject::Vm(vm(0))));
    }
}

//! Who has a session, and that none of them holds a place without taking what is said.
//!
//! A VM has a few sessions only. One that does not read at all is cut off; while this gateway works on
//! what it was asked for, or waits for a hello, nobody is stuck.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use zonemesh_api::serve::{Caller, HangUp, Held};

use crate::facts::rate_limits::{LimitedCall, RefusedCalls, Slot, Slots};

/// Most sessions of one VM, and of all.
const SESSIONS: (usize, usize) = (16, 4096);
/// How often it is looked who is stuck.
const LOOK: Duration = Duration::from_secs(2);
/// A companion that takes nothing for so long is cut off: one that reads asks for more at each look.
const STUCK: Duration = Duration::from_secs(10);

/// All sessions that are open.
pub(super) struct OpenSessions {
    slots: Slots<IpAddr>,
    seats: Mutex<Vec<Weak<Seat>>>,
    refusals: Arc<RefusedCalls>,
}

/// The place of one session.
pub(super) struct Seat {
    vm: IpAddr,
    line: HangUp,
    /// When it was last ready to take something; none while it waits for this gateway.
    ready: Mutex<Option<Instant>>,
    _slot: Slot<IpAddr>,
    _held: Held,
}

impl OpenSessions {
    pub(super) fn new(refusals: Arc<RefusedCalls>) -> Self {
        let slots = Slots::new(SESSIONS.0, SESSIONS.1);
        Self { slots, seats: Mutex::default(), refusals }
    }

    /// A seat for one more session; `None` if its VM has too many.
    pub(super) fn sit(&self, caller: &Caller) -> Option<Arc<Seat>> {
        let vm = caller.address.ip().to_canonical();
        let Some(slot) = self.slots.enter(&vm) else {
            self.refusals.count(LimitedCall::VmSessions, &vm);
            return None;
        };
        let (line, ready) = (caller.line.clone(), Mutex::default());
        let held = line.hold();
        let seat = Arc::new(Seat { vm, line, ready, _slot: slot, _held: held });
        self.lock().push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// Cuts off whoever is stuck, until it is dropped.
    pub(super) async fn mind(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.cut_off(Instant::now());
        }
    }

    fn cut_off(&self, now: Instant) {
        self.lock().retain(|seat| {
            let Some(seat) = seat.upgrade() else { return false };
            let since = |ready| now.saturating_duration_since(ready);
            let stuck = seat.ready().is_some_and(|ready| since(ready) > STUCK);
            if stuck {
                self.refusals.count(LimitedCall::StuckSessions, &seat.vm);
                seat.line.hang_up();
            }
            !stuck
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It asks for more: there is room on the way. Without room nobody polls its session.
    pub(super) fn is_ready(&self) {
        *self.ready() = Some(Instant::now());
    }

    /// It waits for this gateway now.
    pub(super) fn waits(&self) {
        *self.ready() = None;
    }

    fn ready(&self) -> MutexGuard<'_, Option<Instant>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::invitation::ChannelBinding;

    use super::*;

    fn caller() -> Caller {
        let address = "10.10.10.5:40000".parse().unwrap();
        Caller {
            address,
            certificates: Arc::default(),
            line: HangUp::default(),
            binding: ChannelBinding([0; 32]),
        }
    }

    #[test]
    fn a_vm_has_a_few_sessions_and_who_does_not_read_loses_its_slot() {
        let sessions = OpenSessions::new(Arc::default());
        let mut seats: Vec<_> = (0..100).filter_map(|_| sessions.sit(&caller())).collect();
        assert_eq!(seats.len(), SESSIONS.0);
        let later = Instant::now() + STUCK + Duration::from_secs(1);
        sessions.cut_off(later);
        assert_eq!(sessions.lock().len(), SESSIONS.0, "who waits for this gateway is not stuck");
        seats.iter().for_each(|seat| seat.is_ready());
        seats[0].waits();
        sessions.cut_off(later);
        sessions.cut_off(later);
        let stuck = (SESSIONS.0 - 1) as u64;
        let counted = sessions.refusals.counters();
        assert_eq!(counted, [("vm_sessions", 84), ("stuck_sessions", stuck)]);
        seats.truncate(1);
        assert!(sessions.sit(&caller()).is_some());
        sessions.cut_off(Instant::now());
        assert_eq!(sessions.lock().len(), 1, "those that have gone are forgotten");
    }
}

//! A stream of views: a snapshot first, then each change.
//!
//! Nothing is queued: a slow watcher gets the newest view when it reads again. One that does not read
//! at all is cut off, and a VM has a few watchers only.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use tokio::sync::watch::Receiver;
use tonic::Status;
use zonemesh_api::serve::{Caller, HangUp};
use zonemesh_api::v1::FederationView;
use zonemesh_api::wire::local::FederationQuestion;
use zonemesh_core::name::FederationName;
use zonemesh_core::token::VmRole;

use super::LocalParts;
use super::authority::Denied;
use super::granted;
use super::view;
use crate::facts::keepalives::Heard;
use crate::facts::rate_limits::{LimitedCall, RefusedCalls, Slot, Slots};

/// How often reachability, which is no record, is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Most watchers of one VM, and of all.
const WATCHERS: (usize, usize) = (16, 4096);
/// A watcher that takes nothing for so long is cut off: one that reads asks for more at each look.
const STUCK: Duration = Duration::from_secs(10);

pub(super) type Views = Pin<Box<dyn Stream<Item = Result<FederationView, Status>> + Send>>;

/// All watchers that are connected.
pub(super) struct Watchers {
    slots: Slots<IpAddr>,
    seats: Mutex<Vec<Weak<Seat>>>,
    refusals: Arc<RefusedCalls>,
}

/// One watcher that is connected.
pub(super) struct Seat {
    vm: IpAddr,
    line: HangUp,
    /// When it was last ready to take something.
    ready: Mutex<Instant>,
    _slot: Slot<IpAddr>,
}

impl Watchers {
    pub(super) fn new(refusals: Arc<RefusedCalls>) -> Self {
        let slots = Slots::new(WATCHERS.0, WATCHERS.1);
        Self { slots, seats: Mutex::default(), refusals }
    }

    /// A seat for one more watcher; `None` if its VM has too many.
    pub(super) fn sit(&self, caller: &Caller) -> Option<Arc<Seat>> {
        let vm = caller.address.ip().to_canonical();
        let Some(slot) = self.slots.enter(&vm) else {
            self.refusals.count(LimitedCall::VmWatches, &vm);
            return None;
        };
        let (line, ready) = (caller.line.clone(), Mutex::new(Instant::now()));
        let seat = Arc::new(Seat { vm, line, ready, _slot: slot });
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
            let stuck = now.saturating_duration_since(*seat.ready()) > STUCK;
            if stuck {
                self.refusals.count(LimitedCall::StuckWatches, &seat.vm);
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
    fn ready(&self) -> MutexGuard<'_, Instant> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct FederationWatcher {
    parts: LocalParts,
    federation: FederationName,
    role: Option<VmRole>,
    revision: Receiver<u64>,
    sent: Option<FederationView>,
    seat: Arc<Seat>,
    /// What the companion has told of its keepalives, for as long as it watches.
    _heard: [Heard; 2],
}

/// The views of the federation that was asked for, as long as the zone may have a VM of this role in it.
pub(super) fn views(
    parts: LocalParts,
    asked: FederationQuestion,
    seat: Arc<Seat>,
    heard: [Heard; 2],
) -> Views {
    let (role, federation) = (asked.role(), asked.federation);
    let revision = parts.ledger.revision();
    let watcher =
        FederationWatcher { parts, federation, role, revision, sent: None, seat, _heard: heard };
    Box::pin(stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await? {
            Ok(view) => Some((Ok(view), Some(watcher))),
            Err(denied) => Some((Err(Status::permission_denied(denied.to_string())), None)),
        }
    }))
}

impl FederationWatcher {
    /// The next view that differs from the last one; `None` when the gateway stops.
    async fn next(&mut self) -> Option<Result<FederationView, Denied>> {
        loop {
            // Asked for more: there is room on the way. Without room nobody polls this.
            *self.seat.ready() = Instant::now();
            self.revision.mark_unchanged();
            if let Err(denied) = granted::check(&self.parts.ledger, self.role, &self.federation) {
                return Some(Err(denied));
            }
            let now = view::of(&self.parts, &self.federation);
            if self.sent.as_ref().is_none_or(|sent| !view::is_same(sent, &now)) {
                self.sent = Some(now.clone());
                return Some(Ok(now));
            }
            tokio::select! {
                changed = self.revision.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
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
    fn a_vm_has_a_few_watchers_and_who_does_not_read_loses_its_slot() {
        let watchers = Watchers::new(Arc::default());
        let mut seats: Vec<_> = (0..100).filter_map(|_| watchers.sit(&caller())).collect();
        assert_eq!(seats.len(), WATCHERS.0);
        let later = Instant::now() + STUCK + Duration::from_secs(1);
        *seats[0].ready() = later;
        watchers.cut_off(later);
        watchers.cut_off(later);
        let stuck = (WATCHERS.0 - 1) as u64;
        let counted = watchers.refusals.counters();
        assert_eq!(counted, [("vm_watches", 84), ("stuck_watches", stuck)]);
        seats.truncate(1);
        assert!(watchers.sit(&caller()).is_some());
        watchers.cut_off(Instant::now());
        assert_eq!(watchers.lock().len(), 1, "those that have gone are forgotten");
    }
}

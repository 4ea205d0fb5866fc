//! What is told to whom: who may ask, which federation is meant, and how long an answer may wait.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use zonemesh_api::wire::local::FederationAnswer;
use zonemesh_core::name::FederationName;

use super::question::{ViewPage, ViewQuestion};
use super::refusal::ViewRefusal;
use super::reply::ViewReply;
use super::shape::{ViewedFederation, ViewedGateway};
use crate::facts::rate_limits::{LimitedCall, Rate, RateLimiter, Slots};
use crate::serve::local_api::{LocalParts, VmPermissions, granted, view};

/// What one VM may ask for.
const READS: Rate = Rate { burst: 60.0, per_second: 10.0 };
/// Most questions that wait, of one VM and of all.
const WAITS: (usize, usize) = (4, 256);
/// How often what is no record is looked at: reachability, the zone's grant.
const LOOK: Duration = Duration::from_secs(2);

/// Where questions are answered.
pub(super) struct ViewDesk {
    parts: LocalParts,
    authority: Arc<VmPermissions>,
    reads: RateLimiter<IpAddr>,
    waits: Slots<IpAddr>,
}

impl ViewDesk {
    pub(super) fn new(parts: LocalParts, authority: Arc<VmPermissions>) -> Self {
        let (reads, waits) = (RateLimiter::new(READS), Slots::new(WAITS.0, WAITS.1));
        Self { parts, authority, reads, waits }
    }

    /// A connection may outlive what the configuration says of its caller.
    pub(super) fn may_ask(&self, vm: IpAddr) -> Result<(), ViewRefusal> {
        self.authority.may_read((vm, 0).into())?;
        if self.reads.allow(&vm, StdInstant::now()) {
            return Ok(());
        }
        self.parts.refusals.count(LimitedCall::ViewReads, &vm);
        Err(ViewRefusal::TooOften)
    }

    /// The answer to a question that came in at `here`.
    pub(super) async fn answer(
        &self,
        vm: IpAddr,
        here: SocketAddr,
        asked: &ViewQuestion,
    ) -> Result<ViewReply, ViewRefusal> {
        if asked.page == ViewPage::Index {
            let page = |name: &str| format!("http://{here}/{name}");
            let pages = json!({ "vm_info": page("vm"), "service_info": page("service") });
            return Ok(ViewReply::json(&pages));
        }
        let federation = self.meant(asked)?;
        let seen = self.seen(vm, &federation, asked).await?;
        let revision = seen.revision();
        let reply = match asked.page {
            ViewPage::Vm => match seen.vm() {
                Some(vm) => ViewReply::json(&vm),
                None => ViewReply::from(&ViewRefusal::NoSuperLink(federation)),
            },
            page => {
                let gateway = self.gateway(here.ip());
                ViewReply::json(&seen.service(&gateway, page == ViewPage::ExtendedService))
            }
        };
        Ok(reply.of_revision(revision))
    }

    /// The federation that was named, or the only one.
    fn meant(&self, asked: &ViewQuestion) -> Result<FederationName, ViewRefusal> {
        if let Some(named) = &asked.federation {
            return Ok(named.clone());
        }
        let mut known = granted::federations(&self.parts.ledger);
        match known.len() {
            0 => Err(ViewRefusal::NoFederation),
            1 => Ok(known.remove(0)),
            _ => Err(ViewRefusal::WhichFederation(known)),
        }
    }

    /// The federation as it is now, or as soon as it is not what the caller knows.
    async fn seen(
        &self,
        vm: IpAddr,
        federation: &FederationName,
        asked: &ViewQuestion,
    ) -> Result<ViewedFederation, ViewRefusal> {
        let look = || self.look(vm, federation);
        let Some(known) = asked.revision.as_ref().filter(|_| !asked.wait.is_zero()) else {
            return look();
        };
        let Some(_slot) = self.waits.enter(&vm) else {
            self.parts.refusals.count(LimitedCall::ViewWaits, &vm);
            return Err(ViewRefusal::TooManyWait);
        };
        let is_news = |seen: &Result<ViewedFederation, _>| match seen {
            Ok(seen) => seen.revision() != *known,
            Err(_) => true,
        };
        until_news(self.parts.ledger.revision(), Instant::now() + asked.wait, look, is_news).await
    }

    fn look(
        &self,
        vm: IpAddr,
        federation: &FederationName,
    ) -> Result<ViewedFederation, ViewRefusal> {
        self.authority.may_read((vm, 0).into())?;
        let ledger = &self.parts.ledger;
        granted::check(ledger, None, federation).map_err(|denied| {
            match granted::is_known(ledger, federation) {
                true => ViewRefusal::Denied(denied),
                false => ViewRefusal::UnknownFederation(granted::federations(ledger)),
            }
        })?;
        let seen = FederationAnswer::try_from(view::of(&self.parts, federation, None))?;
        Ok(ViewedFederation::of(seen))
    }

    fn gateway(&self, address: IpAddr) -> ViewedGateway {
        let config = self.parts.config.now();
        let (name, zone) = (config.gateway.name.clone(), config.zone.name.clone());
        ViewedGateway { name, zone, address }
    }
}

/// Looks until it is news, at each change and once in a while, and gives the last look at the end.
async fn until_news<T>(
    mut changes: Receiver<u64>,
    end: Instant,
    look: impl Fn() -> T,
    is_news: impl Fn(&T) -> bool,
) -> T {
    loop {
        changes.mark_unchanged();
        let (seen, now) = (look(), Instant::now());
        if is_news(&seen) || now >= end {
            return seen;
        }
        tokio::select! {
            () = sleep_until(end.min(now + LOOK)) => {}
            changed = changes.changed() => match changed {
                Ok(()) => {}
                // The gateway stops.
                Err(_closed) => return seen,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn news_end_a_wait_at_once_and_without_any_it_ends_in_time() {
        let (sender, receiver) = watch::channel(0);
        let (begun, state) = (Instant::now(), AtomicU64::new(7));
        let look = || state.load(Ordering::Relaxed);
        let wait = |known: u64, wait: Duration| {
            let end = Instant::now() + wait;
            until_news(receiver.clone(), end, look, move |seen| *seen != known)
        };
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(300));
        assert_eq!(wait(6, long).await, 7, "what is other already");
        let change = async {
            tokio::time::sleep(short).await;
            state.store(8, Ordering::Relaxed);
            sender.send_replace(1);
        };
        let (seen, ()) = tokio::join!(wait(7, long), change);
        assert_eq!(seen, 8);
        assert!(begun.elapsed() < LOOK, "it was told, and looked at once");
        let again = Instant::now();
        assert_eq!(wait(8, short).await, 8);
        assert!(again.elapsed() >= short && again.elapsed() < LOOK, "{:?}", again.elapsed());
    }

    #[tokio::test]
    async fn what_is_no_record_is_noticed_at_the_next_look() {
        let (_sender, receiver) = watch::channel(0);
        let (begun, state) = (Instant::now(), AtomicU64::new(7));
        let change = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            state.store(8, Ordering::Relaxed);
        };
        let (look, end) = (|| state.load(Ordering::Relaxed), begun + Duration::from_secs(60));
        let waited = until_news(receiver, end, look, |seen| *seen != 7);
        let (seen, ()) = tokio::join!(waited, change);
        assert_eq!(seen, 8);
        assert!(begun.elapsed() >= LOOK && begun.elapsed() < 2 * LOOK, "{:?}", begun.elapsed());
    }
}

//! A stream of views: a snapshot first, then each change.
//!
//! Nothing is queued: a slow watcher gets the newest view when it reads again.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch::Receiver;
use tonic::Status;
use zonemesh_api::v1::FederationView;
use zonemesh_core::name::FederationName;

use super::view;
use crate::observer::Observer;

/// How often reachability, which is no record, is looked at.
const LOOK: Duration = Duration::from_secs(2);

pub(super) type Views = Pin<Box<dyn Stream<Item = Result<FederationView, Status>> + Send>>;

struct Watcher {
    observer: Observer,
    federation: FederationName,
    revision: Receiver<u64>,
    sent: Option<FederationView>,
}

pub(super) fn views(observer: Observer, federation: FederationName) -> Views {
    let revision = observer.ledger.revision();
    let watcher = Watcher { observer, federation, revision, sent: None };
    Box::pin(stream::unfold(watcher, |mut watcher| async move {
        let view = watcher.next().await?;
        Some((Ok(view), watcher))
    }))
}

impl Watcher {
    /// The next view that differs from the last one; `None` when the gateway stops.
    async fn next(&mut self) -> Option<FederationView> {
        loop {
            self.revision.mark_unchanged();
            let now = view::of(&self.observer, &self.federation);
            if self.sent.as_ref().is_none_or(|sent| !view::is_same(sent, &now)) {
                self.sent = Some(now.clone());
                return Some(now);
            }
            tokio::select! {
                changed = self.revision.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

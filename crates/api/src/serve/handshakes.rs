//! The TLS handshakes that run.
//!
//! Promises: a new caller always gets one. When there are too many, the oldest of the caller that has
//! most is ended: whoever means it is through long before, and whoever holds places with silence
//! loses them. Refuses to know who may call (`super::Door`).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::task::{AbortHandle, Id, JoinSet};

use super::Connection;

/// What has come of a handshake.
pub(super) type Handshake = (SocketAddr, io::Result<Connection>);

/// A handshake that runs.
struct RunningHandshake {
    caller: IpAddr,
    began: u64,
    task: AbortHandle,
}

/// All that run, at most `most`.
pub(super) struct Handshakes {
    most: usize,
    tasks: JoinSet<Handshake>,
    running: BTreeMap<Id, RunningHandshake>,
    begun: u64,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), running: BTreeMap::new(), begun: 0 }
    }

    /// Begins another one. Returns whose was ended for it, if one was.
    pub(super) fn begin(
        &mut self,
        caller: IpAddr,
        handshake: impl Future<Output = Handshake> + Send + 'static,
    ) -> Option<IpAddr> {
        let ended = (self.running.len() >= self.most).then(|| self.end_one()).flatten();
        let task = self.tasks.spawn(handshake);
        self.begun += 1;
        self.running.insert(task.id(), RunningHandshake { caller, began: self.begun, task });
        ended
    }

    fn end_one(&mut self) -> Option<IpAddr> {
        let mut of_each = BTreeMap::new();
        for one in self.running.values() {
            *of_each.entry(one.caller).or_insert(0_usize) += 1;
        }
        let worth = |(_, one): &(&Id, &RunningHandshake)| {
            (std::cmp::Reverse(of_each.get(&one.caller).copied()), one.began)
        };
        let id = *self.running.iter().min_by_key(worth)?.0;
        let ended = self.running.remove(&id)?;
        ended.task.abort();
        Some(ended.caller)
    }

    /// What has come of the next one that is over; `None` while none runs.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Handshake>> {
        loop {
            match std::task::ready!(self.tasks.poll_join_next_with_id(cx)) {
                None => return Poll::Ready(None),
                Some(Ok((id, done))) => {
                    self.running.remove(&id);
                    return Poll::Ready(Some(done));
                }
                Some(Err(error)) => {
                    self.running.remove(&error.id());
                    if error.is_panic() {
                        tracing::warn!(%error, "a TLS handshake has panicked");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 10, 10, last].into()
    }

    #[tokio::test]
    async fn when_there_are_too_many_the_oldest_of_the_fullest_caller_goes() {
        let mut handshakes = Handshakes::new(4);
        let ended: Vec<_> = [5, 6, 6, 7, 8, 9, 10]
            .map(|last| handshakes.begin(ip(last), std::future::pending()))
            .to_vec();
        // Of 6 first, as it has two; then the oldest of all.
        assert_eq!(ended, [None, None, None, None, Some(ip(6)), Some(ip(5)), Some(ip(6))]);
        assert_eq!(handshakes.running.len(), 4);
    }

    #[tokio::test]
    async fn those_that_were_ended_are_passed_over_and_room_is_given_back() {
        let mut handshakes = Handshakes::new(1);
        handshakes.begin(ip(5), std::future::pending());
        let from = SocketAddr::new(ip(6), 1);
        let failed = async move { (from, Err(io::ErrorKind::TimedOut.into())) };
        assert_eq!(handshakes.begin(ip(6), failed), Some(ip(5)));
        let next = std::future::poll_fn(|cx| handshakes.poll_next(cx)).await;
        assert_eq!(next.map(|(address, _)| address), Some(from));
        assert!(std::future::poll_fn(|cx| handshakes.poll_next(cx)).await.is_none());
        assert!(handshakes.running.is_empty());
    }
}

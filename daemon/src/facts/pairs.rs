//! What both ends of a tunnel have counted of it, as far as the other end was asked.
//!
//! The other end is asked when a stream to it opens, and again whenever somebody wants to know: what
//! was counted between the two can be compared, whichever gateway counts since when. Who asks and
//! answers is the streams'.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::replication::TunnelCounters;
use zonemesh_core::time::UnixMillis;

/// Questions that may wait for a stream.
const QUESTIONS: usize = 64;

/// Both ends at one moment, but for the time that the answer took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BothEnds {
    pub(crate) at: UnixMillis,
    pub(crate) ours: TunnelCounters,
    pub(crate) theirs: TunnelCounters,
}

/// The first and the last answer since a stream to that gateway has been open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComparedEnds {
    pub(crate) first: BothEnds,
    pub(crate) last: BothEnds,
}

/// The answers of all neighbours.
pub(crate) struct PairBoard {
    compared: Mutex<BTreeMap<GatewayId, ComparedEnds>>,
    questions: broadcast::Sender<GatewayId>,
    answered: Notify,
}

impl Default for PairBoard {
    fn default() -> Self {
        Self {
            compared: Mutex::default(),
            questions: broadcast::Sender::new(QUESTIONS),
            answered: Notify::new(),
        }
    }
}

impl PairBoard {
    /// The gateways that somebody asks for, from now on.
    pub(crate) fn questions(&self) -> broadcast::Receiver<GatewayId> {
        self.questions.subscribe()
    }

    /// Takes an answer of `gateway`.
    pub(crate) fn heard(&self, gateway: &GatewayId, ends: BothEnds) {
        let mut compared = self.lock();
        match compared.get_mut(gateway) {
            // One end counts anew: it was started again, or the tunnel was made anew.
            Some(known) if !known.first.is_before(&ends) => {
                *known = ComparedEnds { first: ends.clone(), last: ends };
            }
            Some(known) => known.last = ends,
            None => {
                let first = ComparedEnds { first: ends.clone(), last: ends };
                compared.insert(gateway.clone(), first);
            }
        }
        drop(compared);
        self.answered.notify_waiters();
    }

    /// The last stream to `gateway` has ended: what it said can be compared no more.
    pub(crate) fn forget(&self, gateway: &GatewayId) {
        self.lock().remove(gateway);
    }

    /// Asks `gateway` anew, over a stream that is open. `None` if it does not answer in time.
    pub(crate) async fn ask(
        &self,
        gateway: &GatewayId,
        patience: Duration,
    ) -> Option<ComparedEnds> {
        let (before, end) = (self.lock().get(gateway).cloned(), Instant::now() + patience);
        // Nobody listens if no stream is open.
        let _listeners = self.questions.send(gateway.clone()).ok()?;
        loop {
            let answered = self.answered.notified();
            let now = self.lock().get(gateway).cloned();
            if now.is_some() && now != before {
                return now;
            }
            tokio::time::timeout_at(end, answered).await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GatewayId, ComparedEnds>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BothEnds {
    /// True if all that is counted at `later` is no less than here.
    fn is_before(&self, later: &Self) -> bool {
        let grows = |a: &TunnelCounters, b: &TunnelCounters| {
            a.rx_bytes <= b.rx_bytes && a.tx_bytes <= b.tx_bytes
        };
        grows(&self.ours, &later.ours) && grows(&self.theirs, &later.theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(at: u64, ours: (u64, u64), theirs: (u64, u64)) -> BothEnds {
        let counters = |(rx_bytes, tx_bytes)| TunnelCounters {
            rx_bytes,
            tx_bytes,
            ..TunnelCounters::default()
        };
        BothEnds { at: UnixMillis(at), ours: counters(ours), theirs: counters(theirs) }
    }

    #[tokio::test]
    async fn two_answers_are_compared_until_an_end_counts_anew() {
        let board = PairBoard::default();
        let madrid: GatewayId = "madrid/gw1".parse().unwrap();
        assert_eq!(board.ask(&madrid, Duration::from_secs(9)).await, None, "nobody listens");
        let mut questions = board.questions();
        board.heard(&madrid, ends(1, (10, 20), (500, 900)));
        let asking = board.ask(&madrid, Duration::from_secs(9));
        let answering = async {
            assert_eq!(questions.recv().await.unwrap(), madrid);
            board.heard(&madrid, ends(2, (15, 30), (510, 905)));
        };
        let (compared, ()) = tokio::join!(asking, answering);
        let compared = compared.unwrap();
        assert_eq!((compared.first.at.0, compared.last.at.0), (1, 2));
        board.heard(&madrid, ends(3, (16, 31), (1, 2)));
        let known = board.lock().get(&madrid).cloned().unwrap();
        assert_eq!((known.first.at.0, known.last.at.0), (3, 3), "madrid was started again");
        let silent = board.ask(&madrid, Duration::from_millis(20)).await;
        assert_eq!(silent, None, "no answer");
    }
}

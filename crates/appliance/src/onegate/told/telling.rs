//! When OneGate is told which value, and when it is looked whether that still stands. Pure.
//!
//! It promises that what failed is tried again for ever, less and less often, that a new value
//! comes at once and instead of the old one, and that one which was heard is looked after. It
//! refuses to know how somebody is told.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// Before the first new try, at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Before a later one, at most.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// How soon it is looked again whether it stands: any VM of a service may write the attributes of
/// another, and so may people.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is to be done at OneGate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeErrand {
    /// Set it to this.
    Tell(String),
    /// Erase it.
    Erase,
    /// See what it says. An erasure begins so: there is mostly nothing to erase.
    Look,
}

/// What is wanted, what was heard, what comes next.
pub(super) struct AttributeTelling {
    wanted: Option<String>,
    was_heard: bool,
    errand: AttributeErrand,
    due: Instant,
    backoff: Backoff,
    looks: Backoff,
}

impl AttributeTelling {
    /// A program that has just begun says nothing, whatever was told before.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            wanted: None,
            was_heard: false,
            errand: AttributeErrand::Look,
            due: now,
            backoff: Backoff::new(FIRST_WAIT, LAST_WAIT),
            looks: Backoff::new(LOOK_EVERY, LOOK_EVERY),
        }
    }

    pub(super) fn errand(&self) -> AttributeErrand {
        self.errand.clone()
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// This value is to stand there, or none.
    pub(super) fn want(&mut self, wanted: Option<String>, now: Instant) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.was_heard = false;
            self.errand = self.wanted.clone().map_or(AttributeErrand::Look, AttributeErrand::Tell);
            self.due = now;
        }
    }

    /// OneGate took what it was told.
    pub(super) fn heard(&mut self, now: Instant) {
        self.was_heard = true;
        self.errand = AttributeErrand::Look;
        self.due = now + self.looks.wait();
        self.backoff.reset();
    }

    /// What stands there.
    pub(super) fn saw(&mut self, there: Option<&str>, now: Instant) {
        if there == self.wanted.as_deref() {
            return self.heard(now);
        }
        self.write(now);
    }

    /// This OneGate does not let anybody look.
    pub(super) fn blind(&mut self, now: Instant) {
        if self.was_heard { self.heard(now) } else { self.write(now) }
    }

    /// The errand came to nothing.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = now + self.backoff.wait();
    }

    /// Others that write there may not be written against without a pause.
    fn write(&mut self, now: Instant) {
        self.errand = self.wanted.clone().map_or(AttributeErrand::Erase, AttributeErrand::Tell);
        self.due = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onegate::YES;

    const SECOND: Duration = Duration::from_secs(1);

    /// A OneGate with one attribute, which can be broken, and what it was asked.
    #[derive(Default)]
    struct PlayedAttribute {
        ready: Option<String>,
        is_broken: bool,
        is_forbidden: bool,
        asked: Vec<AttributeErrand>,
    }

    struct Play {
        telling: AttributeTelling,
        onegate: PlayedAttribute,
        now: Instant,
    }

    impl Play {
        fn begin(ready: Option<&'static str>) -> Self {
            let now = Instant::now();
            let onegate =
                PlayedAttribute { ready: ready.map(str::to_owned), ..PlayedAttribute::default() };
            Self { telling: AttributeTelling::new(now), onegate, now }
        }

        /// Time goes on; whatever is due is done.
        fn pass(&mut self, time: Duration) {
            let until = self.now + time;
            while self.telling.due() <= until {
                self.now = self.now.max(self.telling.due());
                self.errand();
            }
            self.now = until;
        }

        fn errand(&mut self) {
            let (errand, now) = (self.telling.errand(), self.now);
            self.onegate.asked.push(errand.clone());
            match errand {
                _ if self.onegate.is_broken => return self.telling.failed(now),
                AttributeErrand::Look if self.onegate.is_forbidden => {
                    return self.telling.blind(now);
                }
                AttributeErrand::Look => {
                    return self.telling.saw(self.onegate.ready.as_deref(), now);
                }
                AttributeErrand::Tell(value) => self.onegate.ready = Some(value),
                AttributeErrand::Erase => self.onegate.ready = None,
            }
            self.telling.heard(now);
        }

        fn want(&mut self, is_wanted: bool) {
            self.telling.want(is_wanted.then(|| YES.to_owned()), self.now);
        }
    }

    #[test]
    fn ready_is_told_through_hours_of_500_and_again_when_it_is_lost() {
        let mut play = Play::begin(None);
        play.onegate.is_broken = true;
        play.want(true);
        play.pass(5 * 3600 * SECOND);
        let tries = play.onegate.asked.len();
        assert!((290..=700).contains(&tries), "{tries} tries in five hours");
        assert!(
            play.onegate.asked[1..]
                .iter()
                .all(|errand| *errand == AttributeErrand::Tell(YES.to_owned()))
        );
        play.onegate.is_broken = false;
        play.pass(LAST_WAIT);
        assert_eq!(play.onegate.ready.as_deref(), Some(YES));
        for lost in [None, Some("NO")] {
            play.onegate.ready = lost.map(str::to_owned);
            play.pass(LOOK_EVERY + SECOND);
            assert_eq!(play.onegate.ready.as_deref(), Some(YES), "{lost:?}");
        }
        // Where it stands it is looked at and not written.
        play.onegate.asked.clear();
        play.pass(10 * LOOK_EVERY);
        assert!(play.onegate.asked.iter().all(|errand| *errand == AttributeErrand::Look));
        assert!(play.onegate.asked.len() <= 21, "{}", play.onegate.asked.len());
    }

    #[test]
    fn a_ready_of_an_earlier_boot_is_erased_at_once() {
        let mut play = Play::begin(Some("YES"));
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.ready, None);
        assert_eq!(play.onegate.asked, [AttributeErrand::Look, AttributeErrand::Erase]);
        let mut fresh = Play::begin(None);
        fresh.pass(Duration::ZERO);
        assert_eq!(fresh.onegate.asked, [AttributeErrand::Look], "there is nothing to erase");
    }

    #[test]
    fn the_newest_value_is_told_at_once_and_no_older_one() {
        let mut play = Play::begin(None);
        play.onegate.is_broken = true;
        play.want(true);
        play.pass(3600 * SECOND);
        play.want(false);
        play.onegate.is_broken = false;
        play.pass(Duration::ZERO);
        assert_eq!(
            (play.onegate.asked.last(), play.onegate.ready.as_deref()),
            (Some(&AttributeErrand::Look), None)
        );
        play.want(true);
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.ready.as_deref(), Some(YES));
        play.want(false);
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.ready, None);
    }

    #[test]
    fn where_onegate_lets_nobody_look_it_is_told_all_the_same() {
        let mut play = Play::begin(Some("YES"));
        play.onegate.is_forbidden = true;
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.ready, None);
        play.want(true);
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.ready.as_deref(), Some(YES));
        play.onegate.asked.clear();
        play.pass(5 * LOOK_EVERY);
        assert!(play.onegate.asked.iter().all(|errand| *errand == AttributeErrand::Look));
    }

    #[test]
    fn another_value_replaces_one_that_was_heard() {
        let mut play = Play::begin(None);
        for value in ["MTAuMTAuMTAuMTo1MTgyMg==", "MTAuMTAuMTAuMjo1MTgyMg=="] {
            play.telling.want(Some(value.to_owned()), play.now);
            play.pass(Duration::ZERO);
            assert_eq!(play.onegate.ready.as_deref(), Some(value));
        }
    }
}

//! When OneGate is told which values, and when it is looked whether they still stand. Pure.
//!
//! It promises that what failed is tried again for ever, less and less often, that a new value
//! comes at once and instead of the old one, and that one which was heard is looked after. It
//! refuses to know how somebody is told.

use std::collections::BTreeMap;
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

/// What is to stand in OneGate of this VM, by name.
pub type WantedAttributes = BTreeMap<&'static str, String>;

/// What is to be done at OneGate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeErrand {
    /// Set it to this.
    Tell {
        /// Of which attribute.
        name: &'static str,
        /// The new value.
        value: String,
    },
    /// Erase it.
    Erase {
        /// Which.
        name: &'static str,
    },
    /// See what stands there. An erasure begins so: there is mostly nothing to erase.
    Look,
}

/// What is wanted, what stands there as far as is known, what comes next.
pub(super) struct AttributeTelling {
    /// In the order in which they are told; they are erased from the last to the first.
    names: &'static [&'static str],
    wanted: WantedAttributes,
    /// Those of which it is known, with nothing for one that is not there.
    known: BTreeMap<&'static str, Option<String>>,
    /// This OneGate lets nobody look.
    is_blind: bool,
    due: Instant,
    backoff: Backoff,
    looks: Backoff,
}

impl AttributeTelling {
    /// A program that has just begun says nothing, whatever was told before.
    pub(super) const fn new(names: &'static [&'static str], now: Instant) -> Self {
        Self {
            names,
            wanted: BTreeMap::new(),
            known: BTreeMap::new(),
            is_blind: false,
            due: now,
            backoff: Backoff::new(FIRST_WAIT, LAST_WAIT),
            looks: Backoff::new(LOOK_EVERY, LOOK_EVERY),
        }
    }

    pub(super) fn errand(&self) -> AttributeErrand {
        self.change().unwrap_or(AttributeErrand::Look)
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// These are to stand there, and no others of the names.
    pub(super) fn want(&mut self, wanted: WantedAttributes, now: Instant) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.due = now;
        }
    }

    /// OneGate took it: this stands there now, or nothing.
    pub(super) fn heard(&mut self, name: &'static str, value: Option<String>, now: Instant) {
        self.known.insert(name, value);
        self.go_on(now);
    }

    /// What stands there.
    pub(super) fn saw(&mut self, there: impl Fn(&str) -> Option<String>, now: Instant) {
        self.is_blind = false;
        self.known = self.names.iter().map(|name| (*name, there(name))).collect();
        self.go_on(now);
    }

    /// This OneGate does not let anybody look.
    pub(super) fn blind(&mut self, now: Instant) {
        self.is_blind = true;
        self.go_on(now);
    }

    /// The errand came to nothing, or its answer was lost: what stands there is not known any more.
    pub(super) fn failed(&mut self, errand: &AttributeErrand, now: Instant) {
        if let AttributeErrand::Tell { name, .. } | AttributeErrand::Erase { name } = errand {
            self.known.remove(name);
        }
        self.due = now + self.backoff.wait();
    }

    /// What is next comes at once; where all stands as it should, it is looked again later.
    fn go_on(&mut self, now: Instant) {
        self.backoff.reset();
        self.due = if self.change().is_some() { now } else { now + self.looks.wait() };
    }

    /// What is to be changed first, or has to be seen for it.
    fn change(&self) -> Option<AttributeErrand> {
        let unwanted = self.names.iter().rev().filter(|name| !self.wanted.contains_key(*name));
        let mut erased = unwanted.filter_map(|name| match self.known.get(name) {
            None if !self.is_blind => Some(AttributeErrand::Look),
            None | Some(Some(_)) => Some(AttributeErrand::Erase { name }),
            Some(None) => None,
        });
        let told = self.names.iter().filter_map(|name| {
            let value = self.wanted.get(name)?;
            let stands = self.known.get(name).and_then(Option::as_ref) == Some(value);
            (!stands).then(|| AttributeErrand::Tell { name, value: value.clone() })
        });
        erased.next().or_else(|| told.into_iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onegate::{READY, YES};

    const SECOND: Duration = Duration::from_secs(1);
    const ROLE: &str = "FL_ROLE";
    const NAMES: &[&str] = &[ROLE, READY];

    /// A OneGate that can be broken, and what it was asked.
    #[derive(Default)]
    struct PlayedOneGate {
        attributes: BTreeMap<&'static str, String>,
        is_broken: bool,
        loses_answers: bool,
        is_forbidden: bool,
        asked: Vec<AttributeErrand>,
    }

    struct Play {
        telling: AttributeTelling,
        onegate: PlayedOneGate,
        now: Instant,
    }

    fn tell(name: &'static str, value: &str) -> AttributeErrand {
        AttributeErrand::Tell { name, value: value.to_owned() }
    }

    impl Play {
        fn begin(ready: Option<&str>) -> Self {
            let now = Instant::now();
            let attributes = ready.map(|value| (READY, value.to_owned())).into_iter().collect();
            let onegate = PlayedOneGate { attributes, ..PlayedOneGate::default() };
            Self { telling: AttributeTelling::new(NAMES, now), onegate, now }
        }

        fn ready(&self) -> Option<&str> {
            self.onegate.attributes.get(READY).map(String::as_str)
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
            if self.onegate.is_broken {
                return self.telling.failed(&errand, now);
            }
            let (name, value) = match errand.clone() {
                AttributeErrand::Look if self.onegate.is_forbidden => {
                    return self.telling.blind(now);
                }
                AttributeErrand::Look => {
                    let there = self.onegate.attributes.clone();
                    return self.telling.saw(|name| there.get(name).cloned(), now);
                }
                AttributeErrand::Tell { name, value } => {
                    self.onegate.attributes.insert(name, value.clone());
                    (name, Some(value))
                }
                AttributeErrand::Erase { name } => {
                    self.onegate.attributes.remove(name);
                    (name, None)
                }
            };
            if self.onegate.loses_answers {
                return self.telling.failed(&errand, now);
            }
            self.telling.heard(name, value, now);
        }

        fn want(&mut self, is_ready: bool) {
            let mut wanted = WantedAttributes::from([(ROLE, "superlink".to_owned())]);
            wanted.extend(is_ready.then(|| (READY, YES.to_owned())));
            self.telling.want(wanted, self.now);
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
        play.onegate.is_broken = false;
        play.pass(LAST_WAIT);
        assert_eq!(play.ready(), Some(YES));
        for lost in [None, Some("NO")] {
            play.onegate.attributes.remove(READY);
            play.onegate.attributes.extend(lost.map(|value| (READY, value.to_owned())));
            play.pass(LOOK_EVERY + SECOND);
            assert_eq!(play.ready(), Some(YES), "{lost:?}");
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
        assert_eq!(play.ready(), None);
        let erase = AttributeErrand::Erase { name: READY };
        assert_eq!(play.onegate.asked, [AttributeErrand::Look, erase]);
        let mut fresh = Play::begin(None);
        fresh.pass(Duration::ZERO);
        assert_eq!(fresh.onegate.asked, [AttributeErrand::Look], "there is nothing to erase");
    }

    #[test]
    fn ready_is_the_last_to_come_and_the_first_to_go() {
        let mut play = Play::begin(None);
        play.want(true);
        play.pass(Duration::ZERO);
        assert_eq!(play.onegate.asked, [tell(ROLE, "superlink"), tell(READY, YES)]);
        play.onegate.asked.clear();
        play.telling.want(WantedAttributes::new(), play.now);
        play.pass(Duration::ZERO);
        let erased = [READY, ROLE].map(|name| AttributeErrand::Erase { name });
        assert_eq!(play.onegate.asked, erased);
    }

    #[test]
    fn a_ready_whose_answer_was_lost_is_erased_all_the_same() {
        let mut play = Play::begin(None);
        play.want(false);
        play.pass(SECOND);
        play.onegate.loses_answers = true;
        play.want(true);
        play.pass(Duration::ZERO);
        play.onegate.loses_answers = false;
        assert_eq!(play.ready(), Some(YES), "it has come there");
        play.want(false);
        play.pass(Duration::ZERO);
        assert_eq!(play.ready(), None);
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
        assert_eq!(play.ready(), None);
        play.want(true);
        play.pass(Duration::ZERO);
        assert_eq!(play.ready(), Some(YES));
        play.want(false);
        play.pass(Duration::ZERO);
        assert_eq!(play.ready(), None);
        for value in ["MTAuMTAuMTAuMTo1MTgyMg==", "MTAuMTAuMTAuMjo1MTgyMg=="] {
            play.telling.want([(ROLE, value.to_owned())].into(), play.now);
            play.pass(Duration::ZERO);
            assert_eq!(play.onegate.attributes[ROLE], value);
        }
    }

    #[test]
    fn where_onegate_lets_nobody_look_it_is_told_all_the_same() {
        let mut play = Play::begin(Some("YES"));
        play.onegate.is_forbidden = true;
        play.pass(Duration::ZERO);
        assert_eq!(play.ready(), None);
        play.want(true);
        play.pass(Duration::ZERO);
        assert_eq!(play.ready(), Some(YES));
        play.onegate.asked.clear();
        play.pass(5 * LOOK_EVERY);
        assert!(play.onegate.asked.iter().all(|errand| *errand == AttributeErrand::Look));
    }
}

//! How often each power of the attacker and each rule against it was used.

use std::cell::RefCell;
use std::fmt;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    ForgedSet,
    ForgedGrant,
    ForgedRevocation,
    ForgedPage,
    HalfSigned,
    Replayed,
    Dropped,
    StolenKey,
    StolenOwner,
    Restarted,
    Torn,
    OldBackup,
    Joined,
    Forked,
    Pinned,
}

/// What the rules said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    SetFollowed,
    SetRefused,
    SetAwaited,
    SetLate,
    GrantInForce,
    GrantVoid,
    GrantNotListed,
    RevocationInForce,
    RevocationVoid,
    RevocationOvertaken,
    Merged,
    Overlap,
    SameSerial,
    Healed,
}

const POWERS: [Power; 15] = [
    Power::ForgedSet,
    Power::ForgedGrant,
    Power::ForgedRevocation,
    Power::ForgedPage,
    Power::HalfSigned,
    Power::Replayed,
    Power::Dropped,
    Power::StolenKey,
    Power::StolenOwner,
    Power::Restarted,
    Power::Torn,
    Power::OldBackup,
    Power::Joined,
    Power::Forked,
    Power::Pinned,
];

const RULES: [Rule; 14] = [
    Rule::SetFollowed,
    Rule::SetRefused,
    Rule::SetAwaited,
    Rule::SetLate,
    Rule::GrantInForce,
    Rule::GrantVoid,
    Rule::GrantNotListed,
    Rule::RevocationInForce,
    Rule::RevocationVoid,
    Rule::RevocationOvertaken,
    Rule::Merged,
    Rule::Overlap,
    Rule::SameSerial,
    Rule::Healed,
];

/// Counts, by name.
#[derive(Default)]
pub(crate) struct Tally {
    powers: RefCell<[u64; POWERS.len()]>,
    rules: RefCell<[u64; RULES.len()]>,
}

impl Tally {
    pub(crate) fn power(&self, power: Power) {
        self.powers.borrow_mut()[power as usize] += 1;
    }

    pub(crate) fn rule(&self, rule: Rule) {
        self.rules.borrow_mut()[rule as usize] += 1;
    }

    pub(crate) fn of(&self, power: Power) -> u64 {
        self.powers.borrow()[power as usize]
    }

    fn all(&self) -> Vec<(String, u64)> {
        let powers = POWERS.iter().zip(*self.powers.borrow()).map(|(p, n)| (format!("{p:?}"), n));
        let rules = RULES.iter().zip(*self.rules.borrow()).map(|(r, n)| (format!("{r:?}"), n));
        powers.chain(rules).collect()
    }

    /// Those that were used less often.
    pub(crate) fn below(&self, least: u64) -> Vec<String> {
        self.all().into_iter().filter(|(_, n)| *n < least).map(|(name, _)| name).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().iter().try_for_each(|(name, count)| writeln!(f, "{name:>20} {count}"))
    }
}

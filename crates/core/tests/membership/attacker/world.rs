//! The world of a history: gateways, keys, who holds which, and what was honestly said.

use std::collections::{BTreeMap, BTreeSet};

use zonemesh_core::membership::{
    AuthorityIdentity, AuthorityPublicKey, AuthoritySet, ContentId, Membership, SetHash,
    SignedTrustItem, TrustAccepted, TrustItem, TrustRejected,
};

use super::Act;
use super::count::{Power, Rule, Tally};
use super::gateway::Node;
use crate::mesh::{NOW, authority, owner};

pub(crate) struct World<'a> {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tally: &'a Tally,
    /// Sets that the owners have made, the newest last.
    pub(crate) sets: Vec<(SetHash, AuthoritySet)>,
    /// What must be here when each of them is followed.
    pub(crate) lists: BTreeMap<SetHash, Vec<ContentId>>,
    /// The file of the newest one, with all that it lists.
    pub(crate) file: Vec<SignedTrustItem>,
    /// Grants and revocations that operators have made.
    pub(crate) honest: BTreeSet<ContentId>,
    /// Numbers of the signing keys and owner keys that the attacker has.
    pub(crate) stolen: BTreeSet<u8>,
    pub(crate) stolen_owners: BTreeSet<u8>,
    /// Numbers of the keys in force.
    pub(crate) keys: BTreeSet<u8>,
    pub(crate) owners: BTreeSet<u8>,
    /// Two children of one set were signed.
    pub(crate) is_forked: bool,
    /// Everything that was ever said.
    pub(crate) said: Vec<SignedTrustItem>,
    pub(crate) next_key: u8,
}

/// The attacker's own keys lie beyond those of the operators.
pub(crate) const THIEF: u8 = 50;

impl<'a> World<'a> {
    /// One or three owners, one to three signing keys of which one or two must sign.
    pub(crate) fn found(founding: u8, tally: &'a Tally) -> Self {
        let owners: BTreeSet<u8> = (0..if founding & 1 == 0 { 1 } else { 3 }).collect();
        let keys: BTreeSet<u8> = (0..1 + (founding >> 1) % 3).collect();
        let threshold = if keys.len() > 1 { 1 + u32::from(founding >> 3 & 1) } else { 1 };
        let public = |numbers: &BTreeSet<u8>, make: fn(u8) -> AuthorityIdentity| {
            numbers.iter().map(|number| make(*number).public_key()).collect::<BTreeSet<_>>()
        };
        let set = Membership::draft_first(
            public(&owners, owner),
            public(&keys, authority),
            threshold,
            NOW,
        );
        let set = set.unwrap();
        let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set.clone()));
        let membership = Membership::new(first.clone()).unwrap();
        Self {
            nodes: (0..3).map(|_| Node::new(membership.clone())).collect(),
            tally,
            sets: vec![(first.payload_hash(), set)],
            lists: BTreeMap::new(),
            file: Vec::new(),
            honest: BTreeSet::new(),
            stolen: BTreeSet::new(),
            stolen_owners: BTreeSet::new(),
            next_key: u8::try_from(keys.len().max(owners.len())).unwrap(),
            keys,
            owners,
            is_forked: false,
            said: vec![first],
        }
    }

    /// The newest set that the owners have made.
    pub(crate) fn tip(&self) -> SetHash {
        self.sets[self.sets.len() - 1].0
    }

    /// Public keys that the attacker can sign grants and revocations with.
    pub(crate) fn stolen_keys(&self) -> BTreeSet<AuthorityPublicKey> {
        let own = authority(THIEF).public_key();
        self.stolen.iter().map(|number| authority(*number).public_key()).chain([own]).collect()
    }

    pub(crate) fn play(&mut self, act: Act) {
        match act {
            Act::Grant { node, zone, key, prefix } => self.grant(node.into(), zone, key, prefix),
            Act::Revoke { node, zone } => self.revoke(node.into(), zone),
            Act::Change { node, how } => self.change(node.into(), how),
            Act::Fork { node, other } => self.fork(node.into(), usize::from(other)),
            Act::Exchange { from, to, dropped } => self.exchange(from.into(), to.into(), dropped),
            Act::Restart { node, how } => self.restart(node.into(), how),
            Act::Backup { node } => self.nodes[usize::from(node)].back_up(),
            Act::Steal { which } => self.steal(which),
            Act::ForgeSet { node, parent, how } => self.forge_set(node.into(), parent, how),
            Act::ForgeGrant { node, zone, prefix, how } => {
                self.forge_grant(node.into(), zone, prefix, how);
            }
            Act::ForgeRevocation { node, zone, how } => {
                self.forge_revocation(node.into(), zone, how);
            }
            Act::ForgePage { node, how } => self.forge_page(node.into(), how),
            Act::Replay { node, item, count } => self.replay(node.into(), item, count),
        }
    }

    /// Says something to one gateway, and remembers it for ever.
    pub(crate) fn tell(&mut self, node: usize, items: Vec<SignedTrustItem>) {
        self.said.extend(items.iter().cloned());
        let head = self.nodes[node].head();
        let late = self.nodes[node].membership.conflicts().count();
        let outcomes = self.nodes[node].take(items.clone());
        let new = &self.nodes[node];
        if new.head() != head {
            self.tally.rule(Rule::SetFollowed);
        }
        if new.membership.conflicts().count() > late {
            self.tally.rule(Rule::SetLate);
        }
        if new.membership.awaited().is_some_and(|(_, missing)| missing > 0) {
            self.tally.rule(Rule::SetAwaited);
        }
        if new.membership.not_listed().next().is_some() {
            self.tally.rule(Rule::GrantNotListed);
        }
        if new.membership.overtaken().next().is_some() {
            self.tally.rule(Rule::RevocationOvertaken);
        }
        for alarm in new.membership.alarms() {
            use zonemesh_core::membership::Alarm;
            match alarm {
                Alarm::Overlap { .. } => self.tally.rule(Rule::Overlap),
                Alarm::SameSerial { .. } => self.tally.rule(Rule::SameSerial),
                Alarm::SameKey { .. } | Alarm::Reserved { .. } => {}
            }
        }
        for (item, outcome) in items.iter().zip(outcomes) {
            self.count(node, item, outcome);
        }
    }

    fn count(
        &self,
        node: usize,
        item: &SignedTrustItem,
        outcome: Result<TrustAccepted, TrustRejected>,
    ) {
        let rule = match (item.decode(), outcome) {
            (Ok(TrustItem::AuthoritySet(_)), Err(TrustRejected::NotAuthorised)) => Rule::SetRefused,
            (Ok(TrustItem::Grant(_)), Ok(TrustAccepted::Stored(id))) => {
                let held = self.nodes[node].membership.get(&id);
                match held.is_some_and(|held| held.signatures().len() > item.signatures().len()) {
                    true => Rule::Merged,
                    false => Rule::GrantInForce,
                }
            }
            (Ok(TrustItem::Grant(_)), Err(_)) => Rule::GrantVoid,
            (Ok(TrustItem::Revocation(_)), Ok(TrustAccepted::Stored(_))) => Rule::RevocationInForce,
            (Ok(TrustItem::Revocation(_)), Err(_)) => Rule::RevocationVoid,
            _ => return,
        };
        self.tally.rule(rule);
    }

    /// `to` gets what it lacks of what `from` holds; of that the attacker drops a part.
    fn exchange(&mut self, from: usize, to: usize, dropped: u8) {
        let theirs = self.nodes[to].membership.ids();
        let mut items = self.nodes[from].membership.items_except(&theirs);
        if dropped.is_multiple_of(4) && !items.is_empty() {
            self.tally.power(Power::Dropped);
            items.remove(usize::from(dropped) % items.len());
        }
        if dropped.is_multiple_of(3) {
            items.reverse();
        }
        self.tell(to, items);
    }

    fn restart(&mut self, node: usize, how: u8) {
        match how % 6 {
            0 | 1 => {
                self.tally.power(Power::Restarted);
                self.nodes[node].restart();
            }
            2 | 3 => {
                self.tally.power(Power::Torn);
                self.nodes[node].restart_torn();
            }
            4 => {
                self.tally.power(Power::OldBackup);
                self.nodes[node].restore_backup();
            }
            _ => self.join(node, (node + 1) % 3),
        }
    }

    /// A gateway is made anew with an invitation of another one, which pins its inviter's head.
    fn join(&mut self, node: usize, inviter: usize) {
        self.tally.power(Power::Joined);
        let inviter = &self.nodes[inviter].membership;
        let pin = Some(inviter.authority_set().0);
        let joined = Membership::from_items(inviter.mesh(), pin, inviter.items());
        self.nodes[node] = Node::new(joined.unwrap());
    }

    fn replay(&mut self, node: usize, item: u16, count: u8) {
        self.tally.power(Power::Replayed);
        let start = usize::from(item) % self.said.len();
        let items: Vec<_> = self.said.iter().skip(start).take(count.into()).cloned().collect();
        self.tell(node, items);
    }
}

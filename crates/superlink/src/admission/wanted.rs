//! Who is to take part, against who does: what to tell Flower next. Pure.
//!
//! It promises that who is named is registered once, that who was registered here and is named no more
//! is unregistered after a minute (a gateway that has lost its memory names nobody for a moment, and
//! Flower takes no key twice), and that who was registered by anybody else is unregistered at once. A
//! zone that is cut off is named still.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use zonemesh_appliance::flower::control::ListedNode;
use zonemesh_appliance::node_key::registered_form;
use zonemesh_core::record::{
    Admission, AdmissionState, AdmittedNode, NodeKeyDigest, node_key_digest,
};
use zonemesh_core::registry::FederationMember;

use super::numbers::NodeNumbers;

/// How long nobody names a SuperNode before it is unregistered.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Most that are registered before Flower's list, and who is named, are looked at again.
const MOST_REGISTERED: usize = 16;
/// Most that are unregistered before that.
const MOST_UNREGISTERED: usize = 8;

/// What to tell Flower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdmissionStep {
    /// This number is nobody's any more.
    Unregister(u64),
    /// This key (SubjectPublicKeyInfo in DER) is to take part.
    Register(Vec<u8>),
}

/// Who is to take part.
#[derive(Default)]
pub(crate) struct WantedNodes {
    members: BTreeMap<NodeKeyDigest, FederationMember>,
    /// Keys that Flower does not take again.
    spent: BTreeSet<NodeKeyDigest>,
    /// Since when nobody names these numbers.
    unnamed: BTreeMap<u64, Instant>,
}

impl WantedNodes {
    /// These are named now; true if that is news. What is no key is nobody.
    pub(crate) fn take(&mut self, members: &[FederationMember]) -> bool {
        let keyed = members.iter().filter(|member| registered_form(&member.public_key).is_some());
        let named: BTreeMap<_, _> =
            keyed.map(|member| (node_key_digest(&member.public_key), member.clone())).collect();
        self.spent.retain(|key| named.contains_key(key));
        let is_news = named != self.members;
        self.members = named;
        is_news
    }

    /// Flower does not take this key.
    pub(crate) fn is_spent(&mut self, key: &[u8]) {
        self.spent.insert(node_key_digest(key));
    }

    pub(crate) fn wants(&self, key: &NodeKeyDigest) -> bool {
        self.members.contains_key(key)
    }

    /// How many of the list were registered by somebody else.
    pub(crate) fn nobodys(&self, listed: &[ListedNode], numbers: &NodeNumbers) -> usize {
        listed.iter().filter(|node| !numbers.has(node.id)).count()
    }

    /// True while somebody's Flower waits to be online.
    pub(crate) fn somebody_waits(&self) -> bool {
        self.members.values().any(|member| member.is_connecting)
    }

    /// How long until somebody is unregistered, if nothing changes.
    pub(crate) fn until_given_up(&self, now: Instant) -> Option<Duration> {
        let first = self.unnamed.values().min()?;
        Some((*first + GIVEN_UP).saturating_duration_since(now))
    }

    /// What Flower is to be told, with this list of its.
    pub(crate) fn steps(
        &mut self,
        listed: &[ListedNode],
        numbers: &NodeNumbers,
        now: Instant,
    ) -> Vec<AdmissionStep> {
        let named: BTreeSet<u64> = self.members.keys().filter_map(|key| numbers.of(key)).collect();
        let unnamed = || listed.iter().map(|node| node.id).filter(|id| !named.contains(id));
        self.unnamed.retain(|id, _| unnamed().any(|unnamed| unnamed == *id));
        let mut unregister = Vec::new();
        for id in unnamed() {
            let since = *self.unnamed.entry(id).or_insert(now);
            if !numbers.has(id) || now.saturating_duration_since(since) >= GIVEN_UP {
                unregister.push(AdmissionStep::Unregister(id));
            }
        }
        let is_listed = |key| {
            let id = numbers.of(key);
            listed.iter().any(|node| Some(node.id) == id)
        };
        let missing = self.members.iter();
        let missing = missing.filter(|(key, _)| !is_listed(key) && !self.spent.contains(*key));
        let register =
            missing.map(|(_, member)| AdmissionStep::Register(member.public_key.clone()));
        // Whoever registers himself by the hundred keeps nobody waiting who is named.
        register
            .take(MOST_REGISTERED)
            .chain(unregister.into_iter().take(MOST_UNREGISTERED))
            .collect()
    }

    /// Flower's list, as the mesh is told.
    pub(crate) fn said(&self, listed: &[ListedNode], numbers: &NodeNumbers) -> Vec<AdmittedNode> {
        let admission = |key: &NodeKeyDigest| {
            if self.spent.contains(key) {
                let state = AdmissionState::Spent;
                return Some(Admission { state, node_id: 0, online_since: 0 });
            }
            let id = numbers.of(key)?;
            let node = listed.iter().find(|node| node.id == id)?;
            let state = match node.is_online {
                true => AdmissionState::Online,
                false => AdmissionState::Registered,
            };
            Some(Admission { state, node_id: id, online_since: node.online_since })
        };
        let said = self.members.keys().filter_map(|key| {
            let admission = admission(key)?;
            Some(AdmittedNode { key: *key, admission })
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::node_key::NodeKey;

    use super::*;

    struct Stage {
        _folder: tempfile::TempDir,
        keys: Vec<Vec<u8>>,
        numbers: NodeNumbers,
        wanted: WantedNodes,
        start: Instant,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let key = |n| NodeKey::kept(&folder.path().join(format!("{n}")), None).unwrap().public;
            let keys = (0..3).map(key).collect();
            let numbers = NodeNumbers::open(folder.path().join("supernodes.json"));
            let wanted = WantedNodes::default();
            Self { _folder: folder, keys, numbers, wanted, start: Instant::now() }
        }

        fn member(&self, index: usize) -> FederationMember {
            FederationMember {
                public_key: self.keys[index].clone(),
                zone: "madrid".parse().unwrap(),
                is_online: true,
                is_connecting: false,
            }
        }

        fn steps(&mut self, listed: &[ListedNode], after: u64) -> Vec<AdmissionStep> {
            let now = self.start + Duration::from_secs(after);
            self.wanted.steps(listed, &self.numbers, now)
        }
    }

    fn node(id: u64, online_since: u64) -> ListedNode {
        ListedNode { id, is_online: online_since > 0, online_since }
    }

    #[test]
    fn who_is_named_is_registered_once_and_what_is_no_key_never() {
        let mut stage = Stage::new();
        let mut forged = stage.member(1);
        forged.public_key = vec![7; 91];
        let members = [stage.member(0), forged];
        assert!(stage.wanted.take(&members));
        assert!(!stage.wanted.take(&members), "that is no news");
        let register = AdmissionStep::Register(stage.keys[0].clone());
        assert_eq!(stage.steps(&[], 0), std::slice::from_ref(&register));
        stage.numbers.set(&stage.keys[0].clone(), 7).unwrap();
        assert_eq!(stage.steps(&[node(7, 0)], 0), []);
        assert_eq!(stage.steps(&[], 0), [register], "Flower has lost its database");
    }

    #[test]
    fn who_is_named_no_more_is_unregistered_after_a_minute() {
        let mut stage = Stage::new();
        stage.numbers.set(&stage.keys[0].clone(), 7).unwrap();
        let named = [stage.member(0)];
        stage.wanted.take(&named);
        let listed = [node(7, 9)];
        assert_eq!(stage.steps(&listed, 0), []);
        stage.wanted.take(&[]);
        assert_eq!((stage.steps(&listed, 10), stage.steps(&listed, 69)), (vec![], vec![]));
        stage.wanted.take(&named);
        assert_eq!(stage.steps(&listed, 71), [], "it was not heard of for a minute only");
        stage.wanted.take(&[]);
        assert_eq!(stage.steps(&listed, 80), []);
        assert_eq!(stage.steps(&listed, 140), [AdmissionStep::Unregister(7)]);
    }

    #[test]
    fn who_was_registered_by_somebody_else_is_unregistered_at_once() {
        let mut stage = Stage::new();
        stage.wanted.take(&[]);
        assert_eq!(stage.steps(&[node(66, 9)], 0), [AdmissionStep::Unregister(66)]);
    }

    #[test]
    fn who_is_named_comes_before_a_crowd_that_has_registered_itself() {
        let mut stage = Stage::new();
        let named = [stage.member(0)];
        stage.wanted.take(&named);
        let crowd: Vec<_> = (100..900).map(|id| node(id, 0)).collect();
        let steps = stage.steps(&crowd, 0);
        assert_eq!(steps[0], AdmissionStep::Register(stage.keys[0].clone()));
        assert_eq!(steps.len(), 1 + MOST_UNREGISTERED, "then it is looked again");
    }

    #[test]
    fn a_key_that_flower_does_not_take_again_is_said_to_be_spent_while_it_is_named() {
        let mut stage = Stage::new();
        let members = [stage.member(0), stage.member(1)];
        stage.wanted.take(&members);
        stage.wanted.is_spent(&stage.keys[0].clone());
        stage.numbers.set(&stage.keys[1].clone(), 8).unwrap();
        let listed = [node(8, 9)];
        assert_eq!(stage.steps(&listed, 0), []);
        let mut said = stage.wanted.said(&listed, &stage.numbers);
        said.sort_by_key(|node| node.admission.node_id);
        let states: Vec<_> = said.iter().map(|node| node.admission.state).collect();
        assert_eq!(states, [AdmissionState::Spent, AdmissionState::Online]);
        assert_eq!(said[1].admission.online_since, 9);
        stage.wanted.take(&[stage.member(1)]);
        assert_eq!(stage.wanted.said(&listed, &stage.numbers).len(), 1);
    }
}

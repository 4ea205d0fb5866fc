//! What must hold after each act, and in the end.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use zonemesh_core::membership::{AuthorityEdit, SignedTrustItem, TrustItem, TrustKind, sign};
use zonemesh_core::prefix;

use super::count::Power;
use super::world::World;
use crate::mesh::{NOW, authority, identity, name, request};

type Outcome = Result<(), TestCaseError>;

pub(super) fn hold(world: &World<'_>) -> Outcome {
    for (number, node) in world.nodes.iter().enumerate() {
        let membership = &node.membership;
        let (head, set) = membership.authority_set();
        prop_assert!(world.sets.iter().any(|(hash, _)| *hash == head), "A1 at {number}");
        // Keys that count under the head which a gateway follows may do their daily work there.
        let may_sign = set.entitles(&world.stolen_keys());
        // A set is followed once all that its list names is here.
        if let Some(grants) = world.lists.get(&head) {
            let mut listed = grants.iter();
            let is_held = listed.all(|grant| membership.get_content(grant).is_some());
            prop_assert!(is_held, "A1 at {number}: a list is not here");
        }
        for member in membership.members() {
            let grant = membership.grant(&member.zone).unwrap().clone();
            let named = grant.set;
            let content = SignedTrustItem::unsigned(&TrustItem::Grant(grant)).content_id();
            let is_ours = world.honest.contains(&content);
            prop_assert!(is_ours || may_sign, "A2 at {number}: {} admitted", member.zone);
            // What was left out of a list stays out, whoever says it again.
            let is_listed = world.lists.get(&head).is_some_and(|list| list.contains(&content));
            let counts = is_listed || named == Some(head);
            prop_assert!(counts, "A2 at {number}: {} admitted by an old grant", member.zone);
        }
        for revocation in membership.revocations() {
            let item = TrustItem::Revocation(revocation.clone());
            let content = SignedTrustItem::unsigned(&item).content_id();
            let is_ours = world.honest.contains(&content);
            prop_assert!(is_ours || may_sign, "A2 at {number}: {} revoked", revocation.zone);
        }
        let nets = membership.members().flat_map(|member| {
            let ips = member.tunnel_ips.iter().map(|ip| (*ip).into());
            let nets = member.prefixes.iter().copied().chain(ips);
            nets.map(|net| (member.zone.as_str(), net))
        });
        prop_assert!(prefix::check_disjoint(nets).is_ok(), "A5 at {number}");
    }
    Ok(())
}

pub(super) fn hold_in_the_end(mut world: World<'_>) -> Outcome {
    world.exchange_all();
    let tip = world.tip();
    let is_followed = |world: &World<'_>| world.nodes.iter().any(|n| n.membership.follows(&tip));
    if !is_followed(&world) && !world.file.is_empty() {
        // The only gateway that had it lost its disk: the owners have its file still.
        let file = world.file.clone();
        world.tell(0, file);
    }
    world.exchange_all();
    if world.is_forked {
        world.settle_fork()?;
        world.exchange_all();
    }
    let heads: Vec<_> = world.nodes.iter().map(|node| node.head()).collect();
    let roots: Vec<_> = world.nodes.iter().map(|node| node.membership.root_hash()).collect();
    prop_assert!(roots.iter().all(|root| *root == roots[0]), "A4: {}", world.describe());
    let is_newest = heads[0] == world.tip() || world.is_forked;
    prop_assert!(is_newest, "A4: not the newest set");
    hold(&world)?;
    world.the_owners_go_on()
}

impl World<'_> {
    /// What each gateway holds, in brief.
    fn describe(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let head = node.head();
            text += &format!("\nhead {:02x}{:02x}:", head[0], head[1]);
            for item in node.membership.items() {
                let signers: Vec<_> = item.signatures().iter().map(|s| s.key).collect();
                text += &format!("\n  {item:?} {:?} {signers:?}", item.decode());
            }
        }
        text
    }

    /// Until nothing more is said: everybody has heard everything that somebody holds.
    fn exchange_all(&mut self) {
        for _ in 0..12 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                let theirs = self.nodes[to].membership.ids();
                let items = self.nodes[from].membership.items_except(&theirs);
                self.tell(to, items);
            }
            let roots = self.nodes.iter().map(|node| node.membership.root_hash());
            let roots: std::collections::BTreeSet<_> = roots.collect();
            if roots.len() == 1 {
                return;
            }
        }
    }

    /// Who differs is told, and a pin at each gateway mends it.
    fn settle_fork(&mut self) -> Outcome {
        let heads: Vec<_> = self.nodes.iter().map(|node| node.head()).collect();
        let (tip, said) = (self.tip(), self.said.clone());
        for node in &mut self.nodes {
            let membership = &mut node.membership;
            let differs = heads.iter().any(|head| !membership.follows(head));
            let is_told = membership.conflicts().next().is_some();
            prop_assert!(is_told || !differs, "A4: not told");
            if membership.authority_set().0 != tip {
                self.tally.power(Power::Pinned);
                let pinned = membership.pin(&tip, &said);
                prop_assert!(pinned.is_ok(), "{pinned:?}");
                node.save();
            }
        }
        Ok(())
    }

    /// A3: whatever was done, the owners remove the thief's keys, and daily work goes on.
    fn the_owners_go_on(&mut self) -> Outcome {
        // A last blow: whatever keys the thief has revoke everybody.
        (0..5).for_each(|zone| self.forge_revocation(0, zone, 4));
        let fresh = self.next_key;
        let stolen: std::collections::BTreeSet<_> = self.stolen_keys();
        let (_, present) = self.nodes[0].membership.authority_set();
        let edit = AuthorityEdit {
            add: [authority(fresh).public_key()].into(),
            remove: present.keys.intersection(&stolen).copied().collect(),
            threshold: Some(1),
            stolen: true,
            renew: true,
            ..AuthorityEdit::default()
        };
        let items = self.make_set(0, edit, false);
        let set = items[0].payload_hash();
        self.tell(0, items);
        self.exchange_all();
        let keys = [authority(fresh)];
        let keys: Vec<_> = keys.iter().collect();
        let mut next = request(9);
        next.zone_key = identity(9).public_key();
        let grant = self.nodes[0].membership.draft_grant(next, NOW);
        prop_assert!(grant.is_ok(), "A3: {grant:?}");
        let (_, present) = self.nodes[0].membership.authority_set();
        let grant = sign(present, &TrustItem::Grant(grant.unwrap()), &keys);
        self.honest.insert(grant.content_id());
        self.tell(0, vec![grant]);
        self.exchange_all();
        for node in &self.nodes {
            prop_assert_eq!(node.head(), set, "A3: the change is not followed");
            prop_assert!(node.membership.member(&name(9)).is_some(), "A3: not granted");
        }
        let revocation = self.nodes[1].membership.draft_revocation(&name(9), "", NOW).unwrap();
        let (_, present) = self.nodes[1].membership.authority_set();
        let revocation = sign(present, &TrustItem::Revocation(revocation), &keys);
        self.honest.insert(revocation.content_id());
        self.tell(1, vec![revocation]);
        self.exchange_all();
        let roots: Vec<_> = self.nodes.iter().map(|node| node.membership.root_hash()).collect();
        prop_assert!(roots.iter().all(|root| *root == roots[0]), "A4 after A3");
        for node in &self.nodes {
            prop_assert!(node.membership.member(&name(9)).is_none(), "A3: not revoked");
            let held = node.membership.items().len();
            let sets = node.membership.items().iter().filter(is_set).count();
            prop_assert!(held < sets + 20, "what is void is let go: {held} items");
        }
        hold(self)
    }
}

fn is_set(item: &&SignedTrustItem) -> bool {
    item.kind() == TrustKind::AuthoritySet
}

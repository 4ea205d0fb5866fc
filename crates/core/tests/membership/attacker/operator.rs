//! What the operators do: they mean well, and do not know what the attacker has signed where.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, GrantRequest, SignedTrustItem, TrustItem, TrustKind, sign,
};
use zonemesh_core::name::ZoneName;

use super::count::{Power, Rule};
use super::world::World;
use crate::change::signed;
use crate::mesh::{NOW, authority, identity, name, owner, request};

impl World<'_> {
    /// Signs with the operators' keys and tells it to the gateway where they work.
    /// `twice`: a second operator signs the same with other keys, and tells another gateway.
    fn say(&mut self, node: usize, item: &TrustItem, twice: bool) {
        let mut keys: Vec<_> = (0..self.next_key).map(authority).collect();
        let signed = self.sign(node, item, &keys);
        self.honest.insert(signed.content_id());
        self.tell(node, vec![signed]);
        if twice {
            keys.reverse();
            let other = self.sign(node, item, &keys);
            self.tell((node + 1) % 3, vec![other.clone()]);
            self.tell(node, vec![other]);
        }
    }

    fn sign(&self, node: usize, item: &TrustItem, keys: &[AuthorityIdentity]) -> SignedTrustItem {
        let (_, set) = self.nodes[node].membership.authority_set();
        sign(set, item, &keys.iter().collect::<Vec<_>>())
    }

    pub(super) fn grant(&mut self, node: usize, zone: u8, key: u8, prefix: u8) {
        let wish = GrantRequest {
            // Mostly what the zone has, sometimes narrower, with a new key, or what another one has.
            zone_key: identity(if key.is_multiple_of(4) { 20 + zone } else { zone }).public_key(),
            prefixes: match prefix % 5 {
                0 => vec![format!("10.10.{zone}.0/25").parse().unwrap()],
                1 => request((zone + 1) % 5).prefixes,
                _ => request(zone).prefixes,
            },
            ..request(zone)
        };
        let draft = self.nodes[node].membership.draft_grant(wish, NOW);
        if let Ok(grant) = draft {
            self.say(node, &TrustItem::Grant(grant), prefix.is_multiple_of(3));
        }
    }

    pub(super) fn revoke(&mut self, node: usize, zone: u8) {
        let draft = self.nodes[node].membership.draft_revocation(&name(zone), "lost", NOW);
        if let Ok(revocation) = draft {
            self.say(node, &TrustItem::Revocation(revocation), false);
        }
    }

    /// Zones here whose grant none of the operators has made: they see it and leave it out.
    pub(super) fn not_ours(&self, node: usize) -> BTreeSet<ZoneName> {
        let membership = &self.nodes[node].membership;
        let zones = (0..5).map(name).chain([name(30)]);
        let ours = |zone: &ZoneName| {
            let grant = membership.grant(zone).cloned().map(TrustItem::Grant);
            grant.is_none_or(|grant| {
                self.honest.contains(&SignedTrustItem::unsigned(&grant).content_id())
            })
        };
        zones.filter(|zone| !ours(zone)).collect()
    }

    fn zone_not_ours(&self, item: &SignedTrustItem) -> Option<ZoneName> {
        match item.decode() {
            Ok(TrustItem::Grant(grant)) if !self.honest.contains(&item.content_id()) => {
                Some(grant.zone)
            }
            _ => None,
        }
    }

    fn edit(&mut self, how: u8) -> AuthorityEdit {
        let fresh = self.next_key;
        let stolen = self.keys.intersection(&self.stolen).next().copied();
        let old = self.keys.first().copied();
        let key = |number: u8| [authority(number).public_key()].into();
        let edit = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
        match (how % 8, stolen, old) {
            (0, ..) => AuthorityEdit { add: key(fresh), ..edit },
            (1 | 2 | 5 | 6, Some(key_of), _) => {
                AuthorityEdit { add: key(fresh), remove: key(key_of), stolen: true, ..edit }
            }
            (3 | 7, _, Some(oldest)) => {
                AuthorityEdit { add: key(fresh), remove: key(oldest), ..edit }
            }
            (4, ..) if self.owners.len() > 1 => {
                let gone = self.owners.first().copied().unwrap_or_default();
                let owner_key = |number: u8| [owner(number).public_key()].into();
                AuthorityEdit {
                    add_owners: owner_key(fresh),
                    remove_owners: owner_key(gone),
                    ..edit
                }
            }
            _ => edit,
        }
    }

    /// The owners work where the newest set of theirs is followed.
    pub(super) fn change(&mut self, node: usize, how: u8) {
        if self.nodes[node].head() != self.tip() || self.next_key >= super::world::THIEF {
            return;
        }
        let edit = self.edit(how);
        let items = self.make_set(node, edit, how.is_multiple_of(7));
        self.tell(node, items);
    }

    /// A child of the head, signed by all owners. `halves` goes out first, with too few signatures.
    pub(super) fn make_set(
        &mut self,
        node: usize,
        edit: AuthorityEdit,
        halves: bool,
    ) -> Vec<SignedTrustItem> {
        let mut edit = AuthorityEdit { leave_out: self.not_ours(node), ..edit };
        let draft = self.nodes[node].membership.draft_change(&edit, NOW).unwrap();
        // What would come back is looked at as well, as it was revoked when they looked before.
        edit.leave_out.extend(draft.grants.iter().filter_map(|item| self.zone_not_ours(item)));
        let draft = self.nodes[node].membership.draft_change(&edit, NOW).unwrap();
        let signers: Vec<AuthorityIdentity> = self
            .owners
            .iter()
            .map(|number| owner(*number))
            .chain([authority(self.next_key), owner(self.next_key)])
            .collect();
        if halves {
            self.tally.power(Power::HalfSigned);
            let half = signed(&draft.next, &signers[..self.owners.len() / 2]);
            self.tell(node, vec![half]);
        }
        if !draft.summary.back.is_empty() {
            self.tally.rule(Rule::Healed);
        }
        let set = signed(&draft.next, &signers);
        self.sets.push((set.payload_hash(), draft.next.clone()));
        let needed = draft.pages.iter().chain(&draft.grants).map(SignedTrustItem::content_id);
        self.lists.insert(set.payload_hash(), needed.collect());
        self.learn(&edit);
        let items: Vec<_> = std::iter::once(set).chain(draft.pages).collect();
        let mut file = self.nodes[node].membership.items();
        file.retain(|item| item.kind() == TrustKind::AuthoritySet);
        self.file = file.into_iter().chain(items.iter().cloned()).chain(draft.grants).collect();
        items
    }

    fn learn(&mut self, edit: &AuthorityEdit) {
        let fresh = self.next_key;
        self.next_key += 1;
        let has = |keys: &BTreeSet<_>, identity: &AuthorityIdentity| {
            keys.contains(&identity.public_key())
        };
        if has(&edit.add, &authority(fresh)) {
            self.keys.insert(fresh);
        }
        if has(&edit.add_owners, &owner(fresh)) {
            self.owners.insert(fresh);
        }
        let gone: Vec<_> =
            self.keys.iter().copied().filter(|n| has(&edit.remove, &authority(*n))).collect();
        for number in gone {
            self.keys.remove(&number);
            // Every key that was ever removed.
            self.stolen.insert(number);
        }
        let gone: Vec<_> =
            self.owners.iter().copied().filter(|n| has(&edit.remove_owners, &owner(*n))).collect();
        for number in gone {
            self.owners.remove(&number);
            self.steal_owner(number);
        }
    }

    /// The owners sign two children of one set, for two gateways that cannot hear each other.
    pub(super) fn fork(&mut self, node: usize, other: usize) {
        let is_possible = other < 3
            && node != other
            && self.nodes[node].head() == self.tip()
            && self.nodes[other].head() == self.tip()
            && self.next_key + 2 < super::world::THIEF;
        if !is_possible {
            return;
        }
        self.tally.power(Power::Forked);
        self.is_forked = true;
        let renewed = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
        let one = self.make_set(node, renewed.clone(), false);
        let added =
            AuthorityEdit { add: [authority(self.next_key).public_key()].into(), ..renewed };
        let two = self.make_set(other, added, false);
        self.tell(node, one);
        self.tell(other, two);
    }
}

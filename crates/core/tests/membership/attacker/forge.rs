//! What the attacker makes with the keys that it has.

use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{
    AuthorityIdentity, AuthoritySet, Grant, Revocation, SetHash, SignedTrustItem, TrustItem,
};

use super::count::Power;
use super::world::{THIEF, World};
use crate::mesh::{NOW, authority, identity, name, owner, request};

impl World<'_> {
    pub(super) fn steal(&mut self, which: u8) {
        if which.is_multiple_of(4) {
            let number = self.owners.iter().nth(usize::from(which / 4) % self.owners.len());
            if let Some(number) = number.copied() {
                self.steal_owner(number);
            }
            return;
        }
        let number = self.keys.iter().nth(usize::from(which) % self.keys.len());
        self.tally.power(Power::StolenKey);
        self.stolen.extend(number.copied());
    }

    /// Never so many that they are a majority of any set: who has those owns the mesh.
    pub(super) fn steal_owner(&mut self, number: u8) {
        let mut then = self.stolen_owners.clone();
        then.insert(number);
        let stays_minority = |set: &AuthoritySet| {
            let held = then.iter().filter(|n| set.owners().contains(&owner(**n).public_key()));
            held.count() < set.majority()
        };
        if self.sets.iter().all(|(_, set)| stays_minority(set)) {
            self.tally.power(Power::StolenOwner);
            self.stolen_owners = then;
        }
    }

    fn arms(&self) -> Vec<AuthorityIdentity> {
        let keys = self.stolen.iter().map(|number| authority(*number));
        let owners = self.stolen_owners.iter().map(|number| owner(*number));
        keys.chain(owners).chain([authority(THIEF), owner(THIEF)]).collect()
    }

    fn signed(&self, item: &TrustItem) -> SignedTrustItem {
        let mut signed = SignedTrustItem::unsigned(item);
        self.arms().iter().for_each(|identity| signed.sign(identity));
        signed
    }

    /// A child of any set there ever was, with keys that the attacker likes.
    pub(super) fn forge_set(&mut self, node: usize, parent: u8, how: u8) {
        self.tally.power(Power::ForgedSet);
        let (hash, parent) = self.sets[usize::from(parent) % self.sets.len()].clone();
        let own = [authority(THIEF).public_key()];
        let owners = match how % 3 {
            0 => None,
            1 => Some([owner(THIEF).public_key()].into()),
            _ => Some(parent.owners().iter().copied().chain(own).collect()),
        };
        let set = AuthoritySet {
            epoch: parent.epoch + 1,
            previous: Some(hash),
            owner_keys: owners,
            keys: parent.keys.iter().copied().chain(own).collect(),
            threshold: 1,
            pages: if how.is_multiple_of(2) { parent.pages.clone() } else { Vec::new() },
            stolen: if how.is_multiple_of(5) { parent.keys.clone() } else { [].into() },
            issued_at: NOW,
        };
        let mut item = self.signed(&TrustItem::AuthoritySet(set.clone()));
        if how.is_multiple_of(4) {
            // Signatures of the honest owners that they gave to another set.
            let others = self.said.iter().filter(|said| said.kind() == item.kind());
            if let Some(other) = others.last() {
                item = item.merged_with(other);
            }
        }
        self.tell(node, vec![item]);
    }

    fn named_set(&self, node: usize, how: u8) -> Option<SetHash> {
        match how % 5 {
            0 => None,
            1 => Some(self.sets[usize::from(how / 5) % self.sets.len()].0),
            2 => Some([how; 32]),
            3 => Some(self.tip()),
            _ => Some(self.nodes[node].head()),
        }
    }

    fn some_key(zone: u8, how: u8) -> ZonePublicKey {
        identity(match how % 3 {
            0 => 30,
            1 => zone,
            _ => 20 + zone,
        })
        .public_key()
    }

    pub(super) fn forge_grant(&mut self, node: usize, zone: u8, prefix: u8, how: u8) {
        self.tally.power(Power::ForgedGrant);
        let mut wish = request(if prefix.is_multiple_of(2) { zone } else { prefix % 5 });
        if prefix.is_multiple_of(3) {
            wish.prefixes = vec!["10.10.0.0/16".parse().unwrap()];
        }
        let grant = Grant {
            mesh: self.nodes[node].membership.mesh().clone(),
            zone: if how.is_multiple_of(7) { name(30) } else { name(zone) },
            zone_key: Self::some_key(zone, how / 2),
            prefixes: wish.prefixes,
            tunnel_ips: wish.tunnel_ips,
            federations: Vec::new(),
            set: self.named_set(node, how),
            serial: [0, 1, 2, 3, u64::MAX][usize::from(how / 5) % 5],
            since: u64::from(how) * u64::from(prefix),
            issued_at: NOW,
        };
        let item = self.signed(&TrustItem::Grant(grant));
        self.tell(node, vec![item]);
    }

    pub(super) fn forge_revocation(&mut self, node: usize, zone: u8, how: u8) {
        self.tally.power(Power::ForgedRevocation);
        let revocation = Revocation {
            mesh: self.nodes[node].membership.mesh().clone(),
            zone: name(zone),
            zone_key: Self::some_key(zone, how / 3),
            set: self.named_set(node, how),
            serial: u64::from(how),
            reason: String::new(),
            issued_at: NOW,
        };
        let item = self.signed(&TrustItem::Revocation(revocation));
        self.tell(node, vec![item]);
    }

    /// A page that no set names, or one that does with a signature on it.
    pub(super) fn forge_page(&mut self, node: usize, how: u8) {
        use zonemesh_core::membership::{GrantPage, TrustKind};
        self.tally.power(Power::ForgedPage);
        let grants = self.said.iter().filter(|item| item.kind() == TrustKind::Grant);
        let grants = grants.skip(usize::from(how) % 7).take(3).map(SignedTrustItem::content_id);
        let page = GrantPage { grants: grants.collect() };
        let items = self.said.iter().filter(|item| item.kind() == TrustKind::GrantPage);
        let mut items: Vec<_> = items.take(1).cloned().collect();
        if !page.grants.is_empty() {
            items.push(self.signed(&TrustItem::GrantPage(page)));
        }
        items.iter_mut().for_each(|item| item.sign(&authority(THIEF)));
        self.tell(node, items);
    }
}

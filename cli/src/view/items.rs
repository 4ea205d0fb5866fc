//! `zonemesh trust show`: what a file of trust items says, for those who sign it.

use std::path::Path;

use serde::Serialize;
use zonemesh_api::view::{Timestamp, known};
use zonemesh_core::membership::{AuthorityPublicKey, SignedTrustItem, TrustItem, TrustKind};

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::output::{Page, Rendered};
use crate::table::{Table, plain, wrapped};

/// The items of a file.
#[derive(Debug, Serialize)]
pub(crate) struct ItemsView {
    schema: &'static str,
    file: Option<String>,
    items: Vec<Item>,
    /// Whose signature was added, and whether the file says that it counts.
    #[serde(skip)]
    signed: Option<(String, bool)>,
}

/// One item.
#[derive(Debug, Serialize)]
struct Item {
    kind: &'static str,
    /// SHA-256 of an authority set, as `zonemesh authority pin` takes it.
    set: Option<String>,
    zone: Option<String>,
    zone_key: Option<String>,
    prefixes: Vec<String>,
    tunnel_addresses: Vec<String>,
    /// What a grant allows for which federation; one that names none allows all.
    federations: Vec<String>,
    authority_keys: Vec<String>,
    owner_keys: Vec<String>,
    listed: usize,
    threshold: Option<u32>,
    number: u64,
    issued_at: Timestamp,
    reason: Option<String>,
    signed_by: Vec<String>,
    signatures_hold: bool,
}

impl ItemsView {
    /// Describes the items; `file` is the one that they were written into.
    pub(crate) fn new(
        items: &[SignedTrustItem],
        file: Option<&Path>,
    ) -> Result<Self, CommandFailure> {
        let items: Result<Vec<_>, _> = items.iter().map(item).collect();
        let items = items.or_exit(Exit::Trust, || "a trust item cannot be read".to_owned())?;
        let file = file.map(|file| file.display().to_string());
        Ok(Self { schema: "zonemesh/trust-items/v1", file, items, signed: None })
    }

    /// Says who has signed now; `counts` if the file says who may.
    pub(crate) fn signed(self, key: &AuthorityPublicKey, counts: bool) -> Self {
        Self { signed: Some((key.to_string(), counts)), ..self }
    }
}

fn texts<T: ToString>(of: impl IntoIterator<Item = T>) -> Vec<String> {
    of.into_iter().map(|one| one.to_string()).collect()
}

fn item(signed: &SignedTrustItem) -> Result<Item, zonemesh_core::membership::ItemError> {
    let empty = Item {
        kind: signed.kind().as_str(),
        set: None,
        zone: None,
        zone_key: None,
        prefixes: Vec::new(),
        tunnel_addresses: Vec::new(),
        federations: Vec::new(),
        authority_keys: Vec::new(),
        owner_keys: Vec::new(),
        listed: 0,
        threshold: None,
        number: 0,
        issued_at: Timestamp::from(0),
        reason: None,
        signed_by: texts(signed.signatures().iter().map(|signature| signature.key)),
        signatures_hold: signed.signers().is_some(),
    };
    Ok(match signed.decode()? {
        TrustItem::Grant(grant) => Item {
            zone: Some(grant.zone.to_string()),
            zone_key: Some(grant.zone_key.to_string()),
            prefixes: texts(&grant.prefixes),
            tunnel_addresses: texts(&grant.tunnel_ips),
            federations: texts(&grant.federations),
            number: grant.serial,
            issued_at: Timestamp(grant.issued_at),
            ..empty
        },
        TrustItem::Revocation(revocation) => Item {
            zone: Some(revocation.zone.to_string()),
            zone_key: Some(revocation.zone_key.to_string()),
            number: revocation.serial,
            issued_at: Timestamp(revocation.issued_at),
            reason: known(revocation.reason),
            ..empty
        },
        TrustItem::AuthoritySet(set) => Item {
            set: Some(signed.payload_hash().iter().map(|byte| format!("{byte:02x}")).collect()),
            authority_keys: texts(&set.keys),
            owner_keys: texts(set.owners()),
            threshold: Some(set.threshold),
            number: set.epoch,
            issued_at: Timestamp(set.issued_at),
            ..empty
        },
        TrustItem::GrantPage(page) => Item { listed: page.grants.len(), ..empty },
    })
}

impl Rendered for ItemsView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(match page.wide {
            true => &["KIND", "NUMBER", "ZONE", "SAYS", "SIGNATURES"],
            false => &["KIND", "NUMBER", "SIGNATURES"],
        });
        let mut below = Vec::new();
        for item in &self.items {
            let says = [
                item.set.iter().map(|set| format!("set {set}")).collect::<Vec<_>>(),
                item.zone_key.iter().cloned().collect::<Vec<_>>(),
                item.prefixes.clone(),
                item.tunnel_addresses.clone(),
                rights(item),
                item.threshold.iter().map(|least| format!("{least} must sign of")).collect(),
                item.authority_keys.clone(),
                item.owner_keys.iter().map(|key| format!("owner {key}")).collect(),
                (item.listed > 0)
                    .then(|| format!("{} zones stay", item.listed))
                    .into_iter()
                    .collect(),
                item.reason.iter().cloned().collect(),
            ];
            let signatures = match (item.signed_by.len(), item.signatures_hold) {
                (0, _) => "none".to_owned(),
                (count, true) => count.to_string(),
                (count, false) => format!("{count}, NOT VALID"),
            };
            let (kind, number) = (item.kind.to_owned(), item.number.to_string());
            let (zone, says) = (item.zone.clone().unwrap_or_default(), says.concat().join(" "));
            if page.wide {
                table.row([kind, number, zone, says, signatures]);
            } else {
                table.row([kind, number, signatures]);
                below.push(below_row(&format!("  {}", [zone, says].join(" ").trim())));
            }
        }
        // In a terminal of 80 columns each row has what it says below it.
        let header = usize::from(page.header && !self.items.is_empty());
        let rows = table.text(page.header);
        let above = std::iter::repeat_n(String::new(), header);
        let below = above.chain(below).chain(std::iter::repeat(String::new()));
        let rows: String =
            rows.lines().zip(below).map(|(row, below)| format!("{row}\n{below}")).collect();
        let written = self.file.as_ref().map(|file| format!("written: {file}\n"));
        let signed = self.signed.as_ref().map(|(key, counts)| match counts {
            true => format!("signed by {key}\n"),
            false => format!(
                "signed by {key}; the file does not say whether that counts: zonemesh authority list, at a gateway, does\n"
            ),
        });
        let signed = signed.unwrap_or_default();
        let signed = if page.wide { signed } else { signed.lines().map(below_row).collect() };
        rows + &signed + &written.unwrap_or_default()
    }
}

/// A line that has room for 80 columns, or the lines that it takes.
fn below_row(line: &str) -> String {
    wrapped(&plain(line), "  ")
}

/// What a grant allows, as `zonemesh zone list` says it.
fn rights(item: &Item) -> Vec<String> {
    match item.federations.as_slice() {
        [] if item.kind == TrustKind::Grant.as_str() => vec!["any federation".to_owned()],
        named => named.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::membership::Grant;
    use zonemesh_core::mesh::MeshId;
    use zonemesh_core::time::UnixMillis;

    use super::*;

    #[test]
    fn an_item_with_the_longest_names_fits_80_columns_unless_all_is_asked_for() {
        let key = "ed25519:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=";
        let item = SignedTrustItem::unsigned(&TrustItem::Grant(Grant {
            mesh: MeshId::new("ab".repeat(32)),
            zone: "z".repeat(63).parse().unwrap(),
            zone_key: key.parse().unwrap(),
            prefixes: vec!["fd00:1111:2222:3333:4444:5555:6666:7700/120".parse().unwrap()],
            tunnel_ips: vec!["fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap()],
            federations: vec![format!("{}=train", "f".repeat(63)).parse().unwrap()],
            set: None,
            serial: u64::MAX,
            since: 7,
            issued_at: UnixMillis(0),
        }));
        let view = ItemsView::new(&[item], None).unwrap();
        let text = |wide| view.text(Page { header: true, wide, now: UnixMillis(0) });
        let is_wide = |line: &str| line.chars().count() > 80;
        assert!(!text(false).lines().any(is_wide), "{}", text(false));
        assert!(text(false).contains("  zzz") && text(true).lines().count() == 2);
    }
}

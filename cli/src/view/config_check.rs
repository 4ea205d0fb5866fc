//! `zonemesh config check`: valid, or every mistake with its place.

use serde::Serialize;
use zonemesh_api::v1::{ConfigMistake, DifferingKey};
use zonemesh_config::{Config, ConfigError};
use zonemesh_core::finding::Code;

use super::reload::DifferenceView;
use crate::output::{Page, Rendered};
use crate::table::{plain, wrapped};

/// The answer about one file.
#[derive(Debug, Serialize)]
pub(crate) struct CheckView {
    schema: &'static str,
    file: String,
    valid: bool,
    zone: Option<String>,
    peers: Vec<String>,
    /// Plain WireGuard peers, which are no zones.
    wireguard_peers: Vec<String>,
    errors: Vec<Mistake>,
    notes: Vec<String>,
    /// Null where no daemon of this zone and gateway was asked.
    differs: Option<Vec<DifferenceView>>,
}

/// One mistake.
#[derive(Debug, Serialize)]
pub(crate) struct Mistake {
    code: String,
    line: Option<usize>,
    column: Option<usize>,
    key: String,
    found: String,
    expected: String,
    fix: String,
}

impl From<&ConfigError> for Mistake {
    fn from(error: &ConfigError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            line: Some(error.line),
            column: Some(error.column),
            key: error.key.clone(),
            found: error.found.clone(),
            expected: error.expected.clone(),
            fix: error.fix.clone(),
        }
    }
}

impl Mistake {
    /// A mistake in the file that `key` names, which may be a default and so have no place.
    pub(crate) fn at(config: &Config, key: &str, found: String, expected: &str, fix: &str) -> Self {
        let place = config.place(key);
        Self {
            code: Code::FileUnusable.as_str().to_owned(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            key: key.to_owned(),
            found,
            expected: expected.to_owned(),
            fix: fix.to_owned(),
        }
    }
}

impl CheckView {
    pub(crate) fn valid(file: &str, config: &Config) -> Self {
        let zone = Some(config.zone.name.to_string());
        let peers = config.peers.iter().map(|peer| peer.zone.to_string()).collect();
        let plain = config.wireguard_peers.iter().map(|peer| peer.name.to_string());
        let wireguard_peers = plain.collect();
        Self { valid: true, zone, peers, wireguard_peers, ..Self::invalid(file, Vec::new()) }
    }

    pub(crate) fn invalid(file: &str, errors: Vec<Mistake>) -> Self {
        Self {
            schema: "zonemesh/config-check/v1",
            file: file.to_owned(),
            valid: false,
            zone: None,
            peers: Vec::new(),
            wireguard_peers: Vec::new(),
            errors,
            notes: Vec::new(),
            differs: None,
        }
    }

    pub(crate) fn add(&mut self, errors: Vec<Mistake>) {
        self.valid = false;
        self.errors.extend(errors);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// What it has otherwise than what is in force.
    pub(crate) fn compare(&mut self, changed: &[DifferingKey]) {
        self.differs = Some(changed.iter().map(DifferenceView::from).collect());
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }
}

impl Mistake {
    /// As an editor jumps to it.
    pub(crate) fn told(&self, file: &str) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => format!("{file} (default)"),
        };
        let Self { key, found, expected, fix, .. } = self;
        format!("{place}: {key}: {found}; expected {expected}; {fix}")
    }
}

/// As the daemon says it.
impl From<&ConfigMistake> for Mistake {
    fn from(mistake: &ConfigMistake) -> Self {
        let number = |n: u32| usize::try_from(n).ok();
        Self {
            code: mistake.code.clone(),
            line: number(mistake.line),
            column: number(mistake.column),
            key: mistake.key.clone(),
            found: mistake.found.clone(),
            expected: mistake.expected.clone(),
            fix: mistake.fix.clone(),
        }
    }
}

impl Rendered for CheckView {
    fn text(&self, page: Page) -> String {
        let mut lines: Vec<String> =
            self.errors.iter().map(|error| error.told(&self.file)).collect();
        if let Some(zone) = self.zone.as_ref().filter(|_| self.valid) {
            let peers = match self.peers.as_slice() {
                [] => "no peers".to_owned(),
                peers => format!("peers {}", peers.join(", ")),
            };
            let plain = match self.wireguard_peers.as_slice() {
                [] => String::new(),
                plain => format!(", WireGuard peers {}", plain.join(", ")),
            };
            let valid = format!("{}: valid (zone {zone}, {peers}{plain})", self.file);
            lines.push(valid);
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        match self.differs.as_deref() {
            None => {}
            Some([]) => lines.push("it is what is in force".to_owned()),
            Some(differs) => {
                lines.extend(differs.iter().map(|one| format!("differs: {}", one.line())));
                let fixed: Vec<_> =
                    differs.iter().filter(|one| one.takes_restart()).map(|one| one.key()).collect();
                if !fixed.is_empty() {
                    let keys = fixed.join(", ");
                    lines.push(format!(
                        "zonemesh reload would refuse this file: {keys} cannot change while the gateway runs"
                    ));
                }
            }
        }
        let shown = |line: &String| match page.wide {
            true => format!("{}\n", plain(line)),
            false => wrapped(&plain(line), "  "),
        };
        lines.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::time::UnixMillis;

    use super::*;

    #[test]
    fn a_valid_file_with_the_longest_names_fits_80_columns_unless_all_is_asked_for() {
        let peers = vec!["p".repeat(63); 3];
        let zone = Some("z".repeat(63));
        let view = CheckView {
            valid: true,
            zone,
            peers,
            ..CheckView::invalid("/etc/zonemesh/zonemesh.toml", Vec::new())
        };
        let mistake = Mistake {
            code: "C113".to_owned(),
            line: Some(12),
            column: Some(3),
            key: "peer[0].wireguard_key".to_owned(),
            found: "found a key of 43 characters".to_owned(),
            expected: "a WireGuard key: 44 characters of base64, as `wg pubkey` prints it"
                .to_owned(),
            fix: "copy it whole".to_owned(),
        };
        let view = CheckView {
            errors: vec![mistake],
            notes: vec!["the file of a preshared key is not here; the daemon needs it ".repeat(2)],
            ..view
        };
        let text = |wide| view.text(Page { header: true, wide, now: UnixMillis::default() });
        let is_wide = |line: &str| line.chars().count() > 80;
        assert!(!text(false).lines().any(is_wide), "{}", text(false));
        assert_eq!(text(true).lines().count(), 3);
        assert!(text(false).starts_with("/etc/zonemesh/zonemesh.toml:12:3: "), "for an editor");
    }
}

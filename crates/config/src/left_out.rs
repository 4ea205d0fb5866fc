//! `[[peer]]` sections that cannot be used, beside a file that can.
//!
//! A gateway starts with what works: one bad section is left out, told, and what it owns stays barred in
//! the clear. Promises that nothing is left out of a file that has a mistake elsewhere, or no section
//! that is good: who belongs to the mesh is never guessed.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use zonemesh_core::finding::{Code, Finding, Subject};
use zonemesh_core::name::ZoneName;

use crate::draft::ConfigDraft;
use crate::error::ConfigError;
use crate::keys::{DraftPeer, PeerSettings};
use crate::mistakes::Placed;
use crate::source::FilePlace;

/// A `[[peer]]` section that cannot be used.
#[derive(Debug, Clone)]
pub struct LeftOutPeer {
    /// Whose it is, as far as that can be read.
    pub zone: Option<ZoneName>,
    /// What it owns, as far as that can be read.
    pub networks: BTreeSet<IpNet>,
    /// What is wrong with it, in the order of the file; at least one mistake.
    pub mistakes: Vec<ConfigError>,
    /// Which of the file's sections it is, from 0.
    pub(crate) section: usize,
}

impl LeftOutPeer {
    fn of_draft(draft: &DraftPeer, mistakes: Vec<ConfigError>, section: usize) -> Self {
        let addresses = draft.tunnel_addresses.iter().map(|at| IpNet::from(at.value));
        let networks = draft.prefixes.iter().map(|at| at.value).chain(addresses).collect();
        let zone = draft.zone.as_ref().map(|Placed { value, .. }| value.clone());
        Self { zone, networks, mistakes, section }
    }

    pub(crate) fn of_settings(peer: PeerSettings, mistake: ConfigError, section: usize) -> Self {
        let addresses = peer.tunnel_addresses.into_iter().map(IpNet::from);
        let networks = peer.prefixes.into_iter().chain(addresses).collect();
        Self { zone: Some(peer.zone), networks, mistakes: vec![mistake], section }
    }

    /// What an engineer is to know: one finding, whatever the number of mistakes.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let first = self.mistakes.first()?;
        let whose = match &self.zone {
            Some(zone) => format!("zone {zone} is left out"),
            None => "this [[peer]] is left out".to_owned(),
        };
        let more = match self.mistakes.len() {
            1 => String::new(),
            all => format!(" ({all} mistakes)"),
        };
        let fix = format!(
            "{}; until then {whose}{more}: `zonemesh config check {}`, then `zonemesh reload`",
            first.fix, first.file
        );
        let subject = Subject::Setting(format!("peer[{}]", self.section));
        Some(Finding { subject, ..Finding::from(first) }.fix(fix))
    }
}

/// Takes the sections out of the draft to which all mistakes belong. Returns the mistakes that are left.
pub(crate) fn split(
    draft: &mut ConfigDraft,
    errors: Vec<ConfigError>,
    places: &mut BTreeMap<String, FilePlace>,
) -> (Vec<ConfigError>, Vec<LeftOutPeer>) {
    let mut by_section: BTreeMap<usize, Vec<ConfigError>> = BTreeMap::new();
    for error in &errors {
        match section_of(&error.key) {
            Some((section, _)) => by_section.entry(section).or_default().push(error.clone()),
            None => return (errors, Vec::new()),
        }
    }
    if by_section.len() >= draft.peers.len() {
        return (errors, Vec::new());
    }
    let mut left_out = Vec::new();
    for (section, peer) in std::mem::take(&mut draft.peers).into_iter().enumerate() {
        match by_section.remove(&section) {
            Some(mut mistakes) => {
                mistakes.sort_by_key(|error| (error.line, error.column));
                // Those behind it move up.
                close_gap(places, section - left_out.len());
                left_out.push(LeftOutPeer::of_draft(&peer, mistakes, section));
            }
            None => draft.peers.push(peer),
        }
    }
    (Vec::new(), left_out)
}

/// The section of a key such as `peer[2].zone`, and what follows. A section that is no table has none.
fn section_of(key: &str) -> Option<(usize, &str)> {
    let (number, rest) = key.strip_prefix("peer[")?.split_once(']')?;
    Some((number.parse().ok()?, rest)).filter(|(_, rest)| rest.starts_with('.'))
}

/// Places are found by the number of a section among those that are used.
pub(crate) fn close_gap(places: &mut BTreeMap<String, FilePlace>, gone: usize) {
    let moved = std::mem::take(places).into_iter().filter_map(|(key, place)| {
        let section = key.strip_prefix("peer[").and_then(|rest| rest.split_once(']'));
        let Some((number, rest)) = section else { return Some((key, place)) };
        match number.parse::<usize>() {
            Ok(number) if number == gone => None,
            Ok(number) if number > gone => Some((format!("peer[{}]{rest}", number - 1), place)),
            _ => Some((key, place)),
        }
    });
    *places = moved.collect();
}

/// Which of the file's sections this one of those that are used is.
pub(crate) fn in_file(used: usize, left_out: &[LeftOutPeer]) -> usize {
    let is_used = |section: &usize| left_out.iter().all(|gone| gone.section != *section);
    (0..).filter(is_used).nth(used).unwrap_or(used)
}

/// All that is wrong with them, in the order of the file.
pub(crate) fn mistakes_of(left_out: Vec<LeftOutPeer>) -> Vec<ConfigError> {
    left_out.into_iter().flat_map(|peer| peer.mistakes).collect()
}

/// A mistake of a section that no reading of the file can find.
pub(crate) fn unusable(file: &str, place: FilePlace, key: &str, found: &str) -> ConfigError {
    ConfigError {
        code: Code::ConfigValue,
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        key: key.to_owned(),
        found: found.to_owned(),
        expected: "what this gateway can use".to_owned(),
        fix: "put it right".to_owned(),
    }
}

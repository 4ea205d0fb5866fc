//! `[[peer]]` and `[[wireguard_peer]]` sections that cannot be used, beside a file that can.
//!
//! A gateway starts with what works: one bad section is left out, told, and what it owns stays barred in
//! the clear. Promises that nothing is left out of a file that has a mistake elsewhere, or `[[peer]]`
//! sections of which none is good: who belongs to the mesh is never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use zonemesh_core::finding::{Code, Finding, Subject};
use zonemesh_core::name::ZoneName;

use crate::draft::ConfigDraft;
use crate::error::ConfigError;
use crate::keys::{DraftPeer, DraftWireGuardPeer, PeerSettings, WireGuardPeerSettings};
use crate::mistakes::Placed;
use crate::source::FilePlace;

/// Of which kind a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeerList {
    Peers,
    WireGuardPeers,
}

impl PeerList {
    const ALL: [Self; 2] = [Self::Peers, Self::WireGuardPeers];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Peers => DraftPeer::SPEC.name,
            Self::WireGuardPeers => DraftWireGuardPeer::SPEC.name,
        }
    }
}

impl fmt::Display for PeerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A section that cannot be used.
#[derive(Debug, Clone)]
pub struct LeftOutPeer {
    /// Whose it is, as far as that can be read: a zone, or a WireGuard peer by its name.
    pub zone: Option<ZoneName>,
    /// What it owns, as far as that can be read.
    pub networks: BTreeSet<IpNet>,
    /// What is wrong with it, in the order of the file; at least one mistake.
    pub mistakes: Vec<ConfigError>,
    list: PeerList,
    /// Which of the file's sections of its kind it is, from 0.
    section: usize,
}

impl LeftOutPeer {
    fn of_draft(draft: &DraftPeer, mistakes: Vec<ConfigError>, section: usize) -> Self {
        let addresses = draft.tunnel_addresses.iter().map(|at| IpNet::from(at.value));
        let networks = draft.prefixes.iter().map(|at| at.value).chain(addresses).collect();
        let zone = draft.zone.as_ref().map(|Placed { value, .. }| value.clone());
        Self { zone, networks, mistakes, list: PeerList::Peers, section }
    }

    fn of_wireguard_draft(
        draft: &DraftWireGuardPeer,
        mistakes: Vec<ConfigError>,
        section: usize,
    ) -> Self {
        let networks = draft.allowed_ips.iter().map(|at| at.value).collect();
        let zone = draft.name.as_ref().map(|Placed { value, .. }| value.clone());
        Self { zone, networks, mistakes, list: PeerList::WireGuardPeers, section }
    }

    pub(crate) fn of_wireguard_peer(
        peer: WireGuardPeerSettings,
        mistake: ConfigError,
        section: usize,
    ) -> Self {
        let networks = peer.allowed_ips.into_iter().collect();
        let (zone, mistakes) = (Some(peer.name), vec![mistake]);
        Self { zone, networks, mistakes, list: PeerList::WireGuardPeers, section }
    }

    /// True if it is a zone of the mesh.
    #[must_use]
    pub fn is_zone(&self) -> bool {
        self.list == PeerList::Peers
    }

    pub(crate) fn of_settings(peer: PeerSettings, mistake: ConfigError, section: usize) -> Self {
        let addresses = peer.tunnel_addresses.into_iter().map(IpNet::from);
        let networks = peer.prefixes.into_iter().chain(addresses).collect();
        let (zone, mistakes) = (Some(peer.zone), vec![mistake]);
        Self { zone, networks, mistakes, list: PeerList::Peers, section }
    }

    /// What an engineer is to know: one finding, whatever the number of mistakes.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let first = self.mistakes.first()?;
        let whose = match &self.zone {
            Some(zone) if self.is_zone() => format!("zone {zone} is left out"),
            Some(name) => format!("the WireGuard peer {name} is left out"),
            None => format!("this [[{}]] is left out", self.list),
        };
        let more = match self.mistakes.len() {
            1 => String::new(),
            all => format!(" ({all} mistakes)"),
        };
        let fix = format!(
            "{}; until then {whose}{more}: `zonemesh config check {}`, then `zonemesh reload`",
            first.fix, first.file
        );
        let subject = Subject::Setting(format!("{}[{}]", self.list, self.section));
        Some(Finding { subject, ..Finding::from(first) }.fix(fix))
    }
}

/// Takes the sections out of the draft to which all mistakes belong. Returns the mistakes that are left.
pub(crate) fn split(
    draft: &mut ConfigDraft,
    errors: Vec<ConfigError>,
    places: &mut BTreeMap<String, FilePlace>,
) -> (Vec<ConfigError>, Vec<LeftOutPeer>) {
    let mut by_section: BTreeMap<(PeerList, usize), Vec<ConfigError>> = BTreeMap::new();
    for error in &errors {
        match section_of(&error.key) {
            Some(section) => by_section.entry(section).or_default().push(error.clone()),
            None => return (errors, Vec::new()),
        }
    }
    let bad_peers = by_section.keys().filter(|(list, _)| *list == PeerList::Peers).count();
    if bad_peers > 0 && bad_peers >= draft.peers.len() {
        return (errors, Vec::new());
    }
    let mut gaps = Gaps { by_section, places };
    let peers = std::mem::take(&mut draft.peers);
    let (peers, mut left_out) = gaps.close(PeerList::Peers, peers, LeftOutPeer::of_draft);
    let plain = std::mem::take(&mut draft.wireguard_peers);
    let (plain, more) =
        gaps.close(PeerList::WireGuardPeers, plain, LeftOutPeer::of_wireguard_draft);
    (draft.peers, draft.wireguard_peers) = (peers, plain);
    left_out.extend(more);
    (Vec::new(), left_out)
}

/// What is taken out, and from where.
struct Gaps<'p> {
    by_section: BTreeMap<(PeerList, usize), Vec<ConfigError>>,
    places: &'p mut BTreeMap<String, FilePlace>,
}

impl Gaps<'_> {
    /// Those of one kind that stay, and those that do not.
    fn close<D>(
        &mut self,
        list: PeerList,
        drafts: Vec<D>,
        leave_out: fn(&D, Vec<ConfigError>, usize) -> LeftOutPeer,
    ) -> (Vec<D>, Vec<LeftOutPeer>) {
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for (section, draft) in drafts.into_iter().enumerate() {
            match self.by_section.remove(&(list, section)) {
                Some(mut mistakes) => {
                    mistakes.sort_by_key(|error| (error.line, error.column));
                    // Those behind it move up.
                    close_gap(self.places, list, section - left_out.len());
                    left_out.push(leave_out(&draft, mistakes, section));
                }
                None => kept.push(draft),
            }
        }
        (kept, left_out)
    }
}

/// The section of a key such as `peer[2].zone`. A section that is no table has none.
fn section_of(key: &str) -> Option<(PeerList, usize)> {
    let (name, rest) = key.split_once('[')?;
    let list = PeerList::ALL.into_iter().find(|list| list.as_str() == name)?;
    let (number, rest) = rest.split_once(']')?;
    let section = number.parse().ok().filter(|_| rest.starts_with('.'))?;
    Some((list, section))
}

/// Places are found by the number of a section among those that are used.
pub(crate) fn close_gap(places: &mut BTreeMap<String, FilePlace>, list: PeerList, gone: usize) {
    let moved = std::mem::take(places).into_iter().filter_map(|(key, place)| {
        let inside = key.strip_prefix(list.as_str()).and_then(|rest| rest.strip_prefix('['));
        let Some((number, rest)) = inside.and_then(|rest| rest.split_once(']')) else {
            return Some((key, place));
        };
        match number.parse::<usize>() {
            Ok(number) if number == gone => None,
            Ok(number) if number > gone => Some((format!("{list}[{}]{rest}", number - 1), place)),
            _ => Some((key, place)),
        }
    });
    *places = moved.collect();
}

/// Which of the file's sections of its kind this one of those that are used is.
pub(crate) fn in_file(list: PeerList, used: usize, left_out: &[LeftOutPeer]) -> usize {
    let is_gone = |gone: &LeftOutPeer, section| gone.list == list && gone.section == section;
    let is_used = |section: &usize| !left_out.iter().any(|gone| is_gone(gone, *section));
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

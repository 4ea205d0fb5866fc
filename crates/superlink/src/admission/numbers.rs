//! Which key has which number at this SuperLink: Flower's list has numbers only.
//!
//! Promises that a number is on disk before it is used, so that it is the same after any restart; a
//! file that cannot be read is as none, which costs each SuperNode its key and its number. Kept beside
//! Flower's database, and lost with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use zonemesh_appliance::files::{FileError, write_atomic};
use zonemesh_appliance::flower::control::ListedNode;
use zonemesh_core::record::{NodeKeyDigest, node_key_digest};

use super::wanted::WantedNodes;

/// The numbers, by what stands for a key.
pub(crate) struct NodeNumbers {
    file: PathBuf,
    known: BTreeMap<NodeKeyDigest, u64>,
}

impl NodeNumbers {
    pub(crate) fn open(file: PathBuf) -> Self {
        let known = match std::fs::read(&file) {
            Ok(bytes) => read(&bytes).unwrap_or_else(|| {
                tracing::warn!(
                    file = %file.display(),
                    "which SuperNode has which number cannot be read: each gets another"
                );
                BTreeMap::new()
            }),
            Err(_none) => BTreeMap::new(),
        };
        Self { file, known }
    }

    pub(crate) fn of(&self, key: &NodeKeyDigest) -> Option<u64> {
        self.known.get(key).copied()
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.known.values().any(|known| *known == id)
    }

    pub(crate) fn set(&mut self, key: &[u8], id: u64) -> Result<(), FileError> {
        self.known.insert(node_key_digest(key), id);
        self.write()
    }

    /// Forgets those that are neither in Flower's list nor wanted.
    pub(crate) fn retain(
        &mut self,
        listed: &[ListedNode],
        wanted: &WantedNodes,
    ) -> Result<(), FileError> {
        let before = self.known.len();
        let stays = |id: u64| listed.iter().any(|node| node.id == id);
        self.known.retain(|key, id| stays(*id) || wanted.wants(key));
        if self.known.len() == before { Ok(()) } else { self.write() }
    }

    fn write(&self) -> Result<(), FileError> {
        let by_text: BTreeMap<String, u64> =
            self.known.iter().map(|(key, id)| (hex(key), *id)).collect();
        let json = serde_json::to_vec_pretty(&by_text).unwrap_or_default();
        write_atomic(&self.file, &json, 0o600, None)
    }
}

fn hex(key: &NodeKeyDigest) -> String {
    key.iter().fold(String::new(), |mut text, byte| {
        // A String takes all that is written.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(bytes: &[u8]) -> Option<BTreeMap<NodeKeyDigest, u64>> {
    let by_text: BTreeMap<String, u64> = serde_json::from_slice(bytes).ok()?;
    by_text.into_iter().map(|(text, id)| Some((digest(&text)?, id))).collect()
}

fn digest(text: &str) -> Option<NodeKeyDigest> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut key = NodeKeyDigest::default();
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_after_a_restart_and_a_broken_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supernodes.json");
        let mut numbers = NodeNumbers::open(file.clone());
        numbers.set(b"key", u64::MAX).unwrap();
        let key = node_key_digest(b"key");
        assert_eq!(NodeNumbers::open(file.clone()).of(&key), Some(u64::MAX));
        for broken in ["", "{", "[]", r#"{"0g": 1}"#, r#"{"üüüüüüüüüüüüüüüü": 1}"#]
        {
            std::fs::write(&file, broken).unwrap();
            assert_eq!(NodeNumbers::open(file.clone()).of(&key), None, "{broken}");
        }
    }
}

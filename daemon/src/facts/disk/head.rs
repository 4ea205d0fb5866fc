//! Which authority set is followed, on disk: `trust/head`, a line of its hash, how it was chosen and up
//! to which epoch the operator has decided.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zonemesh_core::membership::{OperatorPin, SetHash, StoredHead};

use super::Write;

/// The file.
pub(super) struct HeadFile(PathBuf);

impl HeadFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("head"))
    }

    /// `None` if there is none yet. A damaged one is an error: another set must not be followed because
    /// of it.
    pub(super) fn read(&self) -> anyhow::Result<Option<StoredHead>> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(self.0.display().to_string()),
        };
        let damaged = || format!("{} is damaged", self.0.display());
        parse(&text).with_context(damaged).map(Some)
    }

    pub(super) fn write(&self, head: &StoredHead) -> Write {
        let StoredHead { set, pinned: OperatorPin { head: is_pinned, decided } } = head;
        let hash: String = set.iter().map(|byte| format!("{byte:02x}")).collect();
        let chosen = if *is_pinned { "pinned" } else { "followed" };
        Write::replace(self.0.clone(), format!("{hash} {chosen} {decided}\n").into_bytes())
    }
}

fn parse(text: &str) -> Option<StoredHead> {
    let mut words = text.split_whitespace();
    let (hash, chosen, decided) = (words.next()?, words.next()?, words.next()?);
    let head = match chosen {
        "pinned" => true,
        "followed" => false,
        _ => return None,
    };
    let pinned = OperatorPin { head, decided: decided.parse().ok()? };
    words.next().is_none().then_some(StoredHead { set: set_hash(hash)?, pinned })
}

/// 64 hexadecimal digits.
pub(crate) fn set_hash(text: &str) -> Option<SetHash> {
    let is_hexadecimal = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = SetHash::default();
    for (index, byte) in hash.iter_mut().enumerate().filter(|_| is_hexadecimal) {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    is_hexadecimal.then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn what_is_followed_is_read_back_and_a_damaged_file_is_no_other_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path());
        assert_eq!(file.read().unwrap(), None);
        for pinned in [OperatorPin::default(), OperatorPin { head: true, decided: 7 }] {
            let head = StoredHead { set: [0xa7; 32], pinned };
            write_all(&mut FileSystem, &[file.write(&head)]).unwrap();
            assert_eq!(file.read().unwrap(), Some(head));
        }
        for damaged in ["", "a7 followed 0", "pinned", &"a7".repeat(32), &"é".repeat(32)] {
            std::fs::write(folder.path().join("head"), damaged).unwrap();
            let error = file.read().unwrap_err();
            assert!(format!("{error:#}").contains("head is damaged"), "{damaged:?}");
        }
    }
}

//! Which authority set is followed, on disk: `trust/head`, a line of its hash, how it was chosen
//! and up to which epoch the operator has decided. Beside it `trust/put-out`, a line for each zone
//! key that was put out under the sets before it.
//!
//! Promises: who was put out is there before the set under which nothing else says so.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{OperatorPin, PutOut, SetHash, StoredHead};
use zonemesh_core::name::ZoneName;

use super::{Write, regular, set_aside, usable};

/// The files.
pub(super) struct HeadFile {
    head: PathBuf,
    put_out: PathBuf,
}

impl HeadFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self { head: folder.join("head"), put_out: folder.join("put-out") }
    }

    /// `None` if there is none yet. A damaged one is an error: another set must not be followed because
    /// of it.
    pub(super) fn read(&self) -> anyhow::Result<Option<StoredHead>> {
        let text = match regular::read_text(&self.head) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = || format!("{} is damaged", self.head.display());
        let mut head = parse(&text).with_context(damaged)?;
        head.put_out = self.read_put_out()?;
        Ok(Some(head))
    }

    /// Whether there is one, where no mesh is known. A damaged one without any item of a mesh beside it is
    /// no mesh's, and set aside.
    pub(super) fn is_there(&self, has_items: bool) -> anyhow::Result<bool> {
        match self.read() {
            Ok(head) => Ok(head.is_some()),
            Err(error) if has_items => Err(error),
            Err(error) => {
                set_aside(&self.head, &format!("{error:#}"));
                Ok(false)
            }
        }
    }

    /// One that cannot be used is set aside and told: the gateway need not stay down for it.
    fn read_put_out(&self) -> anyhow::Result<PutOut> {
        let keys = usable(&self.put_out, |bytes| {
            let lines = std::str::from_utf8(bytes).ok().map(str::lines);
            let keys = lines.and_then(|lines| lines.map(parse_put_out).collect::<Option<Vec<_>>>());
            keys.ok_or("a line is no zone key with its zone")
        })?;
        Ok(PutOut::new(keys.unwrap_or_default()))
    }

    pub(super) fn write(&self, head: &StoredHead) -> Vec<Write> {
        let StoredHead { set, pinned: OperatorPin { head: is_pinned, decided }, put_out } = head;
        let hash: String = set.iter().map(|byte| format!("{byte:02x}")).collect();
        let chosen = if *is_pinned { "pinned" } else { "followed" };
        let lines: String = put_out.iter().map(|(key, zone)| format!("{key} {zone}\n")).collect();
        let put_out = Write::replace(self.put_out.clone(), lines.into_bytes());
        let head = format!("{hash} {chosen} {decided}\n").into_bytes();
        vec![put_out, Write::replace(self.head.clone(), head)]
    }
}

fn parse_put_out(line: &str) -> Option<(ZonePublicKey, ZoneName)> {
    let (key, zone) = line.split_once(' ')?;
    Some((key.parse().ok()?, zone.parse().ok()?))
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
    let put_out = PutOut::default();
    words.next().is_none().then_some(StoredHead { set: set_hash(hash)?, pinned, put_out })
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
    use zonemesh_core::key::ZoneIdentity;

    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn what_is_followed_is_read_back_and_a_damaged_file_is_no_other_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path());
        assert_eq!(file.read().unwrap(), None);
        for pinned in [OperatorPin::default(), OperatorPin { head: true, decided: 7 }] {
            let key = ZoneIdentity::from_seed(&[2; 32]).public_key();
            let put_out = PutOut::new([(key, "kiel".parse().unwrap())]);
            let head = StoredHead { set: [0xa7; 32], pinned, put_out };
            write_all(&mut FileSystem, &file.write(&head)).unwrap();
            assert_eq!(file.read().unwrap(), Some(head));
        }
        for damaged in ["", "a7 followed 0", "pinned", &"a7".repeat(32), &"é".repeat(32)] {
            std::fs::write(folder.path().join("head"), damaged).unwrap();
            let error = file.read().unwrap_err();
            assert!(format!("{error:#}").contains("head is damaged"), "{damaged:?}");
        }
    }

    #[test]
    fn a_damaged_list_of_keys_that_were_put_out_is_set_aside_and_the_head_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path());
        let (set, pinned) = ([0xa7; 32], OperatorPin::default());
        let head = StoredHead { set, pinned, put_out: PutOut::default() };
        write_all(&mut FileSystem, &file.write(&head)).unwrap();
        std::fs::write(folder.path().join("put-out"), "ed25519:AAAA kiel\n").unwrap();
        assert_eq!(file.read().unwrap(), Some(head));
        assert!(folder.path().join("put-out.bad1").exists());
    }
}

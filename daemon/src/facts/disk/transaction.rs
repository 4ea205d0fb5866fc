//! Several changes of the state folder as one: all of them or none, also when the gateway is killed.
//!
//! Promises: what is to be done is written down whole, in `unfinished`, before any of it is done, and
//! forgotten behind the last; [`Together::finish`] does it again, which changes nothing that was done.
//! Where a write fails, what was done is undone as far as the disk lets it. Refuses to know what the
//! files hold.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Disk, FileSystem, Write, regular, set_aside};

/// Start of the file: kind and form.
const MAGIC: &[u8] = b"zonemesh-unfinished-1\n";

/// What is written together below one state folder.
#[derive(Clone)]
pub(crate) struct Together {
    unfinished: PathBuf,
}

impl Together {
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self { unfinished: state_folder.join("unfinished") }
    }

    /// Writes all of `writes`, or says why none of them is written.
    pub(crate) fn write(&self, disk: &mut dyn Disk, writes: &[Write]) -> io::Result<()> {
        let plan = Zeroizing::new(encode(writes));
        disk.write(&Write::Replace(self.unfinished.clone(), plan))?;
        let forget = Write::Remove(self.unfinished.clone());
        let mut undo = Vec::new();
        for write in writes {
            let before = before(write);
            if let Err(error) = disk.write(write) {
                // What cannot be undone is done at the next start.
                let undone: io::Result<()> = undo.iter().rev().try_for_each(|one| disk.write(one));
                let _ = undone.and_then(|()| disk.write(&forget));
                return Err(error);
            }
            undo.extend(before);
        }
        if let Err(error) = disk.write(&forget) {
            let file = self.unfinished.display();
            tracing::error!(%file, %error, "cannot remove the plan of what was written");
        }
        Ok(())
    }

    /// Does what was written down and not done: call it before anything in the folder is read.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let plan = match regular::read(&self.unfinished) {
            Ok(plan) => Zeroizing::new(plan),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(writes) = decode(&plan) else {
            set_aside(&self.unfinished, &"no plan of what is to be written");
            return Ok(());
        };
        for write in &writes {
            match (write, FileSystem.write(write)) {
                (Write::Create(..), Err(error)) if error.kind() == ErrorKind::AlreadyExists => {}
                (Write::Rename(..), Err(error)) if error.kind() == ErrorKind::NotFound => {}
                (_, done) => done?,
            }
        }
        tracing::info!(changes = writes.len(), "finished what was being written at the last stop");
        FileSystem.write(&Write::Remove(self.unfinished.clone()))
    }
}

/// What puts back what `write` is about to change.
fn before(write: &Write) -> Option<Write> {
    match write {
        Write::Replace(path, _) | Write::Create(path, _) | Write::Remove(path) => {
            Some(match regular::read(path) {
                Ok(content) => Write::replace(path.clone(), content),
                Err(_) => Write::Remove(path.clone()),
            })
        }
        Write::Rename(from, to) => Some(Write::Rename(to.clone(), from.clone())),
        // A folder harms nobody, and a line says what was tried.
        Write::Folder(_) | Write::Append(..) => None,
    }
}

fn encode(writes: &[Write]) -> Vec<u8> {
    let mut plan = MAGIC.to_vec();
    for write in writes {
        let (kind, path, rest): (u8, &Path, &[u8]) = match write {
            Write::Replace(path, content) => (0, path, content),
            Write::Create(path, content) => (1, path, content),
            Write::Remove(path) => (2, path, &[]),
            Write::Rename(from, to) => (3, from, to.as_os_str().as_bytes()),
            Write::Folder(path) => (4, path, &[]),
            Write::Append(path, line) => (5, path, line.as_bytes()),
        };
        plan.push(kind);
        for field in [path.as_os_str().as_bytes(), rest] {
            plan.extend_from_slice(&(field.len() as u64).to_be_bytes());
            plan.extend_from_slice(field);
        }
    }
    plan
}

fn decode(plan: &[u8]) -> Option<Vec<Write>> {
    let mut rest = plan.strip_prefix(MAGIC)?;
    let mut writes = Vec::new();
    while let Some((kind, behind)) = rest.split_first() {
        rest = behind;
        let path = path(field(&mut rest)?);
        let content = field(&mut rest)?.to_vec();
        writes.push(match kind {
            0 => Write::replace(path, content),
            1 => Write::Create(path, Zeroizing::new(content)),
            2 => Write::Remove(path),
            3 => Write::Rename(path, self::path(&content)),
            4 => Write::Folder(path),
            5 => Write::Append(path, String::from_utf8(content).ok()?),
            _ => return None,
        });
    }
    Some(writes)
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (field, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(field)
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::TrialDisk;

    /// What lies in the folder, by name.
    fn files(folder: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            let content = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), content)
        };
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(read).collect();
        files.sort();
        files
    }

    fn before_and_writes(folder: &Path) -> Vec<Write> {
        std::fs::write(folder.join("changed"), "old").unwrap();
        std::fs::write(folder.join("gone"), "old").unwrap();
        std::fs::write(folder.join("from"), "moved").unwrap();
        vec![
            Write::replace(folder.join("changed"), "new"),
            Write::Create(folder.join("made"), Zeroizing::new(b"new".to_vec())),
            Write::Remove(folder.join("gone")),
            Write::Rename(folder.join("from"), folder.join("to")),
        ]
    }

    #[test]
    fn wherever_the_writer_is_killed_all_of_it_or_nothing_is_written() {
        let mut outcomes = [0, 0];
        for kill_point in 0..=6 {
            let folder = tempfile::tempdir().unwrap();
            let writes = before_and_writes(folder.path());
            let untouched = files(folder.path());
            let together = Together::new(folder.path());
            let mut disk = TrialDisk::default();
            disk.dies_after(kill_point);
            let told = together.write(&mut disk, &writes);
            together.finish().unwrap();
            let is_done = files(folder.path()) != untouched;
            if is_done {
                let names: Vec<_> = files(folder.path()).into_iter().collect();
                let expected = [("changed", "new"), ("made", "new"), ("to", "moved")];
                let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
                assert_eq!(names, expected, "killed after {kill_point}");
            }
            assert!(is_done || told.is_err(), "told and lost, killed after {kill_point}");
            outcomes[usize::from(is_done)] += 1;
        }
        assert_eq!(outcomes, [1, 6]);
    }

    #[test]
    fn what_fails_in_the_middle_is_undone_and_not_done_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut writes = before_and_writes(folder.path());
        let untouched = files(folder.path());
        writes.push(Write::replace(folder.path().join("no/such/folder"), "x"));
        let together = Together::new(folder.path());
        assert!(together.write(&mut FileSystem, &writes).is_err());
        assert_eq!(files(folder.path()), untouched);
        together.finish().unwrap();
        assert_eq!(files(folder.path()), untouched);
    }

    #[test]
    fn a_plan_that_cannot_be_read_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let plan = encode(&before_and_writes(folder.path()));
        std::fs::write(folder.path().join("unfinished"), &plan[..plan.len() - 3]).unwrap();
        Together::new(folder.path()).finish().unwrap();
        let left = files(folder.path());
        assert!(left.iter().any(|(name, _)| name == "unfinished.bad1"), "{left:?}");
        assert!(left.contains(&("changed".to_owned(), "old".to_owned())));
    }
}

//! Files of the state folder that could not be used and were set aside: `NAME.bad1` and on.
//!
//! Nothing of them is remembered: they are told for as long as they lie there, over restarts. Promises
//! that a folder in which nothing has changed is not listed again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Folders below the state folder: those of federations lie one deeper.
const DEPTH: usize = 2;

/// What one folder had in it when it was listed.
#[derive(Debug, Clone, Default)]
struct ListedFolder {
    changed: Option<SystemTime>,
    aside: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// The files that were set aside, as they are found.
#[derive(Debug, Default)]
pub(crate) struct AsideFiles {
    listed: Mutex<BTreeMap<PathBuf, ListedFolder>>,
}

impl AsideFiles {
    /// Those below a folder, in the order of their names.
    pub(crate) fn look(&self, folder: &Path) -> Vec<PathBuf> {
        let mut known = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        let mut found = Vec::new();
        let mut waiting = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = waiting.pop() {
            let changed = std::fs::metadata(&folder).and_then(|found| found.modified()).ok();
            let before = known.remove(&folder).filter(|before| before.changed == changed);
            let listed = before.unwrap_or_else(|| list(&folder, changed));
            found.extend(listed.aside.iter().cloned());
            if depth < DEPTH {
                waiting.extend(listed.folders.iter().map(|folder| (folder.clone(), depth + 1)));
            }
            now.insert(folder, listed);
        }
        *known = now;
        found.sort();
        found
    }
}

/// What cannot be listed has nothing in it: who cannot read there says so.
fn list(folder: &Path, changed: Option<SystemTime>) -> ListedFolder {
    let mut listed = ListedFolder { changed, ..ListedFolder::default() };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|found| found.is_dir()) {
            listed.folders.push(path);
        } else if is_aside(&path) {
            listed.aside.push(path);
        }
    }
    listed
}

fn is_aside(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let number = ending.and_then(|ending| ending.strip_prefix("bad"));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::set_aside;

    #[test]
    fn what_was_set_aside_is_found_wherever_it_lies_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (root, aside) = (folder.path(), AsideFiles::default());
        assert!(aside.look(root).is_empty());
        let deep = root.join("federations/health-eu");
        std::fs::create_dir_all(&deep).unwrap();
        for file in [root.join("clock"), root.join("badger.bad"), deep.join("ca.pem")] {
            std::fs::write(&file, "garbage").unwrap();
        }
        assert!(aside.look(root).is_empty());
        set_aside(&root.join("clock"), &"no time");
        set_aside(&deep.join("ca.pem"), &"no certificate");
        let expected = [root.join("clock.bad1"), deep.join("ca.pem.bad1")];
        assert_eq!(aside.look(root), expected);
        assert_eq!(aside.look(root), expected, "nothing is listed anew, and nothing forgotten");
        std::fs::remove_file(root.join("clock.bad1")).unwrap();
        assert_eq!(aside.look(root), expected[1..]);
    }
}

//! Trust items on disk: one file per item, `trust/<id>.item`, and the mesh's first item in `mesh`.
//! Those that others must sign too before anyone believes them lie in `trust/drafts`.
//!
//! Nothing here is secret and nothing is believed because it lies here: signatures are checked anew
//! at each start. The file `mesh` says that this gateway belongs to a managed mesh, and to which.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zonemesh_core::membership::{ItemId, Membership, SignedTrustItem, TrustKind};

use super::{Write, set_aside};

const SUFFIX: &str = "item";

/// The folder of trust items and the name of the mesh.
pub(crate) struct TrustFiles {
    mesh: PathBuf,
    folder: PathBuf,
    drafts: PathBuf,
}

impl TrustFiles {
    /// Opens (and makes) the folder below the state folder.
    pub(crate) fn open(state_folder: &Path) -> io::Result<Self> {
        let folder = state_folder.join("trust");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { mesh: state_folder.join("mesh"), drafts: folder.join("drafts"), folder })
    }

    /// The managed mesh that this gateway belongs to, if it does. Items that cannot be used are set
    /// aside; others still have them.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Membership>> {
        let first = match std::fs::read(&self.mesh) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(self.mesh.display().to_string()),
        };
        let first = SignedTrustItem::from_file_bytes(&first)
            .with_context(|| format!("{} is damaged", self.mesh.display()))?;
        let mut membership = Membership::new(first)
            .with_context(|| format!("{} names no mesh", self.mesh.display()))?;
        let (paths, items): (Vec<_>, Vec<_>) = read_folder(&self.folder)?.into_iter().unzip();
        for (path, outcome) in paths.iter().zip(membership.accept_all(items)) {
            if let Err(reason) = outcome {
                set_aside(path, &reason);
            }
        }
        Ok(Some(membership))
    }

    /// Items that lack signatures, to be handed out.
    pub(crate) fn read_drafts(&self) -> io::Result<Vec<SignedTrustItem>> {
        match read_folder(&self.drafts) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => Ok(read?.into_iter().map(|(_, item)| item).collect()),
        }
    }

    /// Keeps items that lack signatures.
    pub(crate) fn write_drafts(&self, drafts: &[SignedTrustItem]) -> Vec<Write> {
        let folder = (!drafts.is_empty()).then(|| Write::Folder(self.drafts.clone()));
        let items = drafts.iter().map(|draft| write_in(&self.drafts, draft));
        folder.into_iter().chain(items).collect()
    }

    /// Keeps items. Authority sets last: one that is on disk without the grants that were signed anew
    /// for it would put zones out at the next start.
    pub(crate) fn write(&self, items: &[SignedTrustItem]) -> Vec<Write> {
        let mut items: Vec<_> = items.iter().collect();
        items.sort_by_key(|item| item.kind() == TrustKind::AuthoritySet);
        items.into_iter().map(|item| write_in(&self.folder, item)).collect()
    }

    /// Where an item lies.
    pub(crate) fn file(&self, id: &ItemId) -> PathBuf {
        self.folder.join(format!("{id}.{SUFFIX}"))
    }

    /// Keeps a whole mesh; the file that says so comes last.
    pub(crate) fn adopt(&self, membership: &Membership) -> Vec<Write> {
        let items = membership.items();
        // `Membership::items` begins with the first authority set.
        let mesh =
            items.first().map(|first| Write::replace(self.mesh.clone(), first.to_file_bytes()));
        self.write(&items).into_iter().chain(mesh).collect()
    }
}

fn write_in(folder: &Path, item: &SignedTrustItem) -> Write {
    Write::replace(folder.join(format!("{}.{SUFFIX}", item.id())), item.to_file_bytes())
}

fn read_folder(folder: &Path) -> io::Result<Vec<(PathBuf, SignedTrustItem)>> {
    let mut items = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|suffix| suffix != SUFFIX) {
            continue;
        }
        match SignedTrustItem::from_file_bytes(&std::fs::read(&path)?) {
            Ok(item) => items.push((path, item)),
            Err(error) => set_aside(&path, &error),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zonemesh_core::membership::{AuthorityIdentity, TrustItem, sign};
    use zonemesh_core::time::UnixMillis;

    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    fn write(writes: &[Write]) {
        write_all(&mut FileSystem, writes).unwrap();
    }

    fn membership() -> Membership {
        let authority = AuthorityIdentity::from_seed(&[3; 32]);
        let keys = BTreeSet::from([authority.public_key()]);
        let set = Membership::draft_first(keys, 1, UnixMillis(1)).unwrap();
        let signed = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority]);
        Membership::new(signed).unwrap()
    }

    #[test]
    fn a_mesh_is_read_back_and_a_bad_item_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        assert!(files.read().unwrap().is_none());
        let mesh = membership();
        write(&files.adopt(&mesh));
        std::fs::write(folder.path().join("trust/garbage.item"), "garbage").unwrap();
        let read = files.read().unwrap().unwrap();
        assert_eq!(read.ids(), mesh.ids());
        assert!(folder.path().join("trust/garbage.item.bad1").exists());
    }

    #[test]
    fn a_draft_is_kept_over_a_restart_and_believed_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        assert_eq!(files.read_drafts().unwrap(), []);
        let mesh = membership();
        write(&files.adopt(&mesh));
        let drafts = mesh.items();
        write(&files.write_drafts(&drafts));
        let again = TrustFiles::open(folder.path()).unwrap();
        assert_eq!(again.read_drafts().unwrap(), drafts);
        assert_eq!(again.read().unwrap().unwrap().ids(), mesh.ids());
    }

    #[test]
    fn a_mesh_whose_copy_among_the_items_is_lost_is_still_known() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        write(&files.adopt(&membership()));
        std::fs::remove_dir_all(folder.path().join("trust")).unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        assert!(files.read().unwrap().is_some());
    }

    #[test]
    fn a_damaged_name_of_the_mesh_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("mesh"), "garbage").unwrap();
        let error = files.read().err().unwrap();
        assert!(format!("{error:#}").contains("mesh is damaged"));
    }
}

//! Trust items on disk: one file per item, `trust/<name>.item`, where the name is that of its content;
//! the mesh's first item in `mesh`, the authority set that is followed in `trust/head`, beside
//! it who was put out before. Items that others must sign too before anyone believes them lie in
//! `trust/drafts`.
//!
//! Promises: items are there before the head that needs them, and go after it. Nothing here is secret,
//! signatures are checked anew at each start; only which set was followed is believed because it lies
//! here. The file `mesh` says that this gateway belongs to a managed mesh, and to which.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zonemesh_core::membership::{
    ContentId, Membership, SignedTrustItem, StoredHead, StoredTrust, TrustPreview, TrustRejected,
};

use super::head::HeadFile;
use super::{FileSystem, Write, files_of, regular, remove, rename, set_aside, usable, write_all};

const SUFFIX: &str = "item";

/// The folder of trust items and the name of the mesh.
pub(crate) struct TrustFiles {
    mesh: PathBuf,
    folder: PathBuf,
    drafts: PathBuf,
    head: HeadFile,
}

impl TrustFiles {
    /// Opens (and makes) the folder below the state folder.
    pub(crate) fn open(state_folder: &Path) -> io::Result<Self> {
        let folder = state_folder.join("trust");
        super::make_folder(&folder)?;
        let (mesh, head) = (state_folder.join("mesh"), HeadFile::new(&folder));
        Ok(Self { mesh, drafts: folder.join("drafts"), head, folder })
    }

    /// The managed mesh that this gateway belongs to, if it does. Items that cannot be used are set
    /// aside, those that count for nothing any more are removed.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Membership>> {
        let first = match regular::read(&self.mesh) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // They come and stay together: without it the barriers of all zones would go.
                let is_lost = self.head.is_there(!files_of(&self.folder, SUFFIX)?.is_empty())?;
                anyhow::ensure!(
                    !is_lost,
                    "{} is lost; restore it, or move {} away as well and join again",
                    self.mesh.display(),
                    self.folder.display()
                );
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let first = SignedTrustItem::from_file_bytes(&first)
            .with_context(|| format!("{} is damaged", self.mesh.display()))?;
        let head = self.head.read()?;
        let files = read_folder(&self.folder)?;
        let items = files.iter().map(|(_, item)| item.clone()).collect();
        let has_head = head.is_some();
        let restored = Membership::restore(StoredTrust { first, head, items });
        let (membership, outcomes) = restored.with_context(|| {
            format!("{} and {} name no mesh", self.mesh.display(), self.folder.display())
        })?;
        if !has_head {
            // A folder of release 0.1: what it has followed is followed from now on.
            write_all(&mut FileSystem, &self.head.write(&membership.stored_head()))?;
        }
        for ((path, item), outcome) in files.iter().zip(outcomes) {
            self.tidy(path, item, outcome.err(), &membership);
        }
        Ok(Some(membership))
    }

    fn tidy(
        &self,
        path: &Path,
        item: &SignedTrustItem,
        refused: Option<TrustRejected>,
        membership: &Membership,
    ) {
        match refused {
            Some(TrustRejected::NotAuthorised) => remove(path),
            Some(reason) => set_aside(path, &reason),
            None => {
                let content = item.content_id();
                let named = self.path_of(&content);
                let renamed = match membership.get_content(&content) {
                    _ if named == *path => Ok(()),
                    // Release 0.1 named files by their signatures too, so that one grant could lie in
                    // several: what is kept is what counts, not what is read last.
                    Some(whole) => {
                        let kept = Write::replace(named, whole.to_file_bytes());
                        write_all(&mut FileSystem, &[kept, Write::Remove(path.to_owned())])
                    }
                    None => rename(path, &named),
                };
                if let Err(error) = renamed {
                    tracing::warn!(file = %path.display(), %error, "cannot rename a stored item");
                }
            }
        }
    }

    /// Where what an item says lies.
    pub(crate) fn path_of(&self, content: &ContentId) -> PathBuf {
        self.folder.join(format!("{content}.{SUFFIX}"))
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

    /// Keeps items.
    pub(crate) fn write(&self, items: &[SignedTrustItem]) -> Vec<Write> {
        let write = |item: &SignedTrustItem| {
            Write::replace(self.path_of(&item.content_id()), item.to_file_bytes())
        };
        items.iter().map(write).collect()
    }

    /// Keeps which authority set is followed, and lets go of what counts for nothing under it.
    pub(crate) fn follow(
        &self,
        head: Option<&StoredHead>,
        dropped: &BTreeSet<ContentId>,
    ) -> Vec<Write> {
        let head = head.map(|head| self.head.write(head));
        let gone = dropped.iter().map(|content| Write::Remove(self.path_of(content)));
        head.into_iter().flatten().chain(gone).collect()
    }

    /// Keeps what items would do, in the order that a power cut may interrupt.
    pub(crate) fn write_preview(&self, preview: &TrustPreview) -> Vec<Write> {
        let mut writes = self.write(&preview.kept);
        writes.extend(self.follow(preview.head.as_ref(), &preview.dropped));
        writes
    }

    /// Keeps a whole mesh; the file that says so comes last.
    pub(crate) fn adopt(&self, membership: &Membership) -> Vec<Write> {
        let items = membership.items();
        // `Membership::items` begins with the first authority set.
        let mesh =
            items.first().map(|first| Write::replace(self.mesh.clone(), first.to_file_bytes()));
        let head = self.head.write(&membership.stored_head());
        self.write(&items).into_iter().chain(head).chain(mesh).collect()
    }
}

fn write_in(folder: &Path, item: &SignedTrustItem) -> Write {
    Write::replace(folder.join(format!("{}.{SUFFIX}", item.content_id())), item.to_file_bytes())
}

fn read_folder(folder: &Path) -> io::Result<Vec<(PathBuf, SignedTrustItem)>> {
    let mut items = Vec::new();
    for path in files_of(folder, SUFFIX)? {
        if let Some(item) = usable(&path, SignedTrustItem::from_file_bytes)? {
            items.push((path, item));
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::membership::{AuthorityIdentity, AuthoritySet, Grant, TrustItem};
    use zonemesh_core::time::UnixMillis;

    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    fn write(writes: &[Write]) {
        write_all(&mut FileSystem, writes).unwrap();
    }

    fn membership() -> Membership {
        let authority = AuthorityIdentity::from_seed(&[3; 32]);
        let keys = BTreeSet::from([authority.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, UnixMillis(1)).unwrap();
        Membership::new(SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set))).unwrap()
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
    fn an_item_that_cannot_be_read_keeps_no_gateway_down() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        let mesh = membership();
        write(&files.adopt(&mesh));
        let place = |name: &str| folder.path().join("trust").join(name);
        std::fs::File::create(place("long.item")).unwrap().set_len(17 << 20).unwrap();
        std::os::unix::fs::symlink(place("loop.item"), place("loop.item")).unwrap();
        std::fs::File::create(place("put-out")).unwrap().set_len(17 << 20).unwrap();
        assert_eq!(files.read().unwrap().unwrap().ids(), mesh.ids());
        for name in ["long.item.bad1", "loop.item.bad1", "put-out.bad1"] {
            assert!(place(name).symlink_metadata().is_ok(), "{name}");
        }
    }

    /// What lies in the way of a mesh that is written by hand is no mesh.
    #[test]
    fn a_damaged_head_without_a_mesh_is_set_aside_and_one_beside_items_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("trust/head"), b"\xff garbage").unwrap();
        assert!(files.read().unwrap().is_none());
        assert!(folder.path().join("trust/head.bad1").exists());
        write(&files.adopt(&membership()));
        std::fs::remove_file(folder.path().join("mesh")).unwrap();
        std::fs::write(folder.path().join("trust/head"), "garbage").unwrap();
        assert!(files.read().is_err(), "the barriers of all zones would go");
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

    /// A folder of release 0.1 whose only authority was replaced: each grant lies in it twice, signed by
    /// the key that went and by the one that came, under names of no order.
    fn old_folder(state: &Path, zones: u8) -> BTreeSet<String> {
        let [went, came] = [3, 4].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
        let set = |epoch, previous, key: &AuthorityIdentity| {
            TrustItem::AuthoritySet(AuthoritySet {
                epoch,
                previous,
                owner_keys: None,
                keys: BTreeSet::from([key.public_key()]),
                threshold: 1,
                pages: Vec::new(),
                stolen: BTreeSet::new(),
                issued_at: UnixMillis(1),
            })
        };
        let by = |item: &TrustItem, key: &AuthorityIdentity| {
            let mut item = SignedTrustItem::unsigned(item);
            item.sign(key);
            item
        };
        let first = SignedTrustItem::unsigned(&set(0, None, &went));
        let second = by(&set(1, Some(first.payload_hash()), &came), &went);
        let mesh = Membership::new(first.clone()).unwrap().mesh().clone();
        let grant = |zone: u8| {
            TrustItem::Grant(Grant {
                mesh: mesh.clone(),
                zone: format!("z{zone}").parse().unwrap(),
                zone_key: ZoneIdentity::from_seed(&[zone; 32]).public_key(),
                prefixes: vec![format!("10.10.{zone}.0/24").parse().unwrap()],
                tunnel_ips: vec![std::net::IpAddr::from([10, 255, 0, zone])],
                federations: Vec::new(),
                set: None,
                serial: zone.into(),
                since: 0,
                issued_at: UnixMillis(1),
            })
        };
        let grants = (1..=zones).map(grant);
        let grants = grants.flat_map(|grant| [by(&grant, &went), by(&grant, &came)]);
        std::fs::create_dir(state.join("trust")).unwrap();
        std::fs::write(state.join("mesh"), first.to_file_bytes()).unwrap();
        for item in grants.chain([first, second]) {
            let name = format!("trust/{}.item", item.id());
            std::fs::write(state.join(name), item.to_file_bytes()).unwrap();
        }
        (1..=zones).map(|zone| format!("z{zone}")).collect()
    }

    #[test]
    fn what_0_1_signed_anew_is_kept_over_every_restart_whatever_is_read_last() {
        let folder = tempfile::tempdir().unwrap();
        let zones = old_folder(folder.path(), 16);
        for start in 0..3 {
            let files = TrustFiles::open(folder.path()).unwrap();
            let mesh = files.read().unwrap().unwrap();
            let members: BTreeSet<_> = mesh.members().map(|m| m.zone.to_string()).collect();
            assert_eq!(members, zones, "start {start}");
        }
        let left = std::fs::read_dir(folder.path().join("trust")).unwrap().count();
        assert_eq!(left, zones.len() + 4, "two sets, the grants, the head, who was put out");
    }

    #[test]
    fn a_mesh_whose_name_is_lost_is_no_mesh_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::open(folder.path()).unwrap();
        let keys = BTreeSet::from([AuthorityIdentity::from_seed(&[1; 32]).public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, UnixMillis(1)).unwrap();
        let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set));
        write(&files.adopt(&Membership::new(first).unwrap()));
        assert!(files.read().unwrap().is_some());
        let mesh = folder.path().join("mesh");
        std::fs::remove_file(&mesh).unwrap();
        let error = format!("{:#}", files.read().err().unwrap());
        let starts = format!("{} is lost; restore it, or move ", mesh.display());
        assert!(error.starts_with(&starts), "{error}");
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

//! `zonemesh state`: a gateway's state folder as one file, and back. No daemon is asked.
//!
//! Promises: what is saved is all that the gateway needs to be itself again: its keys, its own counter
//! (in its own record), its CAs, who belongs to its mesh and how those were reached. Left out is what
//! must not come back: invitations, which may have been used since, and files that were set aside.
//! A file is never overwritten, a state folder with anything in it neither; nothing is written
//! before all of the backup has been checked.

mod document;
mod folder;

use std::path::{Path, PathBuf};

use zonemesh_core::key::{ZoneIdentity, ZonePublicKey};
use zonemesh_core::membership::{SignedTrustItem, TrustItem};
use zonemesh_core::record::SignedRecord;

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file;

use document::{Document, Saved};

/// Keys without which a gateway is not itself.
const KEYS: [&str; 2] = ["zone.key", "wireguard.key"];

/// What was done with a state folder and its backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupAction {
    Saved,
    Restored,
}

/// A backup and where it lies.
#[derive(Debug)]
pub(crate) struct StateBackup {
    pub(crate) action: BackupAction,
    pub(crate) zone_key: String,
    /// The zone's name, as far as the files say it.
    pub(crate) zone: Option<String>,
    pub(crate) state_dir: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// True if it knows a managed mesh, as that was when it was saved.
    pub(crate) is_managed: bool,
}

impl StateBackup {
    fn new(action: BackupAction, document: &Document, dir: &Path, file: &Path) -> Self {
        Self {
            action,
            zone_key: document.zone_key.clone(),
            zone: zone_name(&document.zone_key, &document.files),
            state_dir: dir.to_owned(),
            file: file.to_owned(),
            files: document.files.len(),
            bytes: document.size(),
            is_managed: document.files.iter().any(|saved| saved.path.starts_with("trust")),
        }
    }
}

/// Saves the state folder `dir` into the new file `out`.
pub(crate) fn backup(dir: &Path, out: &Path) -> Result<StateBackup, CommandFailure> {
    let files = folder::read(dir).map_err(|error| unreadable(dir, error))?;
    let zone_key = zone_key(&files).map_err(|missing| match missing {
        Some(name) => {
            let message = format!(
                "there is no {name} in {}: this is no gateway's state folder, or the configuration keeps its keys elsewhere",
                dir.display()
            );
            let next = "zonemesh state backup FILE --state-dir DIR, with gateway.state_dir";
            CommandFailure::message(Exit::Configuration, message).next(next)
        }
        None => {
            let message = format!("{} holds no key", dir.join(KEYS[0]).display());
            CommandFailure::message(Exit::Configuration, message)
        }
    })?;
    let document = Document::new(zone_key, files);
    secret_file::create(out, &document.to_json()?)?;
    Ok(StateBackup::new(BackupAction::Saved, &document, dir, out))
}

/// Writes the state that was saved in `file` into the folder `dir`, which must hold nothing.
pub(crate) fn restore(file: &Path, dir: &Path) -> Result<StateBackup, CommandFailure> {
    let text = secret_file::read_up_to(file, document::MAX_BYTES)?;
    let document = Document::from_json(&text)
        .or_exit(Exit::Configuration, || format!("{} cannot be restored", file.display()))?;
    if zone_key(&document.files).ok().as_deref() != Some(document.zone_key.as_str()) {
        let message = format!("{} holds other keys than it says", file.display());
        return Err(CommandFailure::message(Exit::Configuration, message));
    }
    match folder::is_empty(dir) {
        Ok(true) => {}
        Ok(false) => {
            let message = format!(
                "{} holds something already and is not overwritten: a gateway that has run has keys of its own",
                dir.display()
            );
            let next = format!(
                "systemctl stop zonemeshd && mv {0} {0}.old, then restore again",
                dir.display()
            );
            return Err(CommandFailure::message(Exit::Policy, message).next(next));
        }
        Err(error) => return Err(unreadable(dir, error)),
    }
    folder::write(dir, &document.files).map_err(|error| unreadable(dir, error))?;
    Ok(StateBackup::new(BackupAction::Restored, &document, dir, file))
}

/// The public half of the zone's key; otherwise the key file that is missing, or `None` if the one
/// that is there holds no key.
fn zone_key(files: &[Saved]) -> Result<String, Option<&'static str>> {
    let find = |name: &str| files.iter().find(|saved| saved.path == Path::new(name));
    if let Some(missing) = KEYS.into_iter().find(|name| find(name).is_none()) {
        return Err(Some(missing));
    }
    let text = find(KEYS[0]).and_then(|saved| std::str::from_utf8(&saved.content).ok());
    let identity = text.and_then(|text| ZoneIdentity::from_base64(text).ok()).ok_or(None)?;
    Ok(identity.public_key().to_string())
}

/// The name that this key was granted, or that its own record says.
fn zone_name(zone_key: &str, files: &[Saved]) -> Option<String> {
    let key: ZonePublicKey = zone_key.parse().ok()?;
    let under =
        |folder: &'static str| files.iter().filter(move |saved| saved.path.starts_with(folder));
    let grants = under("trust").filter_map(|saved| {
        match SignedTrustItem::from_file_bytes(&saved.content).ok()?.decode().ok()? {
            TrustItem::Grant(grant) if grant.zone_key == key => Some(grant),
            _ => None,
        }
    });
    let granted = grants.max_by_key(|grant| grant.issued_at).map(|grant| grant.zone.to_string());
    let recorded = || {
        let records =
            under("records").filter_map(|saved| SignedRecord::from_file_bytes(&saved.content).ok());
        let own = records.filter(|record| record.verify(&key));
        own.filter_map(|record| record.decode().ok()).map(|record| record.zone.to_string()).next()
    };
    granted.or_else(recorded)
}

fn unreadable(dir: &Path, error: folder::FolderError) -> CommandFailure {
    let message = format!("cannot use the state folder {}", dir.display());
    CommandFailure::new(Exit::Configuration, anyhow::Error::new(error).context(message))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ZONE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n";

    fn gateway() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("zone.key", ZONE);
        write("wireguard.key", "secret\n");
        write("records/berlin.record", "\u{0}counter");
        write("records/berlin.record.bad1", "set aside");
        write("trust/ab.item", "grant");
        write("invitations/00.issued", "may be used by now");
        write("federations/health-eu/ca.key", "ca");
        dir
    }

    fn restored(dir: &Path, name: &str) -> Option<String> {
        fs::read_to_string(dir.join(name)).ok()
    }

    #[test]
    fn what_was_saved_is_restored_private_and_without_what_must_not_come_back() {
        let (from, work) = (gateway(), tempfile::tempdir().unwrap());
        let (file, to) = (work.path().join("berlin.state"), work.path().join("a/state"));
        backup(from.path(), &file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        restore(&file, &to).unwrap();
        assert_eq!(restored(&to, "zone.key").unwrap(), ZONE);
        assert_eq!(restored(&to, "records/berlin.record").unwrap(), "\u{0}counter");
        assert_eq!(restored(&to, "federations/health-eu/ca.key").unwrap(), "ca");
        assert!(restored(&to, "trust/ab.item").is_some());
        assert!(restored(&to, "records/berlin.record.bad1").is_none());
        assert!(restored(&to, "invitations/00.issued").is_none());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("zone.key"))), (0o700, 0o600));
    }

    #[test]
    fn neither_a_file_nor_a_state_folder_is_overwritten() {
        let (from, work) = (gateway(), tempfile::tempdir().unwrap());
        let file = work.path().join("berlin.state");
        backup(from.path(), &file).unwrap();
        assert_eq!(backup(from.path(), &file).unwrap_err().exit, Exit::Policy);
        let other = gateway();
        fs::write(other.path().join("zone.key"), "another").unwrap();
        assert_eq!(restore(&file, other.path()).unwrap_err().exit, Exit::Policy);
        assert_eq!(restored(other.path(), "zone.key").unwrap(), "another");
    }

    #[test]
    fn a_damaged_or_hostile_backup_writes_nothing() {
        let (from, work) = (gateway(), tempfile::tempdir().unwrap());
        let (file, to) = (work.path().join("berlin.state"), work.path().join("state"));
        backup(from.path(), &file).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let (half, _) = good.split_at(good.len() / 2);
        let changed = [
            half.to_owned(),
            String::new(),
            good.replace("trust/ab.item", "../ab.item"),
            good.replace("trust/ab.item", "/etc/ab.item"),
            good.replace("Z3JhbnQ=", "Z3JhbnU="),
            good.replace("state-backup/v1", "state-backup/v2"),
            good.replace("\"zone_key\":\"ed25519:", "\"zone_key\":\"ed25519:A"),
        ];
        for text in changed {
            assert_ne!(text, good);
            fs::write(&file, text).unwrap();
            assert_eq!(restore(&file, &to).unwrap_err().exit, Exit::Configuration);
            assert!(!to.exists());
        }
    }

    #[test]
    fn a_restore_that_fails_midway_leaves_nothing_and_may_be_typed_again() {
        let (from, work) = (gateway(), tempfile::tempdir().unwrap());
        let (file, to) = (work.path().join("berlin.state"), work.path().join("state"));
        // Two entries of one name: the second cannot be written.
        let mut files = folder::read(from.path()).unwrap();
        let twice = files.iter().find(|saved| saved.path.starts_with("trust")).unwrap();
        let twice = Saved { path: twice.path.clone(), content: twice.content.clone() };
        files.push(twice);
        let key = zone_key(&files).unwrap();
        let text = Document::new(key, files).to_json().unwrap();
        fs::write(&file, &*text).unwrap();
        for is_there in [false, true] {
            if is_there {
                fs::create_dir(&to).unwrap();
            }
            assert!(restore(&file, &to).is_err());
            assert_eq!(to.exists(), is_there);
            let left = fs::read_dir(work.path()).unwrap().count();
            assert_eq!(left, 1 + usize::from(is_there), "nothing beside it either");
        }
        fs::remove_file(&file).unwrap();
        backup(from.path(), &file).unwrap();
        assert!(restore(&file, &to).unwrap().is_managed);
        assert_eq!(restored(&to, "zone.key").unwrap(), ZONE);
    }

    #[test]
    fn a_folder_without_keys_is_no_state_folder() {
        let work = tempfile::tempdir().unwrap();
        let failure = backup(work.path(), &work.path().join("x")).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(!work.path().join("x").exists());
    }
}

//! The state folder on disk, read and written file by file.
//!
//! What it holds is described in docs/REFERENCE.md (*State of a gateway*). New files and folders
//! belong to the owner of the state folder and to nobody else.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{MAX_BYTES, Saved};

/// Deepest folder below the state folder.
const MAX_DEPTH: usize = 8;

/// What went wrong, and at which path.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is neither a file nor a folder, or lies too deep", .0.display())]
    Unexpected(PathBuf),
    #[error("it holds more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    |source| FolderError::Io { path: path.to_owned(), source }
}

/// All files that belong into a backup, in the order of their paths.
pub(super) fn read(dir: &Path) -> Result<Vec<Saved>, FolderError> {
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(dir: &Path, below: &Path, files: &mut Vec<Saved>) -> Result<(), FolderError> {
    let folder = dir.join(below);
    for entry in fs::read_dir(&folder).map_err(at(&folder))? {
        let entry = entry.map_err(at(&folder))?;
        let path = below.join(entry.file_name());
        if is_left_out(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(at(&entry.path()))?;
        if kind.is_dir() && path.components().count() < MAX_DEPTH {
            collect(dir, &path, files)?;
        } else if kind.is_file() {
            let mut content = Zeroizing::new(Vec::new());
            let opened = File::open(entry.path());
            let read = opened.and_then(|f| f.take(MAX_BYTES).read_to_end(&mut content));
            let so_far: usize = files.iter().map(|saved| saved.content.len()).sum();
            let size = so_far + read.map_err(at(&entry.path()))?;
            if size as u64 >= MAX_BYTES {
                return Err(FolderError::TooLarge);
            }
            files.push(Saved { path, content });
        } else {
            return Err(FolderError::Unexpected(entry.path()));
        }
    }
    Ok(())
}

/// Invitations, what the daemon set aside, what it is just writing.
fn is_left_out(path: &Path) -> bool {
    let set_aside = path.extension().and_then(|suffix| suffix.to_str()).is_some_and(|suffix| {
        let number = suffix.strip_prefix("bad");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
    });
    let name = path.file_name().and_then(|name| name.to_str());
    // What was in force is the machine's, and old by the time it is restored.
    let is_machines = [Path::new("invitations"), Path::new("in-force.toml")].contains(&path);
    set_aside || is_machines || name.is_some_and(|n| n.starts_with(".tmp"))
}

/// True if there is no such folder, or nothing in it.
pub(super) fn is_empty(dir: &Path) -> Result<bool, FolderError> {
    match fs::read_dir(dir) {
        // What ext4 puts into a disk that is new.
        Ok(entries) => Ok(entries.flatten().all(|entry| entry.file_name() == "lost+found")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(at(dir)(error)),
    }
}

/// Puts the files into a folder that is missing or empty, all of them or none: they are written beside
/// it, and take its place when they are on disk.
pub(super) fn write(dir: &Path, files: &[Saved]) -> Result<(), FolderError> {
    let (parent, beside) = beside(dir);
    make_folder(parent)?;
    let staged = match fs::metadata(dir) {
        Ok(place) if is_mounted(&place, parent) => return fill_mount(dir, files),
        Ok(place) => make_like(&beside, &place),
        Err(_) => DirBuilder::new().mode(0o700).create(&beside).map_err(at(&beside)),
    };
    let done = staged.and_then(|()| fill(&beside, files)).and_then(|()| {
        match fs::rename(&beside, dir) {
            // A folder of the same disk is mounted here.
            Err(error) if error.kind() == ErrorKind::ResourceBusy => return fill_mount(dir, files),
            renamed => renamed.map_err(at(dir))?,
        }
        sync(parent)
    });
    // Nothing is there any more if it took its place; what cannot be removed either is named by the
    // error that is told.
    let _ = fs::remove_dir_all(&beside);
    done
}

fn is_mounted(place: &fs::Metadata, parent: &Path) -> bool {
    fs::metadata(parent).is_ok_and(|parent| parent.dev() != place.dev())
}

/// The same for a mount point, whose place nothing can take: the files are written into a folder in it
/// and then moved up, those last without which no daemon starts.
fn fill_mount(dir: &Path, files: &[Saved]) -> Result<(), FolderError> {
    let inside = dir.join(format!(".tmp-restored-{}", std::process::id()));
    make_like(&inside, &fs::metadata(dir).map_err(at(dir))?)?;
    let mut moved = Vec::new();
    let done = fill(&inside, files).and_then(|()| {
        let entries = fs::read_dir(&inside).map_err(at(&inside))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(at(&inside))?;
        names.sort_by_key(|name| (name != "trust", name == "mesh"));
        for name in names {
            let place = dir.join(&name);
            fs::rename(inside.join(&name), &place).map_err(at(&place))?;
            moved.push(place);
        }
        sync(dir)
    });
    if done.is_err() {
        moved.iter().for_each(|path| drop(fs::remove_dir_all(path).or(fs::remove_file(path))));
    }
    let _ = fs::remove_dir_all(&inside);
    done
}

fn sync(folder: &Path) -> Result<(), FolderError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(at(folder))
}

/// The folder above, and a name beside that no state folder has.
fn beside(dir: &Path) -> (&Path, PathBuf) {
    let parent = dir.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    (parent, parent.join(format!(".{name}.restored-{}", std::process::id())))
}

/// Makes a folder that is whose `place` is, with its rights.
fn make_like(path: &Path, place: &fs::Metadata) -> Result<(), FolderError> {
    DirBuilder::new().mode(0o700).create(path).map_err(at(path))?;
    give(path, place)?;
    fs::set_permissions(path, place.permissions()).map_err(at(path))
}

/// Writes the files; every one and every folder is on disk when it ends.
fn fill(dir: &Path, files: &[Saved]) -> Result<(), FolderError> {
    let owner = fs::metadata(dir).map_err(at(dir))?;
    let mut made = BTreeSet::from([dir.to_owned()]);
    for saved in files {
        let path = dir.join(&saved.path);
        for folder in folders(&saved.path) {
            let folder = dir.join(folder);
            make_folder(&folder)?;
            give(&folder, &owner)?;
            made.insert(folder);
        }
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = opened.map_err(at(&path))?;
        file.write_all(&saved.content).and_then(|()| file.sync_all()).map_err(at(&path))?;
        give(&path, &owner)?;
    }
    made.iter().try_for_each(|folder| sync(folder))
}

/// The folders above a file, the highest first.
fn folders(path: &Path) -> Vec<&Path> {
    let above = path.ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    let mut above: Vec<_> = above.collect();
    above.reverse();
    above
}

fn make_folder(path: &Path) -> Result<(), FolderError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// The daemon may run as another user than who restores.
fn give(path: &Path, owner: &fs::Metadata) -> Result<(), FolderError> {
    let mine = fs::metadata(path).map_err(at(path))?;
    if (mine.uid(), mine.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid())).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(path: &str) -> Saved {
        Saved { path: path.into(), content: Zeroizing::new(path.as_bytes().to_vec()) }
    }

    #[test]
    fn a_mount_point_is_filled_whole_or_not_at_all() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("lost+found")).unwrap();
        assert!(is_empty(mount.path()).unwrap());
        let files = ["mesh", "trust/ab.item", "zone.key"].map(saved);
        // The last that is moved finds something in its place.
        let obstacle = mount.path().join("mesh");
        fs::create_dir(&obstacle).unwrap();
        assert!(fill_mount(mount.path(), &files).is_err());
        fs::remove_dir(&obstacle).unwrap();
        assert!(is_empty(mount.path()).unwrap(), "nothing stays");
        fill_mount(mount.path(), &files).unwrap();
        let read: Vec<_> = read(mount.path()).unwrap().into_iter().map(|f| f.path).collect();
        assert_eq!(read, ["mesh", "trust/ab.item", "zone.key"].map(PathBuf::from));
    }
}

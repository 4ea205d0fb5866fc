//! The one writer of the state folder, on a thread of its own.
//!
//! Callers say what is to be written and await how it went; no lock is held and no worker of the async
//! runtime waits for a disk meanwhile. What follows from a write runs on this thread too, right after it,
//! whether its caller still waits or has gone: what is on disk and what is in force stay the same.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{create, replace};

/// Work that may wait; who brings more waits for room.
const QUEUE: usize = 1024;

/// One change of the state folder.
#[derive(Clone)]
pub(crate) enum Write {
    /// A file of mode 0600 with this content, in place of one that may be there.
    Replace(PathBuf, Zeroizing<Vec<u8>>),
    /// The same where there is no file yet.
    Create(PathBuf, Zeroizing<Vec<u8>>),
    /// No file; one that is gone already is no error.
    Remove(PathBuf),
    /// The first file in the place of the second.
    Rename(PathBuf, PathBuf),
    /// A folder, if it is not there.
    Folder(PathBuf),
    /// A line at the end of a file of mode 0600 that is kept within its bound.
    Append(PathBuf, String),
}

impl Write {
    pub(crate) fn replace(path: PathBuf, content: impl Into<Vec<u8>>) -> Self {
        Self::Replace(path, Zeroizing::new(content.into()))
    }
}

/// What can be written to: the state folder, or what a test has in its place.
pub(crate) trait Disk: Send {
    /// Done and durable when it returns.
    fn write(&mut self, write: &Write) -> io::Result<()>;
}

/// The state folder.
pub(crate) struct FileSystem;

impl Disk for FileSystem {
    fn write(&mut self, write: &Write) -> io::Result<()> {
        match write {
            Write::Replace(path, content) => replace(path, content),
            Write::Create(path, content) => create(path, content),
            Write::Remove(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            Write::Rename(from, to) => super::rename(from, to),
            Write::Folder(path) => super::make_folder(path),
            Write::Append(path, line) => super::append(path, line),
        }
    }
}

/// A disk that takes longer: none for a gateway, some where a test looks who waits for it.
pub(crate) struct SlowDisk<D> {
    pub(crate) disk: D,
    pub(crate) write_delay: Duration,
}

impl<D: Disk> Disk for SlowDisk<D> {
    fn write(&mut self, write: &Write) -> io::Result<()> {
        std::thread::sleep(self.write_delay);
        self.disk.write(write)
    }
}

/// Writes all of `writes` or, as far as it can, none: files that were not there before go again.
pub(crate) fn write_all(disk: &mut dyn Disk, writes: &[Write]) -> io::Result<()> {
    let mut new = Vec::new();
    for write in writes {
        let made = match write {
            Write::Replace(path, _) | Write::Create(path, _) if !path.exists() => Some(path),
            _ => None,
        };
        if let Err(error) = disk.write(write) {
            for path in new {
                // What is left of it is told by the error that counts.
                let _ = disk.write(&Write::Remove(path));
            }
            return Err(error);
        }
        new.extend(made.cloned());
    }
    Ok(())
}

type Work = Box<dyn FnOnce(&mut dyn Disk) + Send>;

/// Hands work to the writer's thread, which ends with the last handle.
#[derive(Clone)]
pub(crate) struct DiskWriter(mpsc::Sender<Work>);

impl DiskWriter {
    /// Starts the thread.
    pub(crate) fn start(mut disk: impl Disk + 'static) -> io::Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let write = move || {
            while let Some(work) = work.blocking_recv() {
                work(&mut disk);
            }
        };
        std::thread::Builder::new().name("zm-disk".to_owned()).spawn(write)?;
        Ok(Self(queue))
    }

    /// Does `work` in its turn. It is done also if the caller waits no longer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Disk) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move |disk| {
            // Nobody waits any more: what was asked for is done all the same.
            let _ = done.send(work(disk));
        });
        self.0.send(work).await.map_err(|_gone: mpsc::error::SendError<Work>| ended())?;
        answer.await.map_err(|_gone: oneshot::error::RecvError| ended())
    }

    /// Writes all of this, or says why not.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> io::Result<()> {
        self.run(move |disk| write_all(disk, &writes)).await?
    }

    /// Waits until everything is written that was asked for before.
    pub(crate) async fn flush(&self) {
        // A thread that has ended has nothing left to write.
        let _ = self.run(|_| ()).await;
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that writes the state folder has ended")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// A disk that a test fills up and makes wait.
    #[derive(Clone, Default)]
    pub(crate) struct TrialDisk {
        pub(crate) is_full: Arc<AtomicBool>,
        /// Whoever holds this holds the disk up.
        pub(crate) busy: Arc<Mutex<()>>,
        /// How many more writes are done before the writer is killed, if it is.
        left: Arc<Mutex<Option<usize>>>,
    }

    impl TrialDisk {
        /// The gateway is killed behind so many more writes.
        pub(crate) fn dies_after(&self, writes: usize) {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(writes);
        }

        fn is_dead(&self) -> bool {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(writes) = &mut *left else { return false };
            let is_dead = *writes == 0;
            *writes = writes.saturating_sub(1);
            is_dead
        }
    }

    impl Disk for TrialDisk {
        fn write(&mut self, write: &Write) -> io::Result<()> {
            drop(self.busy.lock().unwrap_or_else(PoisonError::into_inner));
            if self.is_dead() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let adds = !matches!(write, Write::Remove(_));
            if adds && self.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            FileSystem.write(write)
        }
    }

    /// A writer into the real file system.
    pub(crate) fn writer() -> DiskWriter {
        DiskWriter::start(FileSystem).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_there_when_its_writer_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let writer = writer();
        writer.write(vec![Write::replace(one.clone(), "1")]).await.unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), b"1");
        writer.write(vec![Write::Rename(one.clone(), two.clone())]).await.unwrap();
        assert!(!one.exists() && two.exists());
        let there = writer.write(vec![Write::Create(two.clone(), Zeroizing::default())]).await;
        assert_eq!(there.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        writer.write(vec![Write::Remove(two.clone()), Write::Remove(two)]).await.unwrap();
    }

    #[tokio::test]
    async fn of_a_write_that_fails_in_the_middle_nothing_new_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first");
        let nowhere = folder.path().join("no/such/folder");
        let writes = vec![Write::replace(path.clone(), "1"), Write::replace(nowhere, "2")];
        assert!(writer().write(writes).await.is_err());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_slow_disk_holds_up_nobody_but_who_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let disk = TrialDisk::default();
        let writer = DiskWriter::start(disk.clone()).unwrap();
        let path = folder.path().join("file");
        let busy = tokio::task::spawn_blocking(move || {
            let _busy = disk.busy.lock().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(300));
        });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let mut write = std::pin::pin!(writer.write(vec![Write::replace(path.clone(), "1")]));
        // The only worker of this runtime goes on meanwhile.
        let turn = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(turn, &mut write).await.is_err() && !path.exists());
        write.await.unwrap();
        assert!(path.exists());
        busy.await.unwrap();
    }

    #[tokio::test]
    async fn a_write_whose_caller_has_gone_is_done_with_what_follows_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let disk = TrialDisk::default();
        let writer = DiskWriter::start(disk.clone()).unwrap();
        let (path, followed) = (folder.path().join("file"), Arc::new(AtomicBool::new(false)));
        let (wanted, then) = (path.clone(), followed.clone());
        let work = move |disk: &mut dyn Disk| {
            write_all(disk, &[Write::replace(wanted, "1")]).unwrap();
            then.store(true, Ordering::Relaxed);
        };
        let gone = tokio::time::timeout(std::time::Duration::ZERO, writer.run(work)).await;
        drop(gone);
        writer.flush().await;
        assert!(path.exists() && followed.load(Ordering::Relaxed));
    }
}

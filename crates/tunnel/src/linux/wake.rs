//! Waiting: poll over descriptors together with a stop signal.
//!
//! A [`StopSignal`] stays raised once raised, so that every thread sees it however late it looks.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::sys;

/// An eventfd that tells threads to end. Clones are the same signal.
#[derive(Clone)]
pub(crate) struct StopSignal(Arc<OwnedFd>);

impl StopSignal {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = sys::own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Self(Arc::new(fd)))
    }

    /// Raises the signal for good. A full counter means that it is raised already.
    pub(crate) fn raise(&self) {
        // SAFETY: no pointers are passed, the descriptor is open as long as `self`.
        unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) };
    }

    /// Waits until the signal is raised (true) or the time is over (false).
    pub(crate) fn wait_timeout(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [poll_in(self.0.as_raw_fd())];
        poll(&mut fds, timeout.as_millis().try_into().unwrap_or(libc::c_int::MAX))?;
        Ok(fds[0].revents != 0)
    }
}

/// An eventfd that wakes a thread once for each time it is rung, or once for several.
pub(crate) struct WakeBell(OwnedFd);

impl WakeBell {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        sys::own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// Wakes who waits. A full counter means that it has been rung already.
    pub(crate) fn ring(&self) {
        // SAFETY: no pointers are passed, the descriptor is open as long as `self`.
        unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) };
    }

    /// Was heard. It may not have been rung.
    pub(crate) fn clear(&self) {
        let mut count = 0;
        // SAFETY: `count` lives until the call returns, the descriptor is open as long as `self`.
        unsafe { libc::eventfd_read(self.0.as_raw_fd(), &raw mut count) };
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Why a [`Poller`] woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// Bit n: descriptor n has something to read, or an error to report.
    Ready(u8),
    /// The stop signal is raised.
    Stop,
}

/// Waits for up to seven descriptors and a stop signal. Whoever makes one keeps them open.
pub(crate) struct Poller {
    fds: Vec<libc::pollfd>,
    _stop: StopSignal,
}

impl Poller {
    pub(crate) fn new(readable: &[RawFd], stop: StopSignal) -> Self {
        let mut fds = vec![poll_in(stop.0.as_raw_fd())];
        fds.extend(readable.iter().take(7).map(|fd| poll_in(*fd)));
        Self { fds, _stop: stop }
    }

    /// Whether descriptor `bit` is waited for.
    pub(crate) fn set_watched(&mut self, bit: usize, is_watched: bool) {
        // poll(2) passes over negative descriptors; the complement is its own inverse.
        let entry = &mut self.fds[1 + bit];
        if (entry.fd >= 0) != is_watched {
            entry.fd = !entry.fd;
        }
    }

    /// Blocks until there is something to do.
    pub(crate) fn wait(&mut self) -> io::Result<WakeReason> {
        self.wait_for(-1)
    }

    /// Blocks until there is something to do or the time is over (nothing is ready then).
    pub(crate) fn wait_timeout(&mut self, timeout: Duration) -> io::Result<WakeReason> {
        self.wait_for(timeout.as_millis().try_into().unwrap_or(libc::c_int::MAX))
    }

    fn wait_for(&mut self, timeout_ms: libc::c_int) -> io::Result<WakeReason> {
        poll(&mut self.fds, timeout_ms)?;
        if self.fds[0].revents != 0 {
            return Ok(WakeReason::Stop);
        }
        let bits = self.fds[1..].iter().enumerate();
        Ok(WakeReason::Ready(bits.map(|(bit, fd)| u8::from(fd.revents != 0) << bit).sum()))
    }
}

/// SIGTERM and SIGINT as something to wait for. For good: the process does not end by them any
/// more, and child processes would inherit that.
pub(crate) struct Termination(OwnedFd);

impl Termination {
    /// Call it before the first thread starts, so that no thread is left to be ended by them.
    pub(crate) fn block() -> io::Result<Self> {
        // SAFETY: `sigset_t` is a C struct of integers; `signals` is initialised by sigemptyset
        // and lives until the calls return.
        let fd = unsafe {
            let mut signals: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut signals);
            libc::sigaddset(&raw mut signals, libc::SIGTERM);
            libc::sigaddset(&raw mut signals, libc::SIGINT);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
            libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        sys::own(fd).map(Self)
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until `fd` takes data again, or the time is over.
pub(crate) fn wait_writable(fd: &OwnedFd, timeout: Duration) -> io::Result<()> {
    let events = libc::POLLOUT;
    let mut fds = [libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }];
    poll(&mut fds, timeout.as_millis().try_into().unwrap_or(libc::c_int::MAX))
}

fn poll_in(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn poll(fds: &mut [libc::pollfd], timeout_ms: libc::c_int) -> io::Result<()> {
    for fd in fds.iter_mut() {
        fd.revents = 0;
    }
    // SAFETY: pointer and length describe `fds`, which lives until the call returns.
    match sys::check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) })
    {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_signal_stays_raised_for_everyone() {
        let signal = StopSignal::new().unwrap();
        assert!(!signal.wait_timeout(Duration::ZERO).unwrap());
        signal.raise();
        for _ in 0..2 {
            assert!(signal.wait_timeout(Duration::ZERO).unwrap());
            let mut poller = Poller::new(&[], signal.clone());
            assert_eq!(poller.wait().unwrap(), WakeReason::Stop);
        }
    }

    #[test]
    fn a_bell_wakes_once_and_only_who_watches_it() {
        let bell = WakeBell::new().unwrap();
        let mut poller = Poller::new(&[bell.as_raw_fd()], StopSignal::new().unwrap());
        let mut look = || poller.wait_timeout(Duration::ZERO).unwrap();
        assert_eq!(look(), WakeReason::Ready(0));
        bell.ring();
        bell.ring();
        assert_eq!(look(), WakeReason::Ready(1));
        bell.clear();
        assert_eq!(look(), WakeReason::Ready(0));
        bell.ring();
        poller.set_watched(0, false);
        assert_eq!(poller.wait_timeout(Duration::ZERO).unwrap(), WakeReason::Ready(0));
        poller.set_watched(0, true);
        assert_eq!(poller.wait_timeout(Duration::ZERO).unwrap(), WakeReason::Ready(1));
    }

    #[test]
    fn a_readable_descriptor_is_named_by_its_bit() {
        let (idle, ready) = (StopSignal::new().unwrap(), StopSignal::new().unwrap());
        ready.raise();
        let fds = [idle.0.as_raw_fd(), ready.0.as_raw_fd()];
        let mut poller = Poller::new(&fds, StopSignal::new().unwrap());
        assert_eq!(poller.wait().unwrap(), WakeReason::Ready(0b10));
    }
}

//! The WireGuard UAPI on a unix socket: what `wg show`, `wg set` and `wg setconf` speak.
//!
//! Two kinds of interface are behind such a socket: one that `wg` alone configures ([`serve`]), and
//! one that belongs to a gateway agent, which `wg` shows in full and may hardly change ([`attach`]).
//! Specification: <https://www.wireguard.com/xplatform/>.

mod answer;
mod clients;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod interface;
mod managed;
mod request;
mod socket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::clients::{UapiClients, lock};
use self::interface::WireGuardInterface;
use self::managed::ManagedInterface;
use self::socket::UapiSocket;
use crate::error::StartError;
use crate::linux::wake::{Poller, StopSignal, Termination, WakeReason};
use crate::tunnel::Tunnel;

/// Why an interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The tunnel does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The socket cannot be made.
    #[error("cannot serve {path}: its folder must be this user's to write, and no other process may serve it", path = path.display())]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// From making the folder, or from binding the path.
        #[source]
        source: io::Error,
    },
    /// The kernel gives no descriptors or threads to wait with.
    #[error("cannot wait for requests")]
    Wait(#[source] io::Error),
}

/// True if somebody answers on the socket of interface `name`.
#[must_use]
pub fn is_served(name: &str) -> bool {
    socket::is_served(name)
}

/// Creates the interface `name` and serves its socket until SIGTERM, SIGINT, or the deletion of
/// the interface. Nothing is left behind but `clock_file`, in which the time of the last handshakes
/// is kept.
///
/// # Errors
/// [`ServeError`].
pub fn serve(name: &str, mtu: u16, clock_file: Option<&Path>) -> Result<(), ServeError> {
    // Before any thread starts: they are to inherit the blocked signals.
    let termination = Termination::block().map_err(ServeError::Wait)?;
    let interface = Arc::new(Mutex::new(WireGuardInterface::create(name, mtu, clock_file)?));
    let socket = UapiSocket::bind(Path::new(socket::FOLDER), name)?;
    let never = StopSignal::new().map_err(ServeError::Wait)?;
    let fds = [socket.as_raw_fd(), termination.as_raw_fd()];
    let mut poller = Poller::new(&fds, never);
    let mut clients = UapiClients::default();
    tracing::info!(interface = name, "ready");
    while lock(&interface).is_running() {
        match poller.wait_timeout(Duration::from_secs(1)).map_err(ServeError::Wait)? {
            WakeReason::Ready(0) => {}
            WakeReason::Ready(0b01) => clients.admit(&socket.listener, &interface),
            _ => break,
        }
    }
    tracing::info!(interface = name, dropped = lock(&interface).dropped(), "stopping");
    Ok(())
}

/// The socket of a running tunnel; it is removed when this value goes.
pub struct UapiAttachment {
    stop: StopSignal,
    thread: Option<JoinHandle<()>>,
}

/// Serves the socket of a tunnel that somebody else owns, in `folder`: `wg` shows all of it, and may tell where
/// a peer is; whatever else it asks for is refused with EOPNOTSUPP and a warning in the log that
/// says `instead`: where the setting is made. Holds no tunnel alive.
///
/// # Errors
/// [`ServeError`]; another process that answers on the socket keeps it.
pub fn attach(
    tunnel: &Arc<Tunnel>,
    folder: &Path,
    instead: &'static str,
) -> Result<UapiAttachment, ServeError> {
    let name = tunnel.status().interface;
    let socket = UapiSocket::bind(folder, &name)?;
    let stop = StopSignal::new().map_err(ServeError::Wait)?;
    let device = Arc::new(Mutex::new(ManagedInterface::new(tunnel, instead)));
    let mut poller = Poller::new(&[socket.as_raw_fd()], stop.clone());
    let serve = move || {
        let mut clients = UapiClients::default();
        while let Ok(WakeReason::Ready(_)) = poller.wait() {
            clients.admit(&socket.listener, &device);
        }
        drop(socket);
    };
    let spawned = thread::Builder::new().name("zm-uapi".to_owned()).spawn(serve);
    let thread = Some(spawned.map_err(ServeError::Wait)?);
    Ok(UapiAttachment { stop, thread })
}

impl Drop for UapiAttachment {
    fn drop(&mut self) {
        self.stop.raise();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the UAPI socket ended in a panic");
        }
    }
}

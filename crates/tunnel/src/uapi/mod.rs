//! The WireGuard UAPI on a unix socket: what `wg show`, `wg set` and `wg setconf` speak.
//!
//! Each connection has a thread, a deadline and a limit, so that none can hold up another. The
//! socket is for root alone, because an answer contains the private key.
//! Specification: <https://www.wireguard.com/xplatform/>.

mod interface;
mod request;

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::interface::Interface;
use self::request::{Errno, INVALID, SetRequest, TOO_LONG};
use crate::error::StartError;
use crate::linux::wake::{Poller, StopSignal, Termination, Wake};

/// Where `wg` looks for sockets.
const FOLDER: &str = "/var/run/wireguard";
/// A client that neither speaks nor listens is left after this time.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request: 130 000 allowed IPs in their longest form fit.
const LONGEST: u64 = 16 << 20;
/// Connections at once; more are closed unheard.
const CLIENTS: usize = 16;

/// Why an interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The tunnel does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The socket cannot be made.
    #[error("cannot serve {path}: run as root, and check that no other process serves it", path = path.display())]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Waiting failed.
    #[error("cannot wait for requests")]
    Wait(#[source] io::Error),
}

/// Creates the interface `name` and serves its socket until SIGTERM, SIGINT, or the deletion of
/// the interface. Nothing is left behind.
///
/// # Errors
/// [`ServeError`].
pub fn serve(name: &str, mtu: u16) -> Result<(), ServeError> {
    // Before any thread starts: they are to inherit the blocked signals.
    let termination = Termination::block().map_err(ServeError::Wait)?;
    let interface = Arc::new(Mutex::new(Interface::create(name, mtu)?));
    let socket = Socket::bind(name)?;
    let never = StopSignal::new().map_err(ServeError::Wait)?;
    let fds = [socket.listener.as_raw_fd(), termination.as_raw_fd()];
    let mut poller = Poller::new(&fds, never);
    let mut clients = Clients::default();
    tracing::info!(interface = name, "ready");
    while lock(&interface).is_running() {
        match poller.wait_timeout(Duration::from_secs(1)).map_err(ServeError::Wait)? {
            Wake::Ready(0) => {}
            Wake::Ready(0b01) => clients.admit(&socket.listener, &interface),
            _ => break,
        }
    }
    tracing::info!(interface = name, dropped = lock(&interface).dropped(), "stopping");
    Ok(())
}

/// A request that panicked has changed nothing that another could not: the lock stays usable.
fn lock(interface: &Mutex<Interface>) -> MutexGuard<'_, Interface> {
    interface.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads of those who are connected. What they still wait for ends with the process.
#[derive(Default)]
struct Clients(Vec<JoinHandle<()>>);

impl Clients {
    fn admit(&mut self, listener: &UnixListener, interface: &Arc<Mutex<Interface>>) {
        // Whoever connected may be gone again.
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        self.0.retain(|client| !client.is_finished());
        if self.0.len() >= CLIENTS {
            tracing::warn!(clients = CLIENTS, "a connection was closed: too many at once");
            return;
        }
        let interface = Arc::clone(interface);
        let spawned = thread::Builder::new().name("zm-uapi".to_owned()).spawn(move || {
            if let Err(error) = converse(&stream, &interface) {
                tracing::debug!(%error, "a client left");
            }
        });
        match spawned {
            Ok(client) => self.0.push(client),
            Err(error) => tracing::warn!(%error, "a connection was closed: no thread for it"),
        }
    }
}

/// The socket, which is removed with its owner.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    fn bind(name: &str) -> Result<Self, ServeError> {
        let path = Path::new(FOLDER).join(format!("{name}.sock"));
        match Self::bind_path(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(ServeError::Socket { path, source }),
        }
    }

    fn bind_path(path: &Path) -> io::Result<UnixListener> {
        DirBuilder::new().recursive(true).mode(0o700).create(FOLDER)?;
        // The interface is ours, so a socket of its name is left over from a process that died.
        if path.exists() {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

/// Answers the requests of one client.
fn converse(mut stream: &UnixStream, interface: &Mutex<Interface>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(LONGEST));
    let mut first = String::new();
    while reader.read_line(&mut first)? > 0 {
        let (mut answer, result) = match first.trim_end() {
            "get=1" => {
                read_blank_line(&mut reader)?;
                (lock(interface).get(), Ok(()))
            }
            "set=1" => {
                let request = read_set(&mut reader)?;
                (String::new(), request.and_then(|request| lock(interface).set(request)))
            }
            _ => return stream.write_all(closing(Err(INVALID)).as_bytes()),
        };
        answer.push_str(&closing(result));
        stream.write_all(answer.as_bytes())?;
        if result == Err(TOO_LONG) {
            return Ok(());
        }
        first.clear();
        reader.get_mut().set_limit(LONGEST);
    }
    Ok(())
}

/// The lines that end every answer.
fn closing(result: Result<(), Errno>) -> String {
    let errno = result.err().map_or(0, |Errno(errno)| -errno);
    format!("errno={errno}\n\n")
}

fn read_blank_line(reader: &mut impl io::BufRead) -> io::Result<()> {
    let mut blank = String::new();
    reader.read_line(&mut blank).map(drop)
}

/// Reads up to the blank line that ends a request, or its limit; also behind a mistake, as whoever
/// is still writing would not read the answer.
fn read_set(reader: &mut impl io::BufRead) -> io::Result<Result<SetRequest, Errno>> {
    let mut request = Ok(SetRequest::default());
    let mut text = zeroize::Zeroizing::new(String::new());
    loop {
        text.clear();
        if reader.read_line(&mut text)? == 0 {
            return Ok(Err(TOO_LONG));
        }
        let line = text.trim_end_matches('\n');
        if line.is_empty() {
            return Ok(request);
        }
        let taken = request.as_mut().map_or(Ok(()), |request| request.take_line(line));
        if let Err(errno) = taken {
            request = Err(errno);
        }
    }
}

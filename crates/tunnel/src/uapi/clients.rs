//! Those who are connected to a UAPI socket, and what they are answered.
//!
//! Each connection has a thread, a deadline and a limit, so that none can hold up another. Whatever
//! is behind the socket is a [`UapiDevice`]. Specification: <https://www.wireguard.com/xplatform/>.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::request::{Errno, INVALID, SetRequest, TOO_LONG};
use crate::linux::sys;

/// A client that neither speaks nor listens is left after this time.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request: 130 000 allowed IPs in their longest form fit.
const LONGEST: u64 = 16 << 20;
/// Connections of one user at once, and of all; more are closed unheard.
const CLIENTS_EACH: usize = 16;
const CLIENTS: usize = 256;
/// Time between two log lines about those that were closed.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Pause after an error of `accept`: out of descriptors the listener stays ready, and asked again at
/// once it would take a core from the tunnel.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests are about.
pub(super) trait UapiDevice: Send + 'static {
    /// The answer to a `get`, without its closing errno.
    fn get(&self) -> Result<String, Errno>;
    /// Carries out a `set` as a whole, or not at all.
    fn set(&mut self, request: SetRequest) -> Result<(), Errno>;
}

/// A request that panicked has changed nothing that another could not: the lock stays usable.
pub(super) fn lock<D>(device: &Mutex<D>) -> MutexGuard<'_, D> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that is connected.
struct UapiClient {
    /// `None` if the kernel does not say; all of those count as one.
    user: Option<u32>,
    thread: JoinHandle<()>,
}

/// Those who are connected. What their threads still wait for ends with the process.
#[derive(Default)]
pub(super) struct UapiClients {
    connected: Vec<UapiClient>,
    said_at: Option<Instant>,
}

impl UapiClients {
    /// Hears whoever has connected to `listener`.
    pub(super) fn admit(&mut self, listener: &UnixListener, device: &Arc<Mutex<impl UapiDevice>>) {
        let Some(stream) = accepted(listener) else {
            return;
        };
        let user = sys::peer_user(&stream).ok();
        if !self.has_room_for(user) {
            self.say("too many at once", user);
            return;
        }
        let device = Arc::clone(device);
        let spawned = thread::Builder::new().name("zm-uapi".to_owned()).spawn(move || {
            if let Err(error) = converse(&stream, &device) {
                tracing::debug!(%error, "a client left");
            }
        });
        match spawned {
            Ok(thread) => self.connected.push(UapiClient { user, thread }),
            Err(error) => self.say(&error.to_string(), user),
        }
    }

    /// One user's idle connections keep no other user out.
    fn has_room_for(&mut self, user: Option<u32>) -> bool {
        self.connected.retain(|client| !client.thread.is_finished());
        let own = self.connected.iter().filter(|client| client.user == user).count();
        own < CLIENTS_EACH && self.connected.len() < CLIENTS
    }

    fn say(&mut self, reason: &str, user: Option<u32>) {
        if self.said_at.is_none_or(|said_at| said_at.elapsed() >= SAY_AGAIN) {
            self.said_at = Some(Instant::now());
            tracing::warn!(reason, user, "a connection to the UAPI socket was closed");
        }
    }
}

fn accepted(listener: &UnixListener) -> Option<UnixStream> {
    match listener.accept() {
        Ok((stream, _)) => Some(stream),
        // Whoever connected is gone again.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => {
            tracing::debug!(%error, "cannot accept a connection, trying again");
            thread::sleep(ACCEPT_PAUSE);
            None
        }
    }
}

/// Answers the requests of one client.
fn converse(mut stream: &UnixStream, device: &Mutex<impl UapiDevice>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(LONGEST));
    let mut first = String::new();
    while reader.read_line(&mut first)? > 0 {
        let (mut answer, result) = match first.trim_end() {
            "get=1" => {
                read_blank_line(&mut reader)?;
                match lock(device).get() {
                    Ok(answer) => (answer, Ok(())),
                    Err(errno) => (String::new(), Err(errno)),
                }
            }
            "set=1" => {
                let request = read_set(&mut reader)?;
                (String::new(), request.and_then(|request| lock(device).set(request)))
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
pub(super) fn read_set(reader: &mut impl io::BufRead) -> io::Result<Result<SetRequest, Errno>> {
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    use super::*;

    struct NoDevice;

    impl UapiDevice for NoDevice {
        fn get(&self) -> Result<String, Errno> {
            Err(INVALID)
        }

        fn set(&mut self, _request: SetRequest) -> Result<(), Errno> {
            Err(INVALID)
        }
    }

    #[test]
    fn one_users_idle_clients_leave_room_for_every_other_user() {
        let name = format!("zonemesh-uapi-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let (mut clients, device) = (UapiClients::default(), Arc::new(Mutex::new(NoDevice)));
        let mut idle = Vec::new();
        for _ in 0..60 {
            idle.push(UnixStream::connect_addr(&address).unwrap());
            clients.admit(&listener, &device);
        }
        let own = sys::peer_user(&idle[0]).unwrap();
        let held = clients.connected.iter().filter(|client| client.user == Some(own)).count();
        assert_eq!((held, clients.connected.len()), (CLIENTS_EACH, CLIENTS_EACH));
        assert!(!clients.has_room_for(Some(own)));
        assert!(clients.has_room_for(Some(own + 1)));
        drop(idle);
        let begun = Instant::now();
        while !clients.has_room_for(Some(own)) && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(clients.has_room_for(Some(own)), "their places are given back");
    }

    #[test]
    fn a_listener_that_gives_nobody_is_asked_again_after_a_moment() {
        let (no_listener, _other) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        assert!(accepted(&OwnedFd::from(no_listener).into()).is_none());
        assert!(begun.elapsed() >= ACCEPT_PAUSE);
    }
}

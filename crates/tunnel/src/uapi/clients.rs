//! Those who are connected to a UAPI socket, and what they are answered.
//!
//! Each connection has a thread, a deadline and a limit, so that none can hold up another. Whatever
//! is behind the socket is a [`UapiDevice`]. Specification: <https://www.wireguard.com/xplatform/>.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::request::{Errno, INVALID, SetRequest, TOO_LONG};
use crate::linux::sys;

/// A client that neither speaks nor listens is left after this time.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request: 130 000 allowed IPs in their longest form fit.
const LONGEST: u64 = 16 << 20;
/// Connections of one user at once, and of all. For one more, an idle one of the same user is closed;
/// where none is idle, the new one is.
const CLIENTS_EACH: usize = 64;
const CLIENTS: usize = 512;
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
    connection: Arc<UapiConnection>,
    thread: JoinHandle<()>,
}

/// What its thread shares with who admits others.
struct UapiConnection {
    stream: UnixStream,
    /// A request has begun and is not answered yet.
    is_busy: AtomicBool,
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
        let connection = Arc::new(UapiConnection { stream, is_busy: AtomicBool::new(false) });
        let served = Arc::clone(&connection);
        let spawned = thread::Builder::new().name("zm-uapi".to_owned()).spawn(move || {
            if let Err(error) = converse(&served, &device) {
                tracing::debug!(%error, "a client left");
            }
        });
        match spawned {
            Ok(thread) => self.connected.push(UapiClient { user, connection, thread }),
            Err(error) => self.say(&error.to_string(), user),
        }
    }

    /// One user's connections keep no other user out, and idle ones nobody.
    fn has_room_for(&mut self, user: Option<u32>) -> bool {
        self.connected.retain(|client| !client.thread.is_finished());
        let own = self.connected.iter().filter(|client| client.user == user).count();
        (own < CLIENTS_EACH && self.connected.len() < CLIENTS) || self.close_idle(user)
    }

    /// Closes the connection of `user` that has been there for longest and asks nothing now.
    fn close_idle(&mut self, user: Option<u32>) -> bool {
        let is_idle = |client: &UapiClient| {
            client.user == user && !client.connection.is_busy.load(Ordering::Acquire)
        };
        let Some(at) = self.connected.iter().position(is_idle) else { return false };
        let closed = self.connected.remove(at);
        // Its thread reads the end, and goes.
        if let Err(error) = closed.connection.stream.shutdown(Shutdown::Both) {
            tracing::debug!(%error, "a client had left");
        }
        true
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
fn converse(client: &UapiConnection, device: &Mutex<impl UapiDevice>) -> io::Result<()> {
    let mut stream = &client.stream;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(LONGEST));
    let mut first = Vec::new();
    loop {
        client.is_busy.store(!reader.buffer().is_empty(), Ordering::Release);
        if reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        client.is_busy.store(true, Ordering::Release);
        reader.read_until(b'\n', &mut first)?;
        let (mut answer, result) = match first.trim_ascii_end() {
            b"get=1" => {
                read_blank_line(&mut reader)?;
                match lock(device).get() {
                    Ok(answer) => (answer, Ok(())),
                    Err(errno) => (String::new(), Err(errno)),
                }
            }
            b"set=1" => {
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
}

/// The lines that end every answer.
fn closing(result: Result<(), Errno>) -> String {
    let errno = result.err().map_or(0, |Errno(errno)| -errno);
    format!("errno={errno}\n\n")
}

fn read_blank_line(reader: &mut impl io::BufRead) -> io::Result<()> {
    reader.read_until(b'\n', &mut Vec::new()).map(drop)
}

/// Reads up to the blank line that ends a request, or its limit; also behind a mistake, as whoever
/// is still writing would not read the answer.
pub(super) fn read_set(reader: &mut impl io::BufRead) -> io::Result<Result<SetRequest, Errno>> {
    let mut request = Ok(SetRequest::default());
    // Bytes, as a client may write any, and is to hear that they are no text.
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(Err(TOO_LONG));
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if line.is_empty() {
            return Ok(request);
        }
        let line = std::str::from_utf8(line).map_err(|_no_text| INVALID);
        let taken = request.as_mut().map_or(Ok(()), |request| request.take_line(line?));
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

    /// A listener, and what connects to it.
    fn ground(name: &str) -> (UnixListener, impl Fn() -> UnixStream) {
        let name = format!("zonemesh-uapi-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        (listener, move || UnixStream::connect_addr(&address).unwrap())
    }

    /// What a `get` is answered on this connection.
    fn ask(mut client: &UnixStream) -> String {
        client.write_all(b"get=1\n\n").unwrap();
        let mut answer = String::new();
        let mut reader = BufReader::new(client);
        while !answer.ends_with("\n\n") && reader.read_line(&mut answer).unwrap() > 0 {}
        answer
    }

    #[test]
    fn however_many_are_idle_the_next_is_heard_and_no_other_user_is_kept_out() {
        let (listener, connect) = ground("idle");
        let (mut clients, device) = (UapiClients::default(), Arc::new(Mutex::new(NoDevice)));
        let mut idle = Vec::new();
        for _ in 0..3 * CLIENTS_EACH {
            idle.push(connect());
            clients.admit(&listener, &device);
            assert_eq!(ask(&idle[idle.len() - 1]), closing(Err(INVALID)));
        }
        let own = sys::peer_user(&idle[0]).unwrap();
        assert!(clients.connected.iter().all(|client| client.user == Some(own)));
        assert!(clients.connected.len() <= CLIENTS_EACH);
        assert!(clients.has_room_for(Some(own + 1)));
    }

    #[test]
    fn a_request_that_has_begun_is_not_given_up_for_a_newcomer() {
        let (listener, connect) = ground("busy");
        let (mut clients, device) = (UapiClients::default(), Arc::new(Mutex::new(NoDevice)));
        let mut halfway = Vec::new();
        for _ in 0..CLIENTS_EACH {
            let mut client = connect();
            clients.admit(&listener, &device);
            client.write_all(b"set=1\n").unwrap();
            halfway.push(client);
        }
        let is_busy = |client: &UapiClient| client.connection.is_busy.load(Ordering::Acquire);
        let begun = Instant::now();
        while !clients.connected.iter().all(is_busy) && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        let own = sys::peer_user(&halfway[0]).unwrap();
        assert!(!clients.has_room_for(Some(own)));
        halfway[5].write_all(b"\n").unwrap();
        let mut answer = [0; 64];
        assert!(halfway[5].read(&mut answer).unwrap() > 0);
        while !clients.has_room_for(Some(own)) && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(clients.connected.len(), CLIENTS_EACH - 1, "the one that was answered has gone");
    }

    #[test]
    fn a_listener_that_gives_nobody_is_asked_again_after_a_moment() {
        let (no_listener, _other) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        assert!(accepted(&OwnedFd::from(no_listener).into()).is_none());
        assert!(begun.elapsed() >= ACCEPT_PAUSE);
    }
}

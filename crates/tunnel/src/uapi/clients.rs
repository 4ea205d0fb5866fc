//! Those who are connected to a UAPI socket, and what they are answered.
//!
//! Each connection has a thread, a deadline and a limit, so that none can hold up another. Whatever
//! is behind the socket is a [`UapiDevice`]. Specification: <https://www.wireguard.com/xplatform/>.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::request::{Errno, INVALID, SetRequest, TOO_LONG};

/// A client that neither speaks nor listens is left after this time.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request: 130 000 allowed IPs in their longest form fit.
const LONGEST: u64 = 16 << 20;
/// Connections at once; more are closed unheard.
const CLIENTS: usize = 16;
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

/// The threads of those who are connected. What they still wait for ends with the process.
#[derive(Default)]
pub(super) struct UapiClients(Vec<JoinHandle<()>>);

impl UapiClients {
    /// Hears whoever has connected to `listener`.
    pub(super) fn admit(&mut self, listener: &UnixListener, device: &Arc<Mutex<impl UapiDevice>>) {
        let Some(stream) = accepted(listener) else {
            return;
        };
        self.0.retain(|client| !client.is_finished());
        if self.0.len() >= CLIENTS {
            tracing::warn!(clients = CLIENTS, "a connection was closed: too many at once");
            return;
        }
        let device = Arc::clone(device);
        let spawned = thread::Builder::new().name("zm-uapi".to_owned()).spawn(move || {
            if let Err(error) = converse(&stream, &device) {
                tracing::debug!(%error, "a client left");
            }
        });
        match spawned {
            Ok(client) => self.0.push(client),
            Err(error) => tracing::warn!(%error, "a connection was closed: no thread for it"),
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
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_listener_that_gives_nobody_is_asked_again_after_a_moment() {
        let (no_listener, _other) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        assert!(accepted(&OwnedFd::from(no_listener).into()).is_none());
        assert!(begun.elapsed() >= ACCEPT_PAUSE);
    }
}

//! One TCP connection between two namespaces, to see whether it outlives something.
//!
//! Promises that a message has arrived whole, there and back, or an error. Refuses to reconnect.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespace;

const CONNECTED: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(20);

/// Both ends of the connection.
#[derive(Debug)]
pub struct Conversation([TcpStream; 2]);

impl Conversation {
    /// Connects from one namespace to an address in another.
    ///
    /// # Errors
    /// When the address is not there or not reached.
    pub fn begin(from: &Namespace, to: &Namespace, address: SocketAddr) -> Result<Self> {
        let listener = to.inside(|| Ok(TcpListener::bind(address)?))?;
        let connect = || TcpStream::connect_timeout(&address, CONNECTED).context("cannot connect");
        let client = from.inside(connect)?;
        let (server, _) = listener.accept()?;
        Ok(Self([client, server]))
    }

    /// One message there and one back.
    ///
    /// # Errors
    /// When one does not arrive.
    pub fn exchange(&mut self, message: &[u8]) -> Result<()> {
        for (from, to) in [(0, 1), (1, 0)] {
            self.0[from].write_all(message)?;
            let mut received = vec![0; message.len()];
            self.0[to].set_read_timeout(Some(STALLED))?;
            self.0[to].read_exact(&mut received).context("the connection carries nothing")?;
            ensure!(received == message, "{received:?}");
        }
        Ok(())
    }
}

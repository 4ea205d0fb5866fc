//! What nftables has of one table: its generation, and a print of all that stands in it.
//!
//! The generation changes with each change of anybody's; the print tells whether this table was meant.
//! Promises to look at no other table than the one of this name, and to change none: who does hands
//! whole transactions to [`NftSocket::commit`].

pub(crate) mod message;

use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use sha2::{Digest as _, Sha256};

use message::{Attributes, DUMP, NftMessage, NftReply, attribute, replies};

/// The gateway's own table, of IPv4 and IPv6.
pub(crate) const TABLE: &str = "zonemesh";
/// Its sets.
pub(crate) const SETS: [&str; 2] = ["zones4", "zones6"];

/// A print of a table.
pub(crate) type TablePrint = [u8; 32];

/// What is asked of nftables, and answered at once.
pub(crate) struct NftSocket(Socket);

impl NftSocket {
    /// # Errors
    /// When this kernel has no nftables, or this process may not ask it.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        // A kernel without either works as well, with longer answers.
        let _ = socket.set_cap_ack(true);
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// The present generation of all tables.
    pub(crate) fn generation(&self) -> io::Result<u32> {
        let question = message::message(NftMessage::GetGeneration, 0, 0, &Attributes::default());
        let mut generation = None;
        self.ask(&question, |answer| {
            generation = attribute(answer, 1).and_then(|value| value.first_chunk().copied());
        })?;
        generation.map(u32::from_be_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// All that stands in the table; `None` if there is none.
    pub(crate) fn print(&self) -> io::Result<Option<TablePrint>> {
        let mut hash = Sha256::new();
        let named = |name: &str| Attributes::default().text(1, name);
        let table = message::message(NftMessage::GetTable, 0, 0, &named(TABLE));
        match self.ask(&table, |answer| hash.update(answer)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            asked => asked?,
        }
        for about in [NftMessage::GetChain, NftMessage::GetSet, NftMessage::GetRule] {
            let all = message::message(about, DUMP, 0, &named(TABLE));
            self.ask(&all, |answer| {
                let of = attribute(answer, 1).and_then(|name| name.strip_suffix(b"\0"));
                if of == Some(TABLE.as_bytes()) {
                    hash.update(answer);
                }
            })?;
        }
        for set in SETS {
            let elements = named(TABLE).text(2, set);
            let all = message::message(NftMessage::GetElements, DUMP, 0, &elements);
            // How they are spread over answers depends on who asks.
            match self.ask(&all, |answer| hash.update(attribute(answer, 3).unwrap_or_default())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => hash.update([0]),
                asked => asked?,
            }
        }
        Ok(Some(hash.finalize().into()))
    }

    /// Hands over a transaction: all of it is done, or nothing.
    pub(crate) fn commit(&self, transaction: &[u8]) -> io::Result<()> {
        self.0.send(transaction, 0)?;
        let mut refused = None;
        self.answers(|reply| match reply {
            NftReply::Outcome(code) if code != 0 => {
                refused.get_or_insert(code);
                false
            }
            _ => false,
        })?;
        refused.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(-code)))
    }

    fn ask(&self, question: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.0.send(question, 0)?;
        let mut refused = None;
        self.answers(|reply| match reply {
            NftReply::Answer(attributes) => {
                take(attributes);
                false
            }
            NftReply::Outcome(code) => {
                refused = Some(code).filter(|code| *code != 0);
                true
            }
            NftReply::Done => true,
        })?;
        refused.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(-code)))
    }

    /// Goes through what has come until it is over: the kernel answers before `send` returns.
    fn answers(&self, mut is_last: impl FnMut(NftReply<'_>) -> bool) -> io::Result<()> {
        loop {
            let received = match self.0.recv_from_full() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                received => received?.0,
            };
            if replies(&received).into_iter().any(&mut is_last) {
                return Ok(());
            }
        }
    }
}

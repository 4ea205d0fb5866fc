//! Why this machine refuses to send a datagram: the kernel's errno, in words.
//!
//! Promises words for what sends are refused with in the field, and the kernel's own for the rest.
//! Refuses to know what was sent and where to.

use std::fmt;

/// A send that was refused, by its errno (Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendRefusal(pub i32);

impl SendRefusal {
    /// What it usually means, and its name.
    const fn words(self) -> Option<(&'static str, &'static str)> {
        Some(match self.0 {
            1 => ("this machine's packet filter refuses it", "EPERM"),
            13 => ("a route or rule of this machine forbids it", "EACCES"),
            22 => ("a route of this machine swallows it", "EINVAL"),
            99 => ("this machine has no address to send from", "EADDRNOTAVAIL"),
            100 => ("the interface on the way is down", "ENETDOWN"),
            101 => ("no route to it", "ENETUNREACH"),
            105 => ("the interface's queue is full", "ENOBUFS"),
            113 => ("no way to it", "EHOSTUNREACH"),
            _ => return None,
        })
    }
}

impl fmt::Display for SendRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some((meaning, name)) => write!(f, "{meaning} ({name})"),
            None => std::io::Error::from_raw_os_error(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words_with_the_name_of_its_errno() {
        assert_eq!(SendRefusal(101).to_string(), "no route to it (ENETUNREACH)");
        assert_eq!(SendRefusal(1).to_string(), "this machine's packet filter refuses it (EPERM)");
        assert!(SendRefusal(5).to_string().contains("os error 5"));
    }
}

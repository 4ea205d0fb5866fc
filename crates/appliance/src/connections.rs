//! The TCP connections of this VM, as the kernel lists them.
//!
//! It promises to count what is established alone, of one user. It refuses to know which process has
//! one: that takes a capability that a companion does not have.
//! Specification: proc_pid_net(5), `/proc/net/tcp` and `/proc/net/tcp6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ESTABLISHED: &str = "01";

/// Whether this user has a connection to one of these places.
#[must_use]
pub fn are_there(uid: u32, to: &[SocketAddr]) -> bool {
    let lists = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    lists.into_iter().filter_map(|list| std::fs::read_to_string(list).ok()).any(|text| {
        text.lines().filter_map(read).any(|one| one.uid == uid && to.contains(&one.remote))
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Established {
    remote: SocketAddr,
    uid: u32,
}

/// A line of the list, if it is of an established connection.
fn read(line: &str) -> Option<Established> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, remote, state, _, _, _, uid, ..] = words[..] else { return None };
    let (address, port) = remote.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let remote = SocketAddr::new(ip(address)?.to_canonical(), port);
    (state == ESTABLISHED).then_some(Established { remote, uid: uid.parse().ok()? })
}

/// Words of four bytes, each as this machine has them in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let word =
        |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use nix::unistd::Uid;

    use super::*;

    #[test]
    fn a_connection_is_seen_while_it_is_there_and_as_its_users_alone() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let (at, uid) = (listener.local_addr().unwrap(), Uid::effective().as_raw());
            assert!(!are_there(uid, &[at]), "nobody has called {at}");
            let stream = TcpStream::connect(at).unwrap();
            assert!(are_there(uid, &[at]), "{at}");
            assert!(!are_there(uid + 1, &[at]), "{at}");
            drop((stream, listener.accept().unwrap()));
        }
    }

    #[test]
    fn what_is_not_established_or_no_line_is_passed_over() {
        let line =
            |state| format!("0: 0100007F:A000 050A0A0A:2384 {state} 0:0 00:0 0 990 0 12345 1 0");
        let found = read(&line("01"));
        if cfg!(target_endian = "little") {
            let remote = "10.10.10.5:9092".parse().unwrap();
            assert_eq!(found, Some(Established { remote, uid: 990 }));
        }
        for other in [&line("06"), "sl local_address rem_address st", "", "0: x y 01 z z z 990"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}

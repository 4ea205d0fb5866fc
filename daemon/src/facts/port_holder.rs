//! Who has a UDP port of this machine, as far as this process may see.
//!
//! The kernel says whose user a socket is, to everybody; which program holds it only its own user and
//! root may see. Sockets of the kernel itself, a WireGuard interface's for one, are no program's.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{Uid, User};

/// The kernel's lists of the UDP sockets of this network namespace.
const LISTS: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// A socket of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeldSocket {
    uid: u32,
    inode: u64,
}

/// In words: `dnsmasq (process 812)`, or the user whose it is.
pub(crate) fn of_udp(port: u16) -> Option<String> {
    let lists = LISTS.iter().filter_map(|list| fs::read_to_string(list).ok());
    let mut sockets: Vec<_> = lists.flat_map(|list| held(&list, port)).collect();
    let own = inodes(Path::new("/proc/self")).unwrap_or_default();
    sockets.retain(|socket| !own.contains(&socket.inode));
    let first = *sockets.first()?;
    Some(program(&sockets).unwrap_or_else(|| owner(first.uid)))
}

/// The sockets of a list that have this port; see proc_net_udp(5).
fn held(list: &str, port: u16) -> Vec<HeldSocket> {
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
        (u16::from_str_radix(local, 16).ok()? == port).then_some(HeldSocket { uid, inode })
    };
    list.lines().skip(1).filter_map(socket).collect()
}

/// The program that holds one of them.
fn program(sockets: &[HeldSocket]) -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.path()))
    });
    processes.into_iter().find_map(|(pid, process)| {
        let holds = inodes(&process).ok()?;
        sockets.iter().any(|socket| holds.contains(&socket.inode)).then(|| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("{} (process {pid})", name.trim())
        })
    })
}

/// The sockets that a process holds.
fn inodes(process: &Path) -> io::Result<Vec<u64>> {
    let links = fs::read_dir(process.join("fd"))?.filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    });
    Ok(links.collect())
}

fn owner(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("the kernel or a program of the user {}", user.name),
        _ => format!("the kernel or a program of the user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;

    const LIST: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  120: 00000000:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000   104        0 4217 2 0000000000000000 0
  121: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4218 2 0000000000000000 0
";

    #[test]
    fn the_sockets_of_a_port_are_read_with_their_user() {
        assert_eq!(held(LIST, 51_820), [HeldSocket { uid: 104, inode: 4217 }]);
        assert_eq!(held(LIST, 53), [HeldSocket { uid: 0, inode: 4218 }]);
        assert!(held(LIST, 51_821).is_empty() && held("", 53).is_empty());
    }

    #[test]
    fn the_program_that_holds_a_socket_is_named_and_this_one_holds_nothing_against_itself() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let link = fs::read_link(link).unwrap().display().to_string();
        let inode = link.trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap();
        let named = program(&[HeldSocket { uid: 0, inode }]).unwrap();
        assert!(named.ends_with(&format!("(process {})", std::process::id())), "{named}");
        assert_eq!(of_udp(socket.local_addr().unwrap().port()), None);
        assert!(owner(0).ends_with("the user root"));
    }
}

//! The one resolver of this gateway: asks the servers of the system.
//!
//! Promises: all look-ups share its sockets and memory; changed servers and hosts are heeded by the
//! next look-up, as they change with DHCP. It keeps no answers: when to ask again is decided elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const DNS_PORT: u16 = 53;

/// Makes the resolver, and again when the system's files have changed.
pub(super) struct SystemResolver {
    resolv_conf: PathBuf,
    port: u16,
    made: Option<MadeResolver>,
}

struct MadeResolver {
    resolver: TokioResolver,
    servers: Vec<u8>,
    hosts: Vec<u8>,
}

impl SystemResolver {
    pub(super) fn new() -> Self {
        Self::with(Path::new(RESOLV_CONF), DNS_PORT)
    }

    /// The servers in this file, on this port.
    pub(super) fn with(resolv_conf: &Path, port: u16) -> Self {
        Self { resolv_conf: resolv_conf.to_owned(), port, made: None }
    }

    /// The resolver as the system's files have it now.
    pub(super) fn shared(&mut self) -> anyhow::Result<TokioResolver> {
        let file = || self.resolv_conf.display().to_string();
        let servers = std::fs::read(&self.resolv_conf).with_context(file)?;
        // A system without such a file has no names in it.
        let hosts = std::fs::read(HOSTS).unwrap_or_default();
        let made = self.made.take().filter(|made| made.servers == servers && made.hosts == hosts);
        let made = match made {
            Some(made) => made,
            None => MadeResolver { resolver: self.make(&servers)?, servers, hosts },
        };
        Ok(self.made.insert(made).resolver.clone())
    }

    fn make(&self, servers: &[u8]) -> anyhow::Result<TokioResolver> {
        let (mut config, mut options) = parse_resolv_conf(servers)?;
        let servers = config.name_servers.iter_mut();
        servers.flat_map(|server| &mut server.connections).for_each(|way| way.port = self.port);
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_resolver_is_made_once_and_again_when_the_servers_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        let mut system = SystemResolver::with(&file, DNS_PORT);
        assert!(format!("{:#}", system.shared().err().unwrap()).contains("resolv.conf"));
        let mut timeout = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let same = system.made.as_ref().is_some_and(|made| made.servers == text.as_bytes());
            let shared = system.shared().unwrap();
            (same, shared.options().timeout.as_secs())
        };
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:3\n"), (false, 3));
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:3\n"), (true, 3));
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:4\n"), (false, 4));
    }

    /// A server that knows one address for every name, good for a minute; counts who asks for it.
    fn serve(socket: UdpSocket, asked: Arc<AtomicUsize>) {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            // A header of 12 bytes, a name that ends with a zero byte, type and class.
            let name = question[12..length].iter().position(|byte| *byte == 0).unwrap();
            let end = 12 + name + 1 + 4;
            let is_a = question[end - 4..end - 2] == [0, 1];
            let mut answer = question[..end].to_vec();
            let answers = u8::from(is_a);
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]);
            if is_a {
                asked.fetch_add(1, Ordering::Relaxed);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7]);
            }
            socket.send_to(&answer, from).unwrap();
        }
    }

    #[tokio::test]
    async fn an_answer_has_its_ttl_and_each_look_up_asks_the_server_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        std::fs::write(&file, "nameserver 127.0.0.1\n").unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut system = SystemResolver::with(&file, socket.local_addr().unwrap().port());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || serve(socket, count));
        for times in 1..=3 {
            let answer = system.shared().unwrap().lookup_ip("gw.paris.example.").await.unwrap();
            let addresses: Vec<_> = answer.iter().collect();
            assert_eq!(addresses, [IpAddr::from([198, 51, 100, 7])]);
            let left = answer.valid_until().saturating_duration_since(Instant::now());
            assert!((50..=60).contains(&left.as_secs()), "{left:?}");
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }
}

//! The one resolver of this gateway: asks the servers of the system.
//!
//! Promises: all look-ups share its sockets and memory; changed servers and hosts are heeded by the
//! next look-up, as they change with DHCP. Names are absolute: what the system's file says of domains to
//! search is not used, and cannot be so wrong that no name resolves. Both families are asked at once,
//! and one that is not answered keeps the other waiting for a moment only. It keeps no answers: when to
//! ask again is decided elsewhere.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::timeout;

use crate::facts::disk::regular;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const DNS_PORT: u16 = 53;
/// How long the answer of one family waits for the other's.
const OTHER_FAMILY: Duration = Duration::from_millis(500);
/// When a family that did not answer is asked again at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Makes the resolver, and again when the system's files have changed.
pub(super) struct SystemResolver {
    resolv_conf: PathBuf,
    port: u16,
    made: Option<MadeResolver>,
}

/// Asks for addresses of either family.
#[derive(Clone)]
pub(super) struct BothFamilies {
    v4: TokioResolver,
    v6: TokioResolver,
}

/// What a name resolves to.
pub(super) struct ResolvedName {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) valid_until: Instant,
}

impl BothFamilies {
    /// All addresses of a name, those of IPv4 first.
    pub(super) async fn look_up(&self, name: &str) -> anyhow::Result<ResolvedName> {
        let name = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
        let asked = [&self.v4, &self.v6].map(|resolver| resolver.lookup_ip(name.as_str()));
        let mut answers: FuturesUnordered<_> = asked.into_iter().collect();
        let (mut found, mut failed) = (Vec::new(), None);
        let mut patience = None;
        loop {
            let next = match patience {
                None => answers.next().await,
                Some(time) => timeout(time, answers.next()).await.unwrap_or(None),
            };
            match next {
                Some(Ok(answer)) => {
                    found.push(answer);
                    patience = Some(OTHER_FAMILY);
                }
                Some(Err(error)) => failed = failed.or(Some(error)),
                None => break,
            }
        }
        let Some(mut valid_until) = found.iter().map(LookupIp::valid_until).min() else {
            return Err(match failed {
                // The library names its query, twice.
                Some(error) if error.is_no_records_found() => {
                    anyhow::anyhow!("DNS has no address of this name")
                }
                failed => failed.map_or_else(|| anyhow::anyhow!("no answer"), anyhow::Error::from),
            });
        };
        if !answers.is_empty() {
            // The other family is asked for again before long.
            valid_until = valid_until.min(Instant::now() + ASK_AGAIN);
        }
        let mut addresses: Vec<_> = found.iter().flat_map(LookupIp::iter).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(ResolvedName { addresses, valid_until })
    }
}

/// What of the system's file is used: servers and options that can be read, each by itself.
fn usable(file: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        let word = line.trim_ascii_start().split(u8::is_ascii_whitespace).next();
        let can_be_read = match word {
            Some(b"nameserver") => parse_resolv_conf(line).is_ok(),
            Some(b"options") => {
                parse_resolv_conf([b"nameserver 127.0.0.1\n", line].concat()).is_ok()
            }
            _ => false,
        };
        if can_be_read {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
    }
    kept
}

struct MadeResolver {
    resolver: BothFamilies,
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
    pub(super) fn shared(&mut self) -> anyhow::Result<BothFamilies> {
        let servers = regular::read(&self.resolv_conf)?;
        // A system without such a file has no names in it.
        let hosts = regular::read(Path::new(HOSTS)).unwrap_or_default();
        let made = self.made.take().filter(|made| made.servers == servers && made.hosts == hosts);
        let made = match made {
            Some(made) => made,
            None => MadeResolver { resolver: self.make(&servers)?, servers, hosts },
        };
        Ok(self.made.insert(made).resolver.clone())
    }

    fn make(&self, servers: &[u8]) -> anyhow::Result<BothFamilies> {
        Ok(BothFamilies {
            v4: self.of_family(servers, LookupIpStrategy::Ipv4Only)?,
            v6: self.of_family(servers, LookupIpStrategy::Ipv6Only)?,
        })
    }

    fn of_family(&self, servers: &[u8], family: LookupIpStrategy) -> anyhow::Result<TokioResolver> {
        let (mut config, mut options) = parse_resolv_conf(usable(servers))?;
        let servers = config.name_servers.iter_mut();
        servers.flat_map(|server| &mut server.connections).for_each(|way| way.port = self.port);
        options.cache_size = 0;
        options.ip_strategy = family;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
            (same, shared.v4.options().timeout.as_secs())
        };
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:3\n"), (false, 3));
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:3\n"), (true, 3));
        assert_eq!(timeout("nameserver 127.0.0.1\noptions timeout:4\n"), (false, 4));
    }

    /// A server that knows one address for every name, good for a minute; counts who asks for it. It
    /// answers questions for addresses of IPv6 only if `is_whole`.
    fn serve(socket: UdpSocket, asked: Arc<AtomicUsize>, is_whole: bool) {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            // A header of 12 bytes, a name that ends with a zero byte, type and class.
            let name = question[12..length].iter().position(|byte| *byte == 0).unwrap();
            let end = 12 + name + 1 + 4;
            let is_a = question[end - 4..end - 2] == [0, 1];
            if !is_a && !is_whole {
                continue;
            }
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
        std::thread::spawn(move || serve(socket, count, true));
        for times in 1..=3 {
            let answer = system.shared().unwrap().look_up("gw.paris.example").await.unwrap();
            assert_eq!(answer.addresses, [IpAddr::from([198, 51, 100, 7])]);
            let left = answer.valid_until.saturating_duration_since(Instant::now());
            assert!((50..=60).contains(&left.as_secs()), "{left:?}");
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }

    /// A resolver with this file, whose server is one of ours.
    fn asking(folder: &tempfile::TempDir, text: &str, is_whole: bool) -> BothFamilies {
        let file = folder.path().join("resolv.conf");
        std::fs::write(&file, text).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        std::thread::spawn(move || serve(socket, Arc::default(), is_whole));
        SystemResolver::with(&file, port).shared().unwrap()
    }

    #[tokio::test]
    async fn a_family_that_is_not_answered_keeps_the_other_waiting_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let resolver = asking(&folder, "nameserver 127.0.0.1\n", false);
        let begun = Instant::now();
        let answer = resolver.look_up("gw.paris.example").await.unwrap();
        assert_eq!(answer.addresses, [IpAddr::from([198, 51, 100, 7])]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn lines_that_cannot_be_read_and_domains_to_search_keep_no_name_from_resolving() {
        let folder = tempfile::tempdir().unwrap();
        let text = "search a..b -- \u{fc}.example\ndomain ..\nnameserver nowhere\nsortlist x\n\
            options timeout:two\nnameserver 127.0.0.1\noptions timeout:1 ndots:5\n";
        let resolver = asking(&folder, text, true);
        assert_eq!(resolver.v4.options().timeout.as_secs(), 1);
        let answer = resolver.look_up("gw.paris.example").await.unwrap();
        assert_eq!(answer.addresses, [IpAddr::from([198, 51, 100, 7])]);
    }
}

//! The sockets of the probes: one for each of this gateway's tunnel addresses.
//!
//! Requests of peers are answered here, answers handed on with the moment they came. Promises that
//! only tunnel addresses of peers are answered, never with more bytes than they sent, and not more
//! often than a peer of ours would ask.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::packet::{ProbeFields, ProbePacket};
use crate::act::PeersInService;

/// Requests that a peer may have answered at once, and in a second.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 100.0;

/// Bytes of a datagram that say something; all of a small request.
const BUFFER: usize = 64;

/// A probe of a peer: an answer to one of our requests, or a small request of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeHeard {
    pub(super) from: IpAddr,
    pub(super) probe: ProbePacket,
    pub(super) at: Instant,
}

/// How many more answers an asker may get, and how many small requests of its run have come in.
struct AnswerBudget {
    tokens: f64,
    filled_at: Instant,
    run: u64,
    heard: u32,
}

impl AnswerBudget {
    const fn full(now: Instant) -> Self {
        Self { tokens: BURST, filled_at: now, run: 0, heard: 0 }
    }

    /// Counts a small request.
    fn hear(&mut self, run: u64) {
        self.heard = if self.run == run { self.heard.wrapping_add(1) } else { 1 };
        self.run = run;
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled_at).as_secs_f64() * PER_SECOND;
        self.tokens = (self.tokens + gained).min(BURST);
        self.filled_at = now;
        let is_allowed = self.tokens >= 1.0;
        self.tokens -= if is_allowed { 1.0 } else { 0.0 };
        is_allowed
    }
}

/// One socket.
pub(super) struct ProbeSocket {
    socket: UdpSocket,
    peers: PeersInService,
    heard: mpsc::Sender<ProbeHeard>,
    buckets: HashMap<IpAddr, AnswerBudget>,
}

impl ProbeSocket {
    pub(super) async fn bind(
        address: SocketAddr,
        peers: PeersInService,
        heard: mpsc::Sender<ProbeHeard>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        Ok(Self { socket, peers, heard, buckets: HashMap::new() })
    }

    /// Serves until it is dropped. Errors of a datagram socket are those of single datagrams.
    pub(super) async fn run(mut self) {
        let mut buffer = [0; BUFFER];
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let at = Instant::now();
            let Some(probe) =
                ProbePacket::parse(&buffer[..len]).filter(|_| self.is_peer(from.ip()))
            else {
                continue;
            };
            let heard = ProbeHeard { from: from.ip(), probe, at };
            if probe.is_answer {
                // A watcher that does not keep up takes the answer for lost, as it is.
                let _full = self.heard.try_send(heard);
            } else if let Some(answer) = self.answer(heard, len) {
                let _unreachable = self.socket.try_send_to(&answer, from);
                if len < BUFFER {
                    let _full = self.heard.try_send(heard);
                }
            }
        }
    }

    fn is_peer(&self, address: IpAddr) -> bool {
        self.peers.borrow().iter().any(|peer| peer.tunnel_ips.contains(&address))
    }

    /// The answer to a request of so many bytes; `None` if the peer asks too often.
    fn answer(&mut self, asked: ProbeHeard, len: usize) -> Option<Vec<u8>> {
        let ProbeHeard { from, probe, at } = asked;
        let budget = self.budget(from, at);
        let is_small = len < BUFFER;
        if is_small {
            budget.hear(probe.run);
        }
        let told = ProbeFields { heard: Some(budget.heard), ..ProbeFields::default() };
        if !budget.take(at) {
            return None;
        }
        let answer = probe.answer(if is_small { told } else { ProbeFields::default() }).to_bytes();
        let fits = answer.len() <= len;
        Some(if fits { answer } else { probe.answer(ProbeFields::default()).to_bytes() })
    }

    fn budget(&mut self, from: IpAddr, now: Instant) -> &mut AnswerBudget {
        // Keys are tunnel addresses of peers; those of former peers go when there are too many.
        if self.buckets.len() > 2 * self.peers.borrow().len() + 16 {
            self.buckets.clear();
        }
        self.buckets.entry(from).or_insert(AnswerBudget::full(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zonemesh_core::key::WireGuardPublicKey;

    use super::*;
    use crate::plan::PeerPlan;
    use crate::plan::peers::GatewayRole;

    const PROBE: ProbePacket = ProbePacket {
        is_answer: false,
        run: 9,
        number: 4,
        fields: ProbeFields { goodbye: false, heard: None, fits: None },
    };

    fn unasked() -> ProbePacket {
        PROBE.answer(ProbeFields::default())
    }

    /// An echo for peers at these addresses, and a socket at `client`.
    async fn echo(
        peers: &[&str],
        client: &str,
    ) -> (SocketAddr, UdpSocket, mpsc::Receiver<ProbeHeard>, tokio::task::JoinSet<()>) {
        let peer = PeerPlan {
            id: "madrid/madrid-gw1".parse().unwrap(),
            role: GatewayRole::Active,
            wireguard_key: WireGuardPublicKey([7; 32]),
            next_key: None,
            lanes: Vec::new(),
            endpoints: Vec::new(),
            prefixes: Vec::new(),
            tunnel_ips: peers.iter().map(|text| text.parse().unwrap()).collect(),
            aside: Vec::new(),
            registry_port: 51821,
            is_neighbour: true,
            keeps_alive: true,
            plain: None,
        };
        let (_, peers) = tokio::sync::watch::channel(std::sync::Arc::new(vec![peer]));
        let (sender, answers) = mpsc::channel(4);
        let echo = ProbeSocket::bind("127.0.0.1:0".parse().unwrap(), peers, sender).await.unwrap();
        let address = echo.socket.local_addr().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(echo.run());
        (address, UdpSocket::bind((client, 0)).await.unwrap(), answers, tasks)
    }

    async fn answer_to(client: &UdpSocket) -> Option<usize> {
        let mut buffer = [0; 2048];
        let received = client.recv_from(&mut buffer);
        let answer = tokio::time::timeout(Duration::from_millis(200), received).await;
        answer.ok().map(|received| received.unwrap().0)
    }

    #[tokio::test]
    async fn a_request_of_a_peer_is_answered_with_no_more_bytes() {
        let (echo, client, _answers, _tasks) = echo(&["127.0.0.2"], "127.0.0.2").await;
        let mut padded = PROBE.to_bytes();
        for len in [20, 36, 1400] {
            padded.resize(len, 0);
            client.send_to(&padded, echo).await.unwrap();
            let told = if len == 36 { 26 } else { 20 };
            assert_eq!(answer_to(&client).await, Some(told), "{len}");
        }
    }

    #[tokio::test]
    async fn small_requests_of_a_run_are_counted_and_handed_on_and_padded_ones_are_not() {
        let (echo, client, mut heard, _tasks) = echo(&["127.0.0.2"], "127.0.0.2").await;
        let mut buffer = [0; 64];
        for (run, len, told) in [
            (9, 36, Some(1)),
            (9, 36, Some(2)),
            (9, 1400, None),
            (9, 36, Some(3)),
            (8, 36, Some(1)),
        ] {
            let mut request = ProbePacket { run, ..PROBE }.to_bytes();
            request.resize(len, 0);
            client.send_to(&request, echo).await.unwrap();
            let received = client.recv_from(&mut buffer);
            let received = tokio::time::timeout(Duration::from_secs(9), received).await;
            let answer = ProbePacket::parse(&buffer[..received.unwrap().unwrap().0]).unwrap();
            assert_eq!((answer.is_answer, answer.fields.heard), (true, told), "{run} {len}");
        }
        let small = std::iter::from_fn(|| heard.try_recv().ok()).count();
        assert_eq!(small, 4);
    }

    #[tokio::test]
    async fn nobody_else_and_nothing_else_is_answered() {
        let (echo, stranger, _answers, _tasks) = echo(&["127.0.0.2"], "127.0.0.3").await;
        stranger.send_to(&PROBE.to_bytes(), echo).await.unwrap();
        assert_eq!(answer_to(&stranger).await, None);
        let peer = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        peer.send_to(b"no probe at all, but long enough", echo).await.unwrap();
        peer.send_to(&unasked().to_bytes(), echo).await.unwrap();
        assert_eq!(answer_to(&peer).await, None);
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_with_its_sender() {
        let (echo, client, mut answers, _tasks) = echo(&["127.0.0.2"], "127.0.0.2").await;
        client.send_to(&unasked().to_bytes(), echo).await.unwrap();
        let answer = answers.recv().await.unwrap();
        assert_eq!((answer.from, answer.probe), ("127.0.0.2".parse().unwrap(), unasked()));
    }

    #[test]
    fn a_peer_that_asks_too_often_is_answered_at_its_rate() {
        let start = Instant::now();
        let mut bucket = AnswerBudget::full(start);
        let at = |millis| start + Duration::from_millis(millis);
        let answered =
            |bucket: &mut AnswerBudget, now| (0..1000).filter(|_| bucket.take(now)).count();
        assert_eq!(answered(&mut bucket, at(0)), 200);
        assert_eq!(answered(&mut bucket, at(1000)), 100);
        assert_eq!(answered(&mut bucket, at(60_000)), 200);
    }
}

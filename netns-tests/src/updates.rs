//! How long a change of one zone takes to reach the VMs of the others.
//!
//! Owns a SuperLink's VM that registers, as its companion does, and VMs of other zones that watch.
//! Promises times by one clock, from before the call until the view has arrived. Refuses to run Flower.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use tokio::sync::watch::Receiver;
use tonic::transport::Channel;
use tonic::{Code, Status};
use zonemesh_api::clients::local::{self, LocalSession};
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_api::v1::{IssuedLeaf, RefusalKind};
use zonemesh_api::wire::local::{CompanionHello, Registration, ShownToken};
use zonemesh_core::record::FlowerTransport;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::VmRole;

use crate::vm;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{FEDERATION, LOCAL_API_PORT, Mesh, patience};
use zonemesh_lab::namespace::{Namespace, run};

/// A VM, and the local API of its gateway.
pub struct Post<'a> {
    /// Where it runs.
    pub place: &'a Namespace,
    /// Its gateway.
    pub api: SocketAddr,
    /// The TLS that pins its gateway's key.
    pub tls: Arc<rustls::ClientConfig>,
    /// The token of a SuperNode's VM here.
    pub token: String,
}

impl<'a> Post<'a> {
    /// A VM of a zone.
    ///
    /// # Errors
    /// When there is none of that name, or its gateway does not answer.
    pub fn at(lab: &'a Lab, mesh: &mut Mesh, zone: &str, vm: &str) -> Result<Self> {
        let gateway = mesh.gateway(zone)?;
        let tls = vm::pinned(&gateway.keys.zone)?;
        let token = gateway.tokens.supernode.token.clone();
        let zone = lab.zone(zone)?;
        let api = SocketAddr::from((zone.lan_address, LOCAL_API_PORT));
        Ok(Self { place: &zone.vm(vm)?.namespace, api, tls, token })
    }

    /// The hello of a SuperNode's companion here.
    ///
    /// # Errors
    /// Never: the federation of the Lab has a name.
    pub fn hello(&self) -> Result<CompanionHello> {
        hello(&self.token, VmRole::SuperNode)
    }
}

fn hello(token: &str, role: VmRole) -> Result<CompanionHello> {
    let proof = ShownToken { token: token.to_owned().into(), role };
    Ok(CompanionHello {
        federation: FEDERATION.parse()?,
        proof: Some(proof),
        release: "0.2.0".to_owned(),
        onegate: None,
    })
}

/// A SuperLink's VM that is to be registered.
#[derive(Clone)]
pub struct Registering {
    /// The token that it shows.
    pub token: String,
    /// What it asks for.
    pub wanted: Registration,
}

impl Registering {
    /// Opens a session for it.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn open(&self, gateway: &mut LocalClient<Channel>) -> Result<LocalSession, Status> {
        let hello = hello(&self.token, VmRole::SuperLink);
        let hello = hello.map_err(|error| Status::internal(error.to_string()))?;
        LocalSession::open(gateway, hello, &[]).await
    }

    /// Registers it once, in a session that ends with it.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn once(&self, gateway: &mut LocalClient<Channel>) -> Result<IssuedLeaf, Status> {
        self.again(&mut self.open(gateway).await?).await
    }

    /// Registers it in a session that is open.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn again(&self, session: &mut LocalSession) -> Result<IssuedLeaf, Status> {
        let number = session.say(self.wanted.clone()).await;
        loop {
            let message = session.inbound.message().await?;
            let message = message.ok_or_else(|| Status::aborted("the session has ended"))?;
            match message.body {
                Some(Answer::Issued(issued)) if message.answers == number => return Ok(issued),
                Some(Answer::Refused(refusal)) if message.answers == number => {
                    return Err(Status::new(code(refusal.kind()), refusal.reason));
                }
                _ => {}
            }
        }
    }
}

fn code(kind: RefusalKind) -> Code {
    match kind {
        RefusalKind::Invalid => Code::InvalidArgument,
        RefusalKind::NotAllowed => Code::PermissionDenied,
        RefusalKind::NotRegistered => Code::FailedPrecondition,
        RefusalKind::TooOften => Code::ResourceExhausted,
        RefusalKind::Unavailable => Code::Unavailable,
        RefusalKind::Unspecified => Code::Unknown,
    }
}

/// The registration of a SuperLink in a VM of the first zone.
///
/// # Errors
/// When there is no such VM, or openssl makes no certificate request.
pub fn registration(lab: &Lab, mesh: &Mesh, vm: &str) -> Result<Registering> {
    let zone = lab.zones().first().context("a Lab without a zone")?;
    let wanted = Registration {
        addresses: vec![zone.vm(vm)?.address.into()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        csr_pem: certificate_request(lab, vm)?,
        clock: UnixMillis(unix_ms()),
        authenticates: false,
    };
    Ok(Registering { token: mesh.token().to_owned(), wanted })
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn certificate_request(lab: &Lab, vm: &str) -> Result<String> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=superlink", "-keyout"])
        .arg(lab.folder().join(format!("{vm}.key")));
    run(&mut openssl).context("openssl made no certificate request")
}

/// Which ports a watcher was told, and when.
type Seen = Arc<Mutex<BTreeMap<u32, Instant>>>;

/// Registrations one after the other, each with the next port.
#[derive(Debug, Clone)]
pub struct Series {
    /// The ports.
    pub ports: std::ops::Range<u32>,
    /// The time between two.
    pub pause: Duration,
}

/// Registers from `home` again and again, and returns how long each registration took until all
/// `posts` were told it.
///
/// # Errors
/// When one of them is never told.
pub fn measure(
    home: &Post<'_>,
    posts: &[Post<'_>],
    request: &Registering,
    series: Series,
) -> Result<Vec<Duration>> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    std::thread::scope(|scope| {
        let mut all = Vec::new();
        let mut threads = Vec::new();
        for post in posts {
            let (seen, stopped) = (Seen::default(), stopped.clone());
            all.push(seen.clone());
            threads.push(scope.spawn(move || post.place.inside(|| watch(post, &seen, stopped))));
        }
        let times = home.place.inside(|| register(home, &all, request, series));
        stop.send_replace(true);
        for thread in threads {
            match thread.join() {
                Ok(watched) => watched?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        times
    })
}

fn watch(post: &Post<'_>, seen: &Seen, mut stopped: Receiver<bool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut gateway = local::connect(post.api, post.tls.clone()).await?;
        let mut session = LocalSession::open(&mut gateway, post.hello()?, &[]).await?;
        loop {
            tokio::select! {
                message = session.inbound.message() => {
                    let message = message?.context("the gateway ended a session")?;
                    let Some(Answer::View(view)) = message.body else { continue };
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.entry(view.fleet_port).or_insert_with(Instant::now);
                }
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            }
        }
    })
}

fn register(
    home: &Post<'_>,
    watchers: &[Seen],
    request: &Registering,
    series: Series,
) -> Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut gateway = local::connect(home.api, home.tls.clone()).await?;
        let mut session = request.open(&mut gateway).await?;
        until_all_watch(watchers).await?;
        let mut times = Vec::new();
        for port in series.ports {
            let clock = UnixMillis(unix_ms());
            let start = Instant::now();
            let fleet_port = u16::try_from(port)?;
            let wanted = Registration { fleet_port, clock, ..request.wanted.clone() };
            Registering { wanted, ..request.clone() }.again(&mut session).await?;
            let last = loop {
                let told = watchers.iter().map(|seen| {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied()
                });
                if let Some(told) = told.collect::<Option<Vec<_>>>() {
                    break told.into_iter().max().unwrap_or_else(Instant::now);
                }
                if start.elapsed() > patience() {
                    bail!("port {port} was never told to all watchers");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            times.push(last.saturating_duration_since(start));
            tokio::time::sleep(series.pause).await;
        }
        Ok(times)
    })
}

/// Each watcher is told something as soon as it watches.
async fn until_all_watch(watchers: &[Seen]) -> Result<()> {
    let begin = Instant::now();
    let watches = |seen: &Seen| !seen.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    while !watchers.iter().all(watches) {
        anyhow::ensure!(begin.elapsed() < patience(), "a gateway tells a watcher nothing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

//! A VM that poses as the gateway: what it hears of a companion that was sent to it.
//!
//! ```text
//!   berlin
//!   superlink 10.10.10.5 - gw 10.10.10.1
//!   false     10.10.10.6 -/   (TLS of its own on the port of the local API)
//! ```
//!
//! OneGate would have named its address: with OpenNebula's default settings any VM of a service can
//! overwrite what the gateway has published there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedGateway as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, LOCAL_API_PORT, MadeToken, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_pki::{CurrentLeaf, ZoneAuthority, local_server_config};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: HOME, vms: &[SUPERLINK, "false"] }];
/// How long the false gateway listens: several tries of a companion.
const LISTENS: Duration = Duration::from_secs(15);

/// What it has heard behind TLS, and how often somebody has called.
struct Heard {
    calls: usize,
    bytes: Vec<u8>,
}

/// Answers in `place` as a gateway of a zone that is also called berlin, with a key of its own.
fn pose(place: &Namespace, address: Ipv4Addr) -> Result<Heard> {
    place.inside(|| {
        let zone = ZoneAuthority::from_seed(HOME, &[66; 32])?;
        let leaf = zone.issue_leaf(&[IpAddr::V4(address)], SystemTime::now())?;
        let acceptor = TlsAcceptor::from(local_server_config(&CurrentLeaf::new(&leaf)?)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind((address, LOCAL_API_PORT)).await?;
            let (begun, mut heard) = (Instant::now(), Heard { calls: 0, bytes: Vec::new() });
            while let Some(left) = LISTENS.checked_sub(begun.elapsed()) {
                let Ok(called) = tokio::time::timeout(left, listener.accept()).await else { break };
                heard.calls += 1;
                let Ok(mut stream) = acceptor.accept(called?.0).await else { continue };
                // An HTTP/2 server begins with its settings; then it is told what there is to hear.
                stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
                let talk = stream.read_to_end(&mut heard.bytes);
                let _hung_up = tokio::time::timeout(Duration::from_secs(3), talk).await;
            }
            Ok(heard)
        })
    })
}

/// Starts the SuperLink's companion with this token, sent to the false gateway; it says `code`, and this
/// what was heard.
fn sent_astray(federation: &mut LabFederation, token: &str, code: &str) -> Result<Heard> {
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    let address = federation.lab.zone(HOME)?.vm("false")?.address;
    let there = SocketAddr::from((address, LOCAL_API_PORT));
    settings.insert("ONEAPP_ZONEMESH_GATEWAY", there.to_string());
    settings.insert("ONEAPP_ZONEMESH_TOKEN", token.to_owned());
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    let heard = pose(&federation.lab.zone(HOME)?.vm("false")?.namespace, address)?;
    let output = federation.companion(HOME)?.output()?;
    ensure!(heard.calls > 0, "nobody has called: {output}");
    ensure!(output.contains(code), "{code} is not told: {output}");
    ensure!(!output.contains(token), "the token is in the log: {output}");
    federation.cut_power(HOME, SUPERLINK)?;
    Ok(heard)
}

fn registers_at_the_true_one(federation: &mut LabFederation) -> Result<()> {
    federation.start_superlink()?;
    federation.companion(HOME)?.wait_for("registered", patience())?;
    federation.succeeded()
}

fn has(heard: &Heard, text: &str) -> bool {
    heard.bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_vm_that_poses_as_the_gateway_hears_not_one_byte() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.mesh.start(&federation.lab)?;
    let token = federation.mesh.token().to_owned();
    let heard = sent_astray(&mut federation, &token, "T405")?;
    ensure!(heard.bytes.is_empty(), "{} calls: {:?}", heard.calls, heard.bytes);
    registers_at_the_true_one(&mut federation)
}

#[test]
fn in_a_managed_mesh_it_hears_one_question_and_nothing_about_the_vm() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.mesh.start(&federation.lab)?;
    let gateway = federation.mesh.gateway(HOME)?;
    gateway.wait_until_ready(patience())?;
    gateway.init_mesh(false)?;
    let made = gateway.ask(&["key", "generate", "token"])?;
    let field = |name: &str| {
        made[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {made}"))
    };
    let token = field("token")?;
    ensure!(token.starts_with("zmt1.mesh:"), "{}", field("pin")?);
    gateway.tokens.superlink = MadeToken { token: token.clone(), sha256: field("sha256")? };
    gateway.section("local_api")?.remove("token");
    gateway.hold_federation()?;
    gateway.kill_9_and_start(&federation.lab)?;

    // It gives no answer to the question.
    let heard = sent_astray(&mut federation, &token, "N201")?;
    ensure!(has(&heard, "PRI * HTTP/2.0"), "it was asked nothing: {} calls", heard.calls);
    for secret in [token.as_str(), "zmt1", FEDERATION] {
        ensure!(!has(&heard, secret), "it has heard {secret}");
    }
    registers_at_the_true_one(&mut federation)
}

//! `zonemesh-gateway run`: the zone becomes a member, and OneGate hears where its gateway is and
//! that it is ready.
//!
//! It promises that what OneGate is told stands there until something else is true, whatever
//! OneGate does meanwhile, and that it is erased when this program begins. It refuses to stop for
//! anything that may pass: a daemon that is not there is waited for.

mod daemon;
mod hint;
mod member;
mod readiness;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_appliance::gateway::serves_at;
use zonemesh_appliance::onegate::{READY, WantedAttributes, YES, ZONEMESH_GATEWAY, keep_told};
use zonemesh_appliance::startup;
use zonemesh_core::exit::Exit;

use crate::places;
use crate::settings::GatewaySettings;
use daemon::AskedDaemon;
use member::{MemberStage, become_member};
use readiness::{GatewayReadiness, GatewaySeen, TunnelCount};
use report::{GatewayReport, ReportFile};

/// How often it is looked while something is missing, and later.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// Where it says how it goes, unless it is told another place.
const USUAL_STATUS: &str = "/run/zonemesh-gateway/status.json";

/// One VM has one READY: where a SuperLink shares it, that one's companion tells it for both.
const fn told_by_this(settings: &GatewaySettings) -> &'static [&'static str] {
    match settings.status {
        Some(_) => &[ZONEMESH_GATEWAY],
        None => &[ZONEMESH_GATEWAY, READY],
    }
}

/// Runs until it is told to stop.
///
/// # Errors
/// The signals cannot be received.
pub(crate) async fn run(
    settings: GatewaySettings,
    file: PathBuf,
    status: Option<PathBuf>,
) -> anyhow::Result<Exit> {
    let daemon = AskedDaemon::new(file);
    let (stage, reached) = watch::channel(MemberStage::NotAsked);
    let (attributes, wanted) = watch::channel(WantedAttributes::new());
    let mut tasks = JoinSet::new();
    if let Some(onegate) = &settings.onegate {
        tasks.spawn(keep_told(onegate.clone(), told_by_this(&settings), wanted));
    }
    if let Some(given) = settings.given().cloned() {
        let waiting = format!("zone {} is not in its mesh yet", given.zone);
        stage.send_replace(MemberStage::Waiting(waiting));
        tasks.spawn(become_member(given, daemon.clone(), stage));
    }
    let watching = WatchedGateway {
        settings: &settings,
        daemon: &daemon,
        stage: reached,
        attributes,
        readiness: GatewayReadiness::default(),
        report: ReportFile::new(
            status.or(settings.status.clone()).unwrap_or_else(|| USUAL_STATUS.into()),
        ),
    };
    tokio::select! {
        () = watching.follow() => {}
        () = waits_behind(hint::take(&settings, &daemon)) => {}
        stopped = startup::stop_signal() => stopped?,
    }
    Ok(Exit::Ok)
}

/// Something that ends, and then nothing.
async fn waits_behind(work: impl Future<Output = ()>) {
    work.await;
    std::future::pending().await
}

/// What is looked at, and who is told.
struct WatchedGateway<'a> {
    settings: &'a GatewaySettings,
    daemon: &'a AskedDaemon,
    stage: watch::Receiver<MemberStage>,
    attributes: watch::Sender<WantedAttributes>,
    readiness: GatewayReadiness,
    report: ReportFile,
}

impl WatchedGateway<'_> {
    async fn follow(mut self) {
        let mut said = None;
        loop {
            let (local_api, seen) = self.look().await;
            let missing = self.readiness.missing(&seen);
            let is_ready = missing.is_none();
            if said.as_ref() != Some(&missing) {
                match &missing {
                    None => tracing::info!("this gateway is ready"),
                    Some(what) => tracing::info!("this gateway is not ready: {what}"),
                }
                said = Some(missing.clone());
            }
            self.tell(READY, is_ready.then(|| YES.to_owned()));
            self.write(missing, &seen, local_api);
            let wait = LOOKS[usize::from(is_ready)];
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.stage.changed() => if changed.is_err() {
                    // The way is gone to its end.
                    tokio::time::sleep(wait).await;
                },
            }
        }
    }

    /// Where the local API is, and what is seen of the gateway.
    async fn look(&self) -> (Option<SocketAddr>, GatewaySeen) {
        let place = self.place();
        let (local_api, unserved) = match place {
            None => (None, None),
            Some(Err(why)) => (None, Some(why)),
            Some(Ok(at)) => (Some(at), serves_at(at).await.err().map(|why| format!("{at}: {why}"))),
        };
        if let (Some(at), None) = (local_api, &unserved) {
            // Base64, as OneGate damages brackets.
            self.tell(ZONEMESH_GATEWAY, Some(STANDARD.encode(at.to_string())));
        }
        let status = self.daemon.status().await.ok();
        let tunnels =
            status.map(|status| TunnelCount { up: status.peers_up, total: status.peers_total });
        let stage = self.stage.borrow().clone();
        (local_api, GatewaySeen { unserved, tunnels, stage })
    }

    /// Only what is new wakes whoever tells it.
    fn tell(&self, name: &'static str, value: Option<String>) {
        self.attributes.send_if_modified(|wanted| {
            let is_new = wanted.get(name) != value.as_ref();
            match value {
                Some(value) => drop(wanted.insert(name, value)),
                None => drop(wanted.remove(name)),
            }
            is_new
        });
    }

    /// Where the zone's VMs reach the local API; nothing if the configuration has none.
    fn place(&self) -> Option<Result<SocketAddr, String>> {
        let Some(config) = self.daemon.config() else {
            return Some(Err("the configuration cannot be read".to_owned()));
        };
        let listen = config.local_api.as_ref()?.listen;
        let at = places::reached_at(listen, &config.zone.prefixes, &self.settings.nics);
        Some(at.map_err(|error| error.to_string()))
    }

    fn write(&mut self, missing: Option<String>, seen: &GatewaySeen, at: Option<SocketAddr>) {
        let refusal = match &seen.stage {
            MemberStage::Refused(refusal) if missing.is_some() => Some(refusal),
            _ => None,
        };
        self.report.write(GatewayReport {
            schema: "zonemesh/gateway/v1",
            zone: self.settings.given().map(|given| given.zone.to_string()),
            ready: missing.is_none(),
            missing,
            code: refusal.and_then(|refusal| refusal.code),
            fix: refusal.map(|refusal| refusal.fix.clone()),
            local_api: at.map(|at| at.to_string()),
        });
    }
}

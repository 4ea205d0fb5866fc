//! The local gateway as a companion meets it: pinned TLS, one question, one session that never
//! gives up.
//!
//! It promises that a gateway which CONTEXT does not name is looked for through OneGate, whose
//! answer is a hint and no more, and that a lost gateway is tried again for ever with jitter. It
//! refuses to decide what a lost gateway means for Flower (nothing: see `run`).
//! Specification: crates/api/proto/local.proto.

mod at;
mod echo;
mod newest;
mod pin;
mod place;
mod published;
mod search;
mod session;
mod watched;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use tonic::Request;
use zonemesh_api::clients::Said;
use zonemesh_api::keepalive::{self, Keepalive, KeepaliveMismatch, Whose};
use zonemesh_api::v1;
use zonemesh_api::wire::local::{FederationAnswer, FederationQuestion, RegisteredSuperLink};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_core::exit::error_line;
use zonemesh_core::name::FederationName;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{VmRole, VmToken};

pub use pin::SetFile;
pub use session::{GatewayLine, GatewaySession, GatewayTalk};
pub use watched::{ShownFederation, WatchedFederation};

use crate::flower::InstalledFlower;
use crate::reason::Reason;
use crate::routes;
use crate::settings::{CompanionSettings, MeshSettings};
use at::{ConnectedGateway, GatewayAt};
use newest::NewestSet;
use pin::PinnedZone;
use place::{PlaceOfGateway, Tried};

/// The local gateway, for one federation, wherever it is.
#[derive(Clone)]
pub struct LocalGateway {
    place: PlaceOfGateway,
    federation: FederationName,
    token: VmToken,
    role: VmRole,
    newest: Arc<Mutex<NewestSet>>,
    /// What proves to OneGate which VM this is, if the gateway is to be shown it.
    onegate: Option<OneGateIdentity>,
    /// The address of this VM that the gateway is to see, where it has that.
    from: Option<IpAddr>,
    /// The keepalives of its Flower, once it is known which that is and if it has any.
    flowers: Arc<OnceLock<Option<Keepalive>>>,
    /// Addresses that a gateway never leads this VM to.
    apart: Vec<IpAddr>,
}

/// One answer, with the clocks compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFederation {
    /// The SuperLink, if one is registered.
    pub superlink: Option<RegisteredSuperLink>,
    /// This machine's clock minus the gateway's, in milliseconds, to half a round trip.
    pub ahead_of_gateway_ms: i64,
    /// Why this VM's zone is out of its mesh, if it is.
    pub out: Option<Reason>,
}

/// What the gateway issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The SuperLink's certificate, PEM.
    pub certificate_pem: String,
    /// The federation's CA, PEM.
    pub ca_pem: String,
    /// The gateway names the federation's SuperNodes.
    pub names_supernodes: bool,
}

impl LocalGateway {
    /// The gateway of these settings. Connects only when called.
    #[must_use]
    pub fn new(settings: &CompanionSettings, mesh: &MeshSettings, file: SetFile) -> Self {
        Self {
            place: PlaceOfGateway::new(&mesh.gateway, &settings.state_dir, &file),
            federation: settings.federation.clone(),
            token: mesh.token.clone(),
            role: settings.role,
            newest: Arc::new(Mutex::new(NewestSet::new(file))),
            onegate: None,
            from: None,
            flowers: Arc::default(),
            apart: routes::apart(settings.onegate.as_ref()),
        }
    }

    /// Which Flower runs here: from now on the gateway is told its keepalives, if it has any.
    pub fn runs(&self, flower: InstalledFlower) {
        // The version of a running companion's Flower does not change.
        let _known = self.flowers.set(flower.generation.keepalive());
    }

    /// The keepalives of this companion and of its Flower.
    fn keepalives(&self) -> Vec<(Whose, Keepalive)> {
        let flowers = self.flowers.get().copied().flatten();
        let own = (Whose::Own, Keepalive::DEFAULT);
        std::iter::once(own).chain(flowers.map(|figures| (Whose::Flowers, figures))).collect()
    }

    /// Where it is, if that is known.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.place.address()
    }

    /// The same, which is shown what proves to OneGate which VM this is.
    #[must_use]
    pub fn showing(self, onegate: Option<OneGateIdentity>) -> Self {
        Self { onegate, ..self }
    }

    /// The same, called from this address of the VM: the gateway holds what is registered against the
    /// address that it sees, and a VM may have several.
    #[must_use]
    pub fn calling_from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    /// Asks once, and compares clocks.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn resolve(&self) -> Result<ResolvedFederation, Reason> {
        let ConnectedGateway { at, mut client } = self.reach().await?;
        let request = v1::ResolveRequest::from(self.question());
        let before = signed(UnixMillis::from(SystemTime::now()));
        let view = at.call(client.resolve(self.telling(request))).await?.into_inner();
        let halfway = before.midpoint(signed(UnixMillis::from(SystemTime::now())));
        let answer = at.read(view)?;
        let ahead_of_gateway_ms = halfway.saturating_sub(signed(answer.gateway_time));
        let out = out_of_its_mesh(&answer);
        Ok(ResolvedFederation { superlink: answer.superlink, ahead_of_gateway_ms, out })
    }

    fn question(&self) -> FederationQuestion {
        FederationQuestion::by(&self.federation, &self.token, self.role)
    }

    /// A connection, once all that may be the gateway were tried in turn.
    async fn reach(&self) -> Result<ConnectedGateway, Reason> {
        loop {
            match self.connect().await {
                Ok(connected) => return Ok(connected),
                Err(Tried::Next) => {}
                Err(Tried::Over(reason)) => return Err(reason),
            }
        }
    }

    /// One step towards a connection.
    async fn connect(&self) -> Result<ConnectedGateway, Tried> {
        self.place.connect(|address| self.at(address)).await
    }

    fn at(&self, address: SocketAddr) -> GatewayAt {
        let pin = self.token.pin().clone();
        let zone = PinnedZone::new(pin, address, Arc::clone(&self.newest));
        let secret_length = self.token.secret_length();
        GatewayAt { address, zone, secret_length, from: self.from, sees_another: false }
    }

    /// A request that tells the keepalives.
    fn telling<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (whose, figures) in &self.keepalives() {
            keepalive::tell(request.metadata_mut(), *whose, figures);
        }
        request
    }

    fn lost(&self, problem: &str) -> Reason {
        self.place.lost(problem)
    }
}

/// Why the zone of the gateway that answers is out of its mesh, if it is.
fn out_of_its_mesh(answer: &FederationAnswer) -> Option<Reason> {
    let revoked = answer.zone_revoked.clone().map(Reason::ZoneRevoked);
    revoked.or_else(|| answer.zone_left.map(|at| Reason::ZoneLeft { at }))
}

/// Holds these keepalives against what is in force at the gateway.
fn misfit(ours: &[(Whose, Keepalive)], theirs: Option<Keepalive>) -> Option<Reason> {
    let theirs = theirs?;
    ours.iter().find_map(|(whose, figures)| {
        let mismatch: KeepaliveMismatch = figures.check_against(&theirs).err()?;
        let whose = match whose {
            Whose::Own => "the companion",
            Whose::Flowers => "Flower",
        };
        Some(Reason::Keepalive { whose, mismatch })
    })
}

/// Whether a gateway's local API answers at an address. Nothing is said to it, and nobody is
/// believed.
///
/// # Errors
/// Why nobody answers.
pub async fn serves_at(address: SocketAddr) -> Result<(), String> {
    let tls = zonemesh_pki::asking_client_config().map_err(|error| error_line(&error))?;
    let connecting = zonemesh_api::clients::local::connect(address, tls);
    match tokio::time::timeout(at::CALL_TIMEOUT, connecting).await {
        Ok(Ok(_answers)) => Ok(()),
        Ok(Err(error)) => Err(Said::from(error).to_string()),
        Err(_elapsed) => Err(format!("no answer within {} s", at::CALL_TIMEOUT.as_secs())),
    }
}

fn signed(clock: UnixMillis) -> i64 {
    i64::try_from(clock.0).unwrap_or(i64::MAX)
}

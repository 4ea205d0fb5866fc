//! Which key the gateway must have before this VM says anything to it.
//!
//! The token says: in a mesh that is written by hand a key, in a managed one a mesh and a zone, whose
//! key the gateway then has to show. Promises that nothing about this VM leaves it meanwhile, that no
//! state of the mesh is taken that is older than the newest one seen, and that the newest one is on
//! disk before anything follows from it. It refuses to know the rules (`zonemesh_core::attestation`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::{Code, Request};
use zonemesh_api::clients::Said;
use zonemesh_api::v1::AttestRequest;
use zonemesh_api::wire::local::shown_items;
use zonemesh_core::attestation::{self, GatewayDoubt};
use zonemesh_core::exit::error_line;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{SignedTrustItem, TrustKind};
use zonemesh_core::token::{MeshPin, ZonePin};
use zonemesh_pki::asking_client_config;

use super::newest::NewestSet;
use crate::reason::Reason;

/// Longest time until a gateway has shown which key its zone has.
const PATIENCE: Duration = Duration::from_secs(5);

/// The zone that the gateway must be of.
#[derive(Clone)]
pub(super) struct PinnedZone {
    pin: ZonePin,
    gateway: SocketAddr,
    newest: Arc<Mutex<NewestSet>>,
}

impl PinnedZone {
    pub(super) fn new(pin: ZonePin, gateway: SocketAddr, newest: Arc<Mutex<NewestSet>>) -> Self {
        Self { pin, gateway, newest }
    }

    /// The key that its gateway must have, asked for anew each time in a managed mesh.
    pub(super) async fn key(&self) -> Result<ZonePublicKey, Reason> {
        match &self.pin {
            ZonePin::Key(key) => Ok(*key),
            ZonePin::Mesh(pin) => {
                let shown = tokio::time::timeout(PATIENCE, self.ask()).await;
                let silent = |_elapsed| self.unreachable("it does not show which key its zone has");
                self.believe(pin, shown.map_err(silent)??)
            }
        }
    }

    /// Whoever answers may be anybody: what is asked is the same for every VM.
    async fn ask(&self) -> Result<Vec<SignedTrustItem>, Reason> {
        let tls = asking_client_config().map_err(|error| self.unreachable(error_line(&error)))?;
        let client = zonemesh_api::clients::local::connect(self.gateway, tls).await;
        let client = client.map_err(|error| self.unreachable(Said::from(error).to_string()))?;
        let mut client = client.max_decoding_message_size(attestation::MAX_BYTES);
        match client.attest(Request::new(AttestRequest {})).await {
            Ok(reply) => {
                let items = shown_items(reply.into_inner());
                items.map_err(|error| self.unproven(error.to_line()))
            }
            Err(status) => Err(match status.code() {
                Code::FailedPrecondition => self.unproven("it belongs to no managed mesh yet"),
                Code::Unimplemented => self.unproven("no local API that can show it listens there: it is another port, or of a release before 0.2"),
                Code::OutOfRange => self.unproven("it shows more than any mesh has"),
                _ => self.unreachable(Said::from(status).to_string()),
            }),
        }
    }

    fn believe(&self, pin: &MeshPin, shown: Vec<SignedTrustItem>) -> Result<ZonePublicKey, Reason> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let unusable = |problem| Reason::Files { problem };
        let seen = newest.of(&pin.mesh).map_err(|error| unusable(error_line(&error)))?;
        let shows_a_zone = shown.iter().any(|item| item.kind() == TrustKind::Grant);
        let attested = attestation::verify(pin, seen.as_ref(), shown)
            .map_err(|doubt| self.doubted(&doubt, shows_a_zone))?;
        let kept = newest.keep(&pin.mesh, attested.head);
        kept.map_err(|error| unusable(error_line(&error)))?;
        Ok(attested.zone_key)
    }

    fn unproven(&self, problem: impl Into<String>) -> Reason {
        Reason::GatewayUnproven { gateway: self.gateway, problem: problem.into(), is_other: false }
    }

    /// A gateway that shows another mesh or zone is not one that is behind.
    fn doubted(&self, doubt: &GatewayDoubt, shows_a_zone: bool) -> Reason {
        let is_other = match doubt {
            GatewayDoubt::OtherMesh(_) => true,
            GatewayDoubt::NoGrant(_) => shows_a_zone,
            GatewayDoubt::TooMuch
            | GatewayDoubt::OlderThanToken(_)
            | GatewayDoubt::OlderThanSeen(_)
            | GatewayDoubt::Conflict => false,
        };
        let (gateway, problem) = (self.gateway, doubt.to_string());
        Reason::GatewayUnproven { gateway, problem, is_other }
    }

    fn unreachable(&self, problem: impl Into<String>) -> Reason {
        Reason::GatewayUnreachable { gateway: self.gateway, problem: problem.into() }
    }
}

/// Where the newest authority set that was seen is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetFile {
    /// Read, and written when a newer one is seen.
    Kept(PathBuf),
    /// Only read: `plan` changes nothing on disk.
    Read(PathBuf),
}

//! How a joiner asks its inviter: address by address, on one connection at a time.
//!
//! Promises: an answer is believed only of an inviter that proves the invitation's secret on the
//! connection that it was asked on; what may pass by itself is told apart from what will not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use zonemesh_api::clients::ConnectError;
use zonemesh_api::clients::join::{JoinAddress, JoinConnection, RedeemCallError};
use zonemesh_core::exit::error_line;
use zonemesh_core::invitation::{Invitation, Inviter, RedemptionAnswer};
use zonemesh_core::membership::{Membership, TrustRejected};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::SignedRecord;
use zonemesh_pki::{
    TrustError, ZoneTrust, check_shown, is_about_time, rfc3339, unpinned_client_config,
    zone_client_config,
};

use super::{JoinProgress, SOON};
use crate::administration::{Administration, Refusal};
use crate::facts::certificates::OwnLeaf;

/// Why a try has failed.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// For good.
    Refused(Refusal),
    /// For now.
    Unreached(String),
}

/// What an inviter has shown that is the right one.
pub(crate) struct Believed {
    /// An authority must still approve.
    pub(crate) is_pending: bool,
    pub(crate) membership: Membership,
    /// What the inviter's zone says of itself.
    pub(crate) record: Option<SignedRecord>,
}

/// It cannot be used, whenever it is tried.
fn unusable(reason: impl Into<String>) -> Attempt {
    Attempt::Refused(Refusal::Invitation(reason.into()))
}

/// Who asks, with what, and who is told.
pub(crate) struct Asking<'a> {
    pub(crate) administration: &'a Administration,
    pub(crate) leaf: &'a OwnLeaf,
    pub(crate) invitation: &'a Invitation,
    pub(crate) progress: &'a JoinProgress,
}

impl Asking<'_> {
    /// One try at each endpoint of the inviter.
    pub(crate) async fn try_redeem(&self) -> Result<Believed, Attempt> {
        let inviter = &self.invitation.inviter;
        let tls = self.tls(inviter).map_err(|error| unusable(error.to_string()))?;
        let names = inviter.join_endpoints.join(", ");
        let mut last = Attempt::Unreached(format!("cannot resolve {names}"));
        for outer in addresses(&inviter.join_endpoints).await {
            for tunnel_ip in certified_for(inviter, outer) {
                let at = JoinAddress { outer, tunnel_ip };
                match self.ask(at, tls.clone()).await {
                    Err(Attempt::Unreached(message)) => last = Attempt::Unreached(message),
                    answered => return answered,
                }
            }
        }
        Err(last)
    }

    /// Pins the inviter's zone by its key, if the invitation knows it.
    fn tls(&self, inviter: &Inviter) -> Result<Arc<rustls::ClientConfig>, TrustError> {
        let Some(key) = inviter.zone_key else { return unpinned_client_config() };
        let trust = ZoneTrust::new(&[(inviter.zone.to_string(), *key.as_bytes())])?;
        zone_client_config(&trust, self.leaf.current(), inviter.zone.as_str())
    }

    /// Asks at one address. What is said there holds on that connection alone.
    async fn ask(
        &self,
        at: JoinAddress,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Believed, Attempt> {
        let Self { administration, invitation, progress, .. } = self;
        let zone = &invitation.inviter.zone;
        let mut connection = connect(zone, at, tls, progress).await?;
        let (binding, shown) = (connection.binding, std::mem::take(&mut connection.shown));
        let asked =
            administration.ledger.read(|registry| registry.redemption(invitation, &binding));
        let no_record = "this gateway has published no record of its own: zonemesh status";
        let no_record = || Attempt::Refused(Refusal::Join(no_record.to_owned()));
        let asked = asked.ok_or_else(no_record)?;
        match connection.redeem(asked.clone()).await {
            Ok(answer) if invitation.verify_answer(&asked, &binding, &answer) => {
                believe(invitation, answer, &shown).map_err(Attempt::Refused)
            }
            Ok(_) => Err(unusable(
                "the answer does not prove the invitation's secret: nothing was changed",
            )),
            Err(RedeemCallError::Later(text)) => {
                Err(Attempt::Unreached(format!("{}: {text}", at.outer)))
            }
            Err(RedeemCallError::Unusable(text)) => Err(unusable(text)),
            Err(error) => Err(Attempt::Refused(Refusal::Join(error_line(&error)))),
        }
    }
}

/// The mesh that the inviter has shown, if it is the one that the invitation is for.
fn believe(
    invitation: &Invitation,
    answer: RedemptionAnswer,
    shown: &[CertificateDer<'_>],
) -> Result<Believed, Refusal> {
    let RedemptionAnswer { pending, trust, record, .. } = answer;
    let pin = Some(invitation.authority_set);
    let membership = match Membership::from_items(&invitation.mesh, pin, trust) {
        Err(TrustRejected::UnknownPredecessor) => return Err(Refusal::Invitation(
            "the mesh has not followed the authorities that this invitation was written under: ask for a new one".to_owned(),
        )),
        read => read?,
    };
    let inviter = &invitation.inviter;
    if inviter.zone_key.is_none() {
        let member = membership.member(&inviter.zone).ok_or_else(|| {
            Refusal::Invitation(format!("zone {}, which invites, is no member", inviter.zone))
        })?;
        let key = *member.key.as_bytes();
        check_shown(inviter.zone.as_str(), key, &member.tunnel_ips, shown).map_err(|error| {
            Refusal::Invitation(format!(
                "who answers is not a gateway of zone {}: {error}",
                inviter.zone
            ))
        })?;
    }
    Ok(Believed { is_pending: pending, membership, record })
}

/// The tunnel IPs by which the inviter's certificate may say which gateway it is: any gateway of its
/// zone may answer. Before the zone had a key nobody knew them, and the certificate is looked at later.
fn certified_for(inviter: &Inviter, outer: SocketAddr) -> Vec<IpAddr> {
    match inviter.zone_key {
        None => vec![outer.ip()],
        Some(_) => {
            inviter.gateways.iter().flat_map(|g| g.tunnel_ips.iter().take(1)).copied().collect()
        }
    }
}

/// Connects, and says soon at which address nobody answers.
async fn connect(
    zone: &ZoneName,
    at: JoinAddress,
    tls: Arc<rustls::ClientConfig>,
    progress: &JoinProgress,
) -> Result<JoinConnection, Attempt> {
    let mut opening = std::pin::pin!(JoinConnection::open(at, tls));
    let connected = match tokio::time::timeout(SOON, &mut opening).await {
        Ok(connected) => connected,
        Err(_) => {
            progress.say_once(no_answer(zone, at.outer)).await;
            opening.await
        }
    };
    connected.map_err(|error| not_connected(zone, at.outer, &error))
}

fn no_answer(zone: &ZoneName, at: SocketAddr) -> String {
    format!("no answer from zone {zone} at {at}: is that TCP port open on the way there?")
}

fn not_connected(zone: &ZoneName, at: SocketAddr, error: &ConnectError) -> Attempt {
    let line = error_line(error);
    match error {
        ConnectError::Tls { .. } => match error.tls_error() {
            Some(error) if is_about_time(error) => Attempt::Unreached(format!(
                "the certificate of zone {zone} does not hold by this gateway's clock, which says {}: set it",
                rfc3339(std::time::SystemTime::now())
            )),
            Some(rustls::Error::InvalidCertificate(_)) => unusable(format!(
                "{line}: this is not the gateway of zone {zone} that has invited: ask for a new invitation"
            )),
            _ => Attempt::Unreached(line),
        },
        ConnectError::Timeout { .. } => Attempt::Unreached(no_answer(zone, at)),
        _ => Attempt::Unreached(line),
    }
}

/// The addresses of the endpoints, names resolved by the system, best first.
async fn addresses(endpoints: &[String]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for endpoint in endpoints {
        match tokio::net::lookup_host(endpoint.as_str()).await {
            Ok(found) => addresses.extend(found),
            Err(error) => tracing::warn!(endpoint, %error, "cannot resolve the inviter's endpoint"),
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustls::pki_types::pem::PemObject as _;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use zonemesh_core::invitation::{InvitationId, InvitationSecret, RedemptionProof};
    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::membership::{
        AuthorityIdentity, GrantRequest, SignedTrustItem, TrustItem, sign,
    };
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn berlin() -> ZoneName {
        "berlin".parse().unwrap()
    }

    fn tls() -> Arc<rustls::ClientConfig> {
        let identity = ZoneIdentity::from_seed(&[2; 32]);
        let own = [IpAddr::from([10, 255, 0, 2])];
        let leaf = OwnLeaf::issue(&"madrid".parse().unwrap(), &identity, &own).unwrap();
        let key = ZoneIdentity::from_seed(&[1; 32]).public_key();
        let trust = ZoneTrust::new(&[("berlin".to_owned(), *key.as_bytes())]).unwrap();
        zone_client_config(&trust, leaf.current(), "berlin").unwrap()
    }

    #[test]
    fn a_certificate_that_the_granted_key_has_not_signed_is_no_inviters() {
        let authority = AuthorityIdentity::from_seed(&[9; 32]);
        let keys = std::collections::BTreeSet::from([authority.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, UnixMillis(1)).unwrap();
        let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set.clone()));
        let mut mesh = Membership::new(first).unwrap();
        let request = GrantRequest {
            zone: berlin(),
            zone_key: ZoneIdentity::from_seed(&[1; 32]).public_key(),
            prefixes: vec!["10.10.1.0/24".parse().unwrap()],
            tunnel_ips: vec![IpAddr::from([10, 255, 0, 1])],
            federations: Vec::new(),
        };
        let grant = TrustItem::Grant(mesh.draft_grant(request, UnixMillis(1)).unwrap());
        mesh.accept(sign(&set, &grant, &[&authority])).unwrap();
        let invitation = Invitation {
            id: InvitationId([1; 16]),
            mesh: mesh.mesh().clone(),
            authority_set: mesh.authority_set().0,
            inviter: Inviter {
                zone: berlin(),
                zone_key: None,
                join_endpoints: Vec::new(),
                gateways: Vec::new(),
                prefixes: Vec::new(),
            },
            zone: "madrid".parse().unwrap(),
            prefixes: Vec::new(),
            tunnel_ips: Vec::new(),
            expires_at: UnixMillis(1),
            federations: Vec::new(),
            tokens: Vec::new(),
            secret: InvitationSecret::from_bytes([1; 16]),
            read_from: None,
        };
        let believed = |seed: u8| {
            let own = [IpAddr::from([10, 255, 0, 1])];
            let identity = ZoneIdentity::from_seed(&[seed; 32]);
            let leaf = OwnLeaf::issue(&berlin(), &identity, &own).unwrap();
            let shown = CertificateDer::from_pem_slice(leaf.certificate_pem().as_bytes()).unwrap();
            let answer = RedemptionAnswer {
                pending: false,
                trust: mesh.items(),
                record: None,
                proof: RedemptionProof::from_bytes([0; 32]),
            };
            believe(&invitation, answer, &[shown]).is_ok()
        };
        assert!(believed(1) && !believed(2));
    }

    #[tokio::test]
    async fn within_ten_seconds_a_joiner_is_told_at_which_address_nobody_answers() {
        // It accepts and says nothing, as a port behind a firewall that swallows packets.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outer = silent.local_addr().unwrap();
        let at = JoinAddress { outer, tunnel_ip: IpAddr::from([10, 255, 0, 1]) };
        let (sender, mut told) = mpsc::channel(4);
        let (progress, start, zone) = (JoinProgress::new(sender), Instant::now(), berlin());
        let connecting = connect(&zone, at, tls(), &progress);
        let line = tokio::select! {
            line = told.recv() => line.unwrap(),
            _ = connecting => panic!("it is not told before it is over"),
        };
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(
            line.contains(&outer.to_string()) && line.contains("is that TCP port open"),
            "{line}"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_named_and_tried_again_and_a_false_gateway_is_not() {
        let at: SocketAddr = "192.0.2.1:51823".parse().unwrap();
        let failed = |certificate: rustls::CertificateError| {
            let source = std::io::Error::other(rustls::Error::InvalidCertificate(certificate));
            not_connected(&berlin(), at, &ConnectError::Tls { address: at, source })
        };
        for error in [rustls::CertificateError::Expired, rustls::CertificateError::NotValidYet] {
            let Attempt::Unreached(line) = failed(error) else { panic!("it is tried again") };
            assert!(line.contains("by this gateway's clock, which says 20"), "{line}");
        }
        let Attempt::Refused(refusal) = failed(rustls::CertificateError::UnknownIssuer) else {
            panic!("nobody else may answer")
        };
        assert!(matches!(refusal, Refusal::Invitation(_)), "{refusal}");
        let source = std::io::ErrorKind::ConnectionReset.into();
        let cut_off = not_connected(&berlin(), at, &ConnectError::Tls { address: at, source });
        assert!(matches!(cut_off, Attempt::Unreached(_)));
    }
}

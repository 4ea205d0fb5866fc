//! How a joiner asks its inviter: address by address, on one connection at a time.
//!
//! Promises: an answer is believed only of an inviter that proves the invitation's secret on the
//! connection that it was asked on; what may pass by itself is told apart from what will not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use zonemesh_api::clients::ConnectError;
use zonemesh_api::clients::join::{JoinAddress, JoinConnection, RedeemCallError};
use zonemesh_core::exit::error_line;
use zonemesh_core::invitation::{Invitation, RedemptionAnswer};
use zonemesh_core::name::ZoneName;
use zonemesh_pki::{ZoneTrust, is_about_time, rfc3339, zone_client_config};

use super::{JoinProgress, Joining, Refusal, SOON};

/// Why a try has failed.
pub(super) enum Attempt {
    /// For good.
    Refused(Refusal),
    /// For now.
    Unreached(String),
}

/// It cannot be used, whenever it is tried.
fn unusable(reason: impl Into<String>) -> Attempt {
    Attempt::Refused(Refusal::Invitation(reason.into()))
}

impl Joining {
    /// One try at each endpoint of the inviter.
    pub(super) async fn try_redeem(
        &self,
        invitation: &Invitation,
        progress: &JoinProgress,
    ) -> Result<RedemptionAnswer, Attempt> {
        let inviter = &invitation.inviter;
        // Any gateway of the zone may answer; its certificate says which by a tunnel IP.
        let tunnel_ips: Vec<IpAddr> =
            inviter.gateways.iter().flat_map(|g| g.tunnel_ips.iter().take(1)).copied().collect();
        if tunnel_ips.is_empty() {
            return Err(unusable("the invitation names no gateway"));
        }
        let trust = ZoneTrust::new(&[(inviter.zone.to_string(), *inviter.zone_key.as_bytes())]);
        let trust = trust.map_err(|error| unusable(error.to_string()))?;
        let tls = zone_client_config(&trust, self.leaf.current(), inviter.zone.as_str())
            .map_err(|error| unusable(error.to_string()))?;
        let names = inviter.join_endpoints.join(", ");
        let mut last = Attempt::Unreached(format!("cannot resolve {names}"));
        for outer in addresses(&inviter.join_endpoints).await {
            for tunnel_ip in tunnel_ips.iter().copied() {
                let at = JoinAddress { outer, tunnel_ip };
                match self.ask(invitation, at, tls.clone(), progress).await {
                    Err(Attempt::Unreached(message)) => last = Attempt::Unreached(message),
                    answered => return answered,
                }
            }
        }
        Err(last)
    }

    /// Asks at one address. What is said there holds on that connection alone.
    async fn ask(
        &self,
        invitation: &Invitation,
        at: JoinAddress,
        tls: Arc<rustls::ClientConfig>,
        progress: &JoinProgress,
    ) -> Result<RedemptionAnswer, Attempt> {
        let zone = &invitation.inviter.zone;
        let connection = connect(zone, at, tls, progress).await?;
        let binding = connection.binding;
        let ledger = &self.administration.ledger;
        let asked = ledger.read(|registry| registry.redemption(invitation, &binding));
        let no_record = "this gateway has published no record of its own: zonemesh status";
        let no_record = || Attempt::Refused(Refusal::Join(no_record.to_owned()));
        let asked = asked.ok_or_else(no_record)?;
        match connection.redeem(asked.clone()).await {
            Ok(answer) if invitation.verify_answer(&asked, &binding, &answer) => Ok(answer),
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

    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use zonemesh_core::key::ZoneIdentity;

    use super::*;
    use crate::facts::certificates::OwnLeaf;

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

//! Keeps a stream to one neighbour, for ever.
//!
//! Tries every tunnel IP of the neighbour; waits 0.5 to 30 s with jitter in between, or until a
//! WireGuard handshake with it completes, whichever comes first.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use tokio::sync::{Notify, mpsc};
use zonemesh_api::clients::ConnectError;
use zonemesh_api::clients::registry::{self, ExchangeError};
use zonemesh_core::finding::Subject;
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::replication::StreamRefused;

use super::stream::{self, MembersChanged, OUTBOX, StreamContext, Wires};
use crate::facts::streams::StreamFailure;

pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(500);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A neighbour and how to reach its registry.
pub(crate) struct Neighbour {
    pub(crate) id: GatewayId,
    pub(crate) tunnel_ips: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// Wakes the dialler: a handshake with this neighbour has completed.
    pub(crate) reachable: Arc<Notify>,
}

/// Keeps the stream until it is dropped.
pub(crate) async fn run(neighbour: Neighbour, context: StreamContext) -> anyhow::Result<()> {
    let mut wait = FIRST_WAIT;
    loop {
        let was_open = context.board.entry(&neighbour.id).open > 0;
        match try_all(&neighbour, &context).await {
            Ok(()) => wait = FIRST_WAIT,
            Err(error) => {
                let line = line(&error);
                report(&neighbour.id.zone, &line, was_open);
                match failure(&error) {
                    Some(failure) => {
                        context.board.failed(&neighbour.id, line, failure);
                    }
                    None => wait = FIRST_WAIT,
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(wait)) => wait = (wait * 2).min(LONGEST_WAIT),
            () = neighbour.reachable.notified() => wait = FIRST_WAIT,
        }
    }
}

/// What has failed; `None` if nothing has: a stream that ends with the members that it was made for is
/// followed by another one.
fn failure(error: &anyhow::Error) -> Option<StreamFailure> {
    let tls = connect_error(error).and_then(ConnectError::tls_error).map(of_tls);
    let failure = match tls.or_else(|| alert(error).map(of_alert)) {
        Some(failure) => failure,
        None if error.is::<StreamRefused>() => StreamFailure::Refused,
        None => StreamFailure::Broken,
    };
    (!error.is::<MembersChanged>()).then_some(failure)
}

/// What the neighbour found of this gateway's certificate, if it said so after the handshake.
fn alert(error: &anyhow::Error) -> Option<AlertDescription> {
    match error.downcast_ref()? {
        ExchangeError::Refused(said) | ExchangeError::Connect(ConnectError::Http2(said)) => {
            said.alert()
        }
        ExchangeError::Connect(_) => None,
    }
}

/// A certificate outside its time is a wrong clock: each is made anew long before its end.
fn of_tls(error: &rustls::Error) -> StreamFailure {
    use rustls::CertificateError::{
        BadSignature, ExpiredContext, NotValidYetContext, UnknownIssuer,
    };
    match error {
        rustls::Error::InvalidCertificate(ExpiredContext { .. } | NotValidYetContext { .. }) => {
            StreamFailure::ClockOff
        }
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => StreamFailure::KeyHere,
        rustls::Error::InvalidCertificate(_) => StreamFailure::Refused,
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        _ => StreamFailure::Broken,
    }
}

const fn of_alert(alert: AlertDescription) -> StreamFailure {
    match alert {
        AlertDescription::CertificateExpired => StreamFailure::ClockOff,
        AlertDescription::UnknownCA | AlertDescription::DecryptError => StreamFailure::KeyThere,
        _ => StreamFailure::Refused,
    }
}

/// That there was no connection, if that is what failed.
fn connect_error(error: &anyhow::Error) -> Option<&ConnectError> {
    match error.downcast_ref() {
        Some(ExchangeError::Connect(error)) => Some(error),
        _ => None,
    }
}

/// What failed, in a line.
fn line(error: &anyhow::Error) -> String {
    match connect_error(error) {
        Some(cause) => format!("{error}: {}", cause.in_words()),
        None => format!("{error:#}"),
    }
}

fn report(zone: &ZoneName, error: &str, was_open: bool) {
    if was_open {
        tracing::debug!(%zone, error, "registry stream not open, trying again");
    } else {
        tracing::info!(%zone, error, "registry stream not open, trying again");
    }
}

/// Runs a stream over the first address that answers, until it ends.
async fn try_all(neighbour: &Neighbour, context: &StreamContext) -> anyhow::Result<()> {
    let mut last = anyhow::anyhow!("the neighbour has no tunnel address");
    for ip in &neighbour.tunnel_ips {
        let address = SocketAddr::new(*ip, neighbour.port);
        match open(neighbour, context, address).await {
            Ok(wires) => {
                return stream::run(context, &neighbour.id, wires, &neighbour.reachable).await;
            }
            Err(error) => last = error.context(format!("cannot reach the registry at {address}")),
        }
    }
    Err(last)
}

async fn open(
    neighbour: &Neighbour,
    context: &StreamContext,
    address: SocketAddr,
) -> anyhow::Result<Wires> {
    let (outbound, queue) = mpsc::channel(OUTBOX);
    let ours = context.keepalives.ours();
    let place = SocketAddr::new(context.network.place(address.ip()), address.port());
    let tls = neighbour.tls.clone();
    let dialled = registry::exchange(place, address.ip(), tls, &ours, queue).await?;
    let heard =
        context.keepalives.heard(&Subject::Zone(neighbour.id.zone.clone()), dialled.keepalive);
    Ok(Wires { inbound: dialled.inbound, outbound, heard })
}

/// Between half and the whole of `wait`.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without randomness the waits are merely even.
    let _ = getrandom::fill(&mut byte);
    wait / 2 + (wait / 2).mul_f64(f64::from(byte[0]) / 255.0)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_stream_that_ends_as_the_members_have_changed_has_not_failed() {
        assert_eq!(failure(&MembersChanged.into()), None);
        let refused = Err::<(), _>(StreamRefused::NoHello).context("stream").unwrap_err();
        assert_eq!(failure(&refused), Some(StreamFailure::Refused));
        let broken = anyhow::anyhow!("connection refused");
        assert_eq!(failure(&broken), Some(StreamFailure::Broken));
    }

    #[test]
    fn a_zone_key_that_is_not_known_is_told_apart_by_the_end_that_does_not_know_it() {
        use rustls::CertificateError::UnknownIssuer;
        let here = rustls::Error::InvalidCertificate(UnknownIssuer);
        assert_eq!(of_tls(&here), StreamFailure::KeyHere);
        for there in [AlertDescription::UnknownCA, AlertDescription::DecryptError] {
            assert_eq!(of_tls(&rustls::Error::AlertReceived(there)), StreamFailure::KeyThere);
        }
    }

    #[test]
    fn a_certificate_that_is_over_is_a_refusal_told_without_a_librarys_words() {
        let over = rustls::CertificateError::ExpiredContext {
            time: rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(2)),
            not_after: rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(1)),
        };
        let source = std::io::Error::other(rustls::Error::InvalidCertificate(over));
        let address: SocketAddr = "10.255.0.2:51821".parse().unwrap();
        let failed = ExchangeError::from(ConnectError::Tls { address, source });
        let error = anyhow::Error::from(failed).context("cannot reach the registry");
        assert_eq!(failure(&error), Some(StreamFailure::ClockOff));
        let line = line(&error);
        assert!(line.contains("ended at 1970-01-01T00:00:01Z"), "{line}");
        assert!(!line.contains("UNIX") && !line.contains("peer certificate"), "{line}");
    }
}

//! The checks of a SuperLink that CONTEXT names: nobody else says anything of it.
//!
//! It promises that a name is looked up anew each time, and that each fault says what to do where there
//! is no gateway. It refuses to know how long it has lasted.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use zonemesh_core::exit::error_line;
use zonemesh_core::finding::Code;
use zonemesh_pki::{CertificateSummary, Probe, ProbeFailure, San, describe_all, rfc3339};

use super::{DialledPlace, passes};
use crate::flower::InstalledFlower;
use crate::reason::Reason;
use crate::settings::{FixedAddress, FixedSuperLink};

const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where its address leads to now.
///
/// # Errors
/// Nobody knows the name.
pub async fn places(address: &FixedAddress) -> Result<Vec<SocketAddr>, Reason> {
    let name = match &address.host {
        San::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, address.port)]),
        San::Dns(name) => name,
    };
    let unknown = |problem: String| Reason::FixedSuperLink {
        address: address.to_string(),
        code: Code::SuperLinkUnreachable,
        problem: format!("the name cannot be looked up: {problem}"),
        fix: "correct ONEAPP_FL_SUPERLINK_ADDRESS, or this VM's name servers (/etc/resolv.conf)",
        is_refused: false,
    };
    let found = tokio::net::lookup_host((name.as_str(), address.port));
    let found = match tokio::time::timeout(LOOK_UP_TIMEOUT, found).await {
        Ok(found) => found.map_err(|error| unknown(error.to_string()))?,
        Err(_elapsed) => {
            return Err(unknown(format!("no answer within {} s", LOOK_UP_TIMEOUT.as_secs())));
        }
    };
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(found) }
}

/// Checks all that Flower needs, and gives the places of the SuperLink, the one that answers first.
///
/// # Errors
/// The reason to repair first.
pub async fn check_fixed(
    superlink: &FixedSuperLink,
    ours: InstalledFlower,
) -> Result<Vec<SocketAddr>, Reason> {
    let probe = Probe::new(&[&superlink.ca_pem])
        .map_err(|error| Reason::CaSet { problem: error_line(&error) })?;
    ca_is_valid(superlink, SystemTime::now())?;
    let all = places(&superlink.address).await?;
    let mut first_failure = None;
    for at in &all {
        let dialled = DialledPlace { at: *at, host: superlink.address.host.clone() };
        match passes(&dialled, &probe, ours).await {
            Ok(()) => {
                let others = all.iter().filter(|other| *other != at);
                return Ok(std::iter::once(at).chain(others).copied().collect());
            }
            Err(reason) => first_failure = first_failure.or(Some(reason)),
        }
    }
    let reason = first_failure.unwrap_or(Reason::CaSet { problem: "no address".to_owned() });
    Err(without_gateway(&superlink.address, reason))
}

/// At least one of the given CA certificates is valid now.
fn ca_is_valid(superlink: &FixedSuperLink, now: SystemTime) -> Result<(), Reason> {
    let cas = describe_all(&superlink.ca_pem)
        .map_err(|error| Reason::CaSet { problem: error_line(&error) })?;
    let has_begun = |ca: &CertificateSummary| ca.not_before.is_none_or(|begin| begin <= now);
    let has_ended = |ca: &CertificateSummary| ca.not_after.is_some_and(|end| end < now);
    if cas.iter().any(|ca| has_begun(ca) && !has_ended(ca)) {
        return Ok(());
    }
    let said = |time: Option<SystemTime>| time.map_or_else(|| "?".to_owned(), rfc3339);
    let ended = cas.iter().filter(|ca| has_ended(ca)).max_by_key(|ca| ca.not_after);
    let (what, fix) = match (ended, cas.first()) {
        (Some(ca), _) => (
            format!("\"{}\" ended {}", ca.subject, said(ca.not_after)),
            "give a CA certificate that is valid as ONEAPP_FL_SSL_CA_CERTFILE, or set the clock of this VM",
        ),
        (None, Some(ca)) => (
            format!("\"{}\" begins {}", ca.subject, said(ca.not_before)),
            "nothing to do if this VM's clock is still to be set; else: set it",
        ),
        (None, None) => return Ok(()),
    };
    Err(Reason::FixedSuperLink {
        address: superlink.address.to_string(),
        code: Code::CertificateOver,
        problem: format!(
            "no CA of ONEAPP_FL_SSL_CA_CERTFILE is valid now: {what}, and it is now {}",
            rfc3339(now)
        ),
        fix,
        is_refused: ended.is_some(),
    })
}

/// The same, with what to do where no gateway certifies.
fn without_gateway(address: &FixedAddress, reason: Reason) -> Reason {
    let code = reason.listed();
    let (problem, fix) = match reason {
        Reason::SuperLinkUnreachable { problem, .. } => (
            format!("nothing answers: {problem}"),
            "nothing to do if it is still to start; else: does flower-superlink listen there, and do firewalls and routes let this VM reach it?",
        ),
        Reason::NotTls { problem, .. } => (
            format!("it does not answer as Flower does with TLS: {problem}"),
            "start flower-superlink there with --ssl-certfile and --ssl-keyfile, of this VM's generation of Flower: without TLS no SuperNode is started",
        ),
        Reason::Certificate { failure, .. } => of_certificate(address, &failure),
        other => return other,
    };
    Reason::FixedSuperLink { address: address.to_string(), code, problem, fix, is_refused: false }
}

fn of_certificate(address: &FixedAddress, failure: &ProbeFailure) -> (String, &'static str) {
    match failure {
        ProbeFailure::SanMismatch { sans, .. } => (
            format!("its certificate is for {sans}, and not for {}", address.host),
            "give ONEAPP_FL_SUPERLINK_ADDRESS as the certificate has it, or the SuperLink a certificate with this name or address",
        ),
        ProbeFailure::WrongCa { .. } => (
            failure.to_string(),
            "give the CA that signed the SuperLink's certificate as ONEAPP_FL_SSL_CA_CERTFILE",
        ),
        ProbeFailure::Expired { .. } | ProbeFailure::NotYetValid { .. } => {
            (failure.to_string(), "renew that certificate, or set the clock of this VM")
        }
        other => (other.to_string(), "look at the certificate that the SuperLink shows there"),
    }
}

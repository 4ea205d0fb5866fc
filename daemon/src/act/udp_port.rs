//! The UDP port of the tunnels: one that is somebody else's is waited for, and told until it can be had.
//!
//! Nothing else waits for it: barrier, admin socket and local API are there meanwhile.

use std::sync::Arc;
use std::time::Duration;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_tunnel::{StartError, Tunnel};

use crate::facts::findings::FindingBoard;
use crate::facts::port_holder;

/// Pause before a port that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is told is about this setting.
pub(crate) fn subject() -> Subject {
    Subject::Setting("tunnel.listen_port".to_owned())
}

/// Takes the port as soon as it is free; keeps it then until it is dropped.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    port: u16,
    findings: Arc<FindingBoard>,
) -> anyhow::Result<()> {
    let subject = subject();
    while let Err(error) = tunnel.listen() {
        findings.raise(taken(subject.clone(), port, error));
        tokio::time::sleep(RETRY).await;
    }
    findings.clear(Code::NotListening, &subject);
    std::future::pending().await
}

fn taken(subject: Subject, port: u16, error: StartError) -> Finding {
    let reason = match error {
        StartError::PortInUse { source, .. } => source.to_string(),
        error => format!("{:#}", anyhow::Error::new(error)),
    };
    let deaf = Finding::new(Code::NotListening, subject)
        .with(Evidence::Address(format!("UDP {port}")))
        .with(Evidence::Reason(reason))
        .fix(format!(
            "stop that program, or set another {{tunnel.listen_port}}: `ss -ulpn 'sport = :{port}'`"
        ));
    let holder = port_holder::of_udp(port);
    holder.into_iter().fold(deaf, |deaf, holder| deaf.with(Evidence::Found(holder)))
}

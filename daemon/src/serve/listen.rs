//! A TCP listener that is there as soon as it can be had, where the configuration says.
//!
//! Promises: an address that this machine does not have yet, and a port that is somebody else's, are
//! findings and tried again; they stop nothing else. Refuses to know what is served.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;

/// Pause before an address that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Pause after the kernel has refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The next who calls, however long that takes.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((caller, _)) => return caller,
            Err(error) => {
                tracing::debug!(%error, "a caller was not let in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Where something is to be served, and what is said while it cannot be.
#[derive(Clone)]
pub(crate) struct ListenAt {
    pub(crate) address: SocketAddr,
    pub(crate) code: Code,
    pub(crate) subject: Subject,
}

impl ListenAt {
    /// The address that this setting names.
    pub(crate) fn of_setting(setting: impl Into<String>, address: SocketAddr) -> Self {
        Self { address, code: Code::NotListening, subject: Subject::Setting(setting.into()) }
    }

    /// Tries now, so that what can be had is there when this returns.
    pub(crate) async fn begin(self, findings: Arc<FindingBoard>) -> SoonListening {
        let bound = self.attempt(&findings).await.ok();
        SoonListening { at: self, bound, findings }
    }

    /// Nobody wants to listen there any more.
    pub(crate) fn give_up(&self, findings: &FindingBoard) {
        findings.clear(self.code, &self.subject);
    }

    /// The listener if it can be had now; a finding if not.
    pub(crate) async fn attempt(&self, findings: &FindingBoard) -> io::Result<TcpListener> {
        let bound = TcpListener::bind(self.address).await;
        match &bound {
            Ok(_) => findings.clear(self.code, &self.subject),
            Err(error) => {
                let deaf = Finding::new(self.code, self.subject.clone())
                    .with(Evidence::Address(self.address.to_string()))
                    .with(Evidence::Reason(error.to_string()));
                findings.raise(deaf);
            }
        }
        bound
    }
}

/// An address that is to be listened at once more.
pub(crate) struct ListenAgain {
    at: ListenAt,
    findings: Arc<FindingBoard>,
}

impl ListenAgain {
    /// Tries now, as [`ListenAt::begin`] does.
    pub(crate) async fn now(self) -> SoonListening {
        self.at.begin(self.findings).await
    }
}

/// A listener that is there, or will be.
pub(crate) struct SoonListening {
    at: ListenAt,
    bound: Option<TcpListener>,
    findings: Arc<FindingBoard>,
}

impl SoonListening {
    /// The same address again, for when this listener has gone.
    pub(crate) fn again(&self) -> ListenAgain {
        ListenAgain { at: self.at.clone(), findings: self.findings.clone() }
    }

    /// The listener, however long that takes.
    pub(crate) async fn listener(self) -> TcpListener {
        let mut bound = self.bound;
        loop {
            match bound {
                Some(listener) => break listener,
                None => tokio::time::sleep(RETRY).await,
            }
            bound = self.at.attempt(&self.findings).await.ok();
        }
    }
}

/// A key of the configuration that says where something is served, if anywhere.
#[derive(Clone, Copy)]
pub(crate) struct ListenSetting {
    pub(crate) key: &'static str,
    pub(crate) address: fn(&Config) -> Option<SocketAddr>,
    /// True if what is served there must begin anew although the address is the same.
    pub(crate) begins_anew: fn(&Config, &Config) -> bool,
}

/// Listens where the configuration in force says, and elsewhere as soon as it says so.
pub(crate) struct FollowedListener {
    setting: ListenSetting,
    config: ConfigInForce,
    findings: Arc<FindingBoard>,
    /// Where it listens from the start.
    first: Option<SoonListening>,
}

impl FollowedListener {
    /// Tries now, so that what can be had is there when this returns.
    pub(crate) async fn begin(
        setting: ListenSetting,
        config: ConfigInForce,
        findings: Arc<FindingBoard>,
    ) -> Self {
        let first = match (setting.address)(&config.now()) {
            Some(address) => Some(setting.at(address).begin(findings.clone()).await),
            None => None,
        };
        Self { setting, config, findings, first }
    }

    /// Has `serve` serve until it is dropped; it is dropped, and called again, when the configuration
    /// says another address.
    pub(crate) async fn serve<F>(mut self, serve: impl Fn(SoonListening) -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let ListenSetting { address, begins_anew, .. } = self.setting;
        let mut changes = self.config.changes();
        loop {
            let now = changes.borrow_and_update().clone();
            let is_other =
                |new: &Arc<Config>| address(new) != address(&now) || begins_anew(&now, new);
            let Some(wanted) = address(&now) else {
                self.setting.at(([0; 4], 0).into()).give_up(&self.findings);
                changes.wait_for(is_other).await?;
                continue;
            };
            let listening = match self.first.take() {
                Some(first) => first,
                None => self.setting.at(wanted).begin(self.findings.clone()).await,
            };
            tokio::select! {
                served = serve(listening) => return served,
                changed = changes.wait_for(is_other) => drop(changed?),
            }
        }
    }
}

impl ListenSetting {
    fn at(&self, address: SocketAddr) -> ListenAt {
        ListenAt::of_setting(self.key, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_a_finding_until_it_is_free() {
        let findings = Arc::new(FindingBoard::default());
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = other.local_addr().unwrap();
        let wanted = ListenAt::of_setting("local_api.listen", address);
        let soon = wanted.begin(findings.clone()).await;
        let standing = findings.all();
        assert_eq!(standing[0].finding.code, Code::NotListening);
        assert!(standing[0].finding.sentence().contains("cannot listen on 127.0.0.1:"));
        drop(other);
        let listener = soon.listener().await;
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(findings.all().is_empty());
    }
}

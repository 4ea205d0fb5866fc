//! Which VM calls, as this gateway's own OneGate says it.
//!
//! Promises that a VM is taken only if OneGate knows its token, says that it runs, and has the address
//! of the call among those of its NICs. The answer is small or not read. What a VM may write there
//! itself (attributes, its role among them) proves nothing and is not looked at.
//! Specification: OpenNebula's `onegate-server.rb`: `GET /vm`, headers X-ONEGATE-TOKEN and
//! X-ONEGATE-VMID, answered by JSON; STATE and LCM_STATE 3 are ACTIVE and RUNNING.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::Value;
use zonemesh_api::wire::onegate::OneGateIdentity;

/// Longest time for OneGate's answer: within that of a companion's call.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const MAX_ANSWER: usize = 256 * 1024;
/// The states ACTIVE and RUNNING.
const RUNS: &str = "3";
/// Where a NIC has its addresses.
const ADDRESSES: [&str; 4] = ["IP", "IP6", "IP6_GLOBAL", "IP6_ULA"];

/// Why a VM is not taken for the one that it says.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotThisVm {
    #[error(
        "this gateway asks for the VM's identity (local_api.onegate): set ONEAPP_ZONEMESH_IDENTITY=onegate in the VM, which needs TOKEN=YES"
    )]
    NotShown,
    #[error("OneGate does not know this VM by its token ({0})")]
    Unknown(u16),
    #[error("OneGate says that VM {vm} does not run: STATE {state}, LCM_STATE {lcm_state}")]
    DoesNotRun { vm: String, state: String, lcm_state: String },
    #[error(
        "OneGate says that VM {vm} has another address than {caller}, which the call came from"
    )]
    OtherAddress { vm: String, caller: IpAddr },
    #[error("the VM's number or token cannot be sent to OneGate")]
    Header,
    #[error("OneGate does not answer this gateway (local_api.onegate)")]
    Silent,
}

impl NotThisVm {
    /// True if it may be another answer later, whatever the VM does.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Silent | Self::DoesNotRun { .. })
    }
}

/// This gateway's OneGate.
pub(super) struct VmDirectory {
    endpoint: String,
    client: reqwest::Client,
}

impl VmDirectory {
    pub(super) fn new(endpoint: &str) -> Result<Self, reqwest::Error> {
        // reqwest takes the process's default provider; an error says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The machine's proxy settings are not for OneGate, which is link-local.
        let redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(redirects).timeout(PATIENCE);
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { endpoint, client: client.build()? })
    }

    /// True if it is the OneGate at this endpoint.
    pub(super) fn is_at(&self, endpoint: &str) -> bool {
        self.endpoint == endpoint.trim_end_matches('/')
    }

    /// Is the caller the VM that it says?
    pub(super) async fn check(
        &self,
        shown: Option<&OneGateIdentity>,
        caller: IpAddr,
    ) -> Result<(), NotThisVm> {
        let shown = shown.ok_or(NotThisVm::NotShown)?;
        let answer = self.ask(shown).await?;
        judge(&answer, &shown.vm, caller.to_canonical())
    }

    async fn ask(&self, shown: &OneGateIdentity) -> Result<Value, NotThisVm> {
        let header = |text: &str| HeaderValue::from_str(text).ok().ok_or(NotThisVm::Header);
        let mut token = header(&shown.token)?;
        token.set_sensitive(true);
        let silent = |error: reqwest::Error| {
            tracing::warn!(endpoint = self.endpoint, %error, "OneGate does not answer");
            NotThisVm::Silent
        };
        let question = self
            .client
            .get(format!("{}/vm", self.endpoint))
            .header("X-ONEGATE-TOKEN", token)
            .header("X-ONEGATE-VMID", header(&shown.vm)?);
        let mut answer = question.send().await.map_err(silent)?;
        match answer.status() {
            status if status.is_success() => {}
            status if status.is_client_error() => return Err(NotThisVm::Unknown(status.as_u16())),
            _ => return Err(NotThisVm::Silent),
        }
        let mut text = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(silent)? {
            if text.len() + part.len() > MAX_ANSWER {
                return Err(NotThisVm::Silent);
            }
            text.extend_from_slice(&part);
        }
        serde_json::from_slice(&text).ok().ok_or(NotThisVm::Silent)
    }
}

/// What OneGate says of a VM, held against the call.
fn judge(answer: &Value, vm: &str, caller: IpAddr) -> Result<(), NotThisVm> {
    let found = &answer["VM"];
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let (state, lcm_state) = (text("STATE"), text("LCM_STATE"));
    if (state.as_str(), lcm_state.as_str()) != (RUNS, RUNS) {
        return Err(NotThisVm::DoesNotRun { vm: vm.to_owned(), state, lcm_state });
    }
    let has_caller = |nic: &Value| {
        let own = ADDRESSES.iter().filter_map(|key| nic[*key].as_str());
        own.filter_map(|text| text.parse::<IpAddr>().ok()).any(|address| address == caller)
    };
    // One NIC is an object where more are a list.
    let nics = match &found["TEMPLATE"]["NIC"] {
        Value::Array(nics) => nics.as_slice(),
        nic => std::slice::from_ref(nic),
    };
    if text("ID") == vm && nics.iter().any(has_caller) {
        return Ok(());
    }
    Err(NotThisVm::OtherAddress { vm: vm.to_owned(), caller })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(state: &str, nic: Value) -> Value {
        json!({"VM": {"ID": "7", "STATE": state, "LCM_STATE": "3", "TEMPLATE": {"NIC": nic}}})
    }

    fn judged(answer: &Value, caller: &str) -> Result<(), NotThisVm> {
        judge(answer, "7", caller.parse().unwrap())
    }

    #[test]
    fn a_vm_that_runs_is_taken_at_an_address_of_its_own_and_at_no_other() {
        let nics = json!([{"IP": "10.10.10.5"}, {"IP": "192.0.2.9", "IP6_ULA": "fd00::5"}]);
        for caller in ["10.10.10.5", "192.0.2.9", "fd00::5"] {
            assert!(judged(&answer("3", nics.clone()), caller).is_ok(), "{caller}");
        }
        assert!(judged(&answer("3", json!({"IP": "10.10.10.5"})), "10.10.10.5").is_ok());
        let other = judged(&answer("3", nics.clone()), "10.10.10.6");
        assert!(matches!(other, Err(NotThisVm::OtherAddress { .. })));
        assert!(judge(&answer("3", nics.clone()), "8", [10, 10, 10, 5].into()).is_err());
        let stopped = judged(&answer("8", nics), "10.10.10.5").unwrap_err();
        assert!(matches!(stopped, NotThisVm::DoesNotRun { .. }) && stopped.may_pass());
    }

    #[test]
    fn an_answer_that_means_nothing_takes_nobody() {
        for answer in [json!(null), json!([]), json!({"VM": 3}), answer("3", json!(null))] {
            assert!(judged(&answer, "10.10.10.5").is_err(), "{answer}");
        }
    }
}

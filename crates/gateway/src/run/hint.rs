//! Where other zones reach this gateway, as OneGate knows it: a hint for a VM whose CONTEXT says
//! nothing.
//!
//! It promises to ask for ever, with jitter, until OneGate has answered; that nothing which CONTEXT
//! or anybody else has said is replaced; and that the daemon takes what was written. It refuses to
//! believe more than public addresses.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use zonemesh_appliance::backoff::Backoff;
use zonemesh_appliance::onegate::OneGate;
use zonemesh_config::Endpoint;
use zonemesh_core::exit::error_line;

use super::daemon::AskedDaemon;
use crate::configure;
use crate::places;
use crate::settings::{GatewaySettings, WantedGateway, ZoneValues};
use crate::written::FileOutcome;

/// Before the first new try, at most, and before a later one.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Asks where nobody has said it, and has the daemon know.
pub(super) async fn take(settings: &GatewaySettings, daemon: &AskedDaemon) {
    let (Some(WantedGateway::Values(values)), Some(onegate)) =
        (&settings.wanted, &settings.onegate)
    else {
        return;
    };
    if !values.endpoints.is_empty() {
        return;
    }
    let hint = ask(values, onegate).await;
    if hint.is_empty() {
        tracing::warn!(
            "nobody says where other zones reach this gateway: it calls them, and they cannot call it; \
             ONEAPP_ZONEMESH_ENDPOINT says it"
        );
    }
    match configure::with_hint(settings, &hint, daemon.file()) {
        Ok(Some(FileOutcome::Written)) => reload(daemon).await,
        Ok(_) => {}
        Err(error) => tracing::warn!("{}", error_line(&error)),
    }
}

async fn ask(values: &ZoneValues, onegate: &OneGate) -> Vec<Endpoint> {
    let mut backoff = Backoff::new(WAITS[0], WAITS[1]);
    let mut said = None;
    loop {
        match onegate.vm().await {
            Ok(vm) => return external(values, &vm),
            Err(error) => {
                let trouble = error_line(&error);
                if said.as_ref() != Some(&trouble) {
                    tracing::warn!(
                        trouble,
                        "OneGate does not say where this gateway is; it is asked again"
                    );
                    said = Some(trouble);
                }
            }
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// The addresses that lead to this VM from outside.
fn external(values: &ZoneValues, vm: &Value) -> Vec<Endpoint> {
    let template = &vm["VM"]["TEMPLATE"];
    let nics = ["NIC", "NIC_ALIAS"].into_iter().flat_map(|kind| match &template[kind] {
        Value::Array(nics) => nics.iter().collect(),
        Value::Null => Vec::new(),
        nic => vec![nic],
    });
    let addresses = nics.filter_map(|nic| nic["EXTERNAL_IP"].as_str()?.trim().parse().ok());
    places::outside(&values.given.prefixes, addresses.collect::<Vec<IpAddr>>().into_iter())
}

async fn reload(daemon: &AskedDaemon) {
    let mut backoff = Backoff::new(WAITS[0], WAITS[1]);
    while let Err(trouble) = daemon.reload().await {
        if trouble.is_refusal {
            tracing::warn!("{}", trouble.text);
            return;
        }
        tokio::time::sleep(backoff.wait()).await;
    }
    tracing::info!("the daemon knows where other zones reach this gateway, as OneGate says");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::tests::{told, usual};

    #[test]
    fn only_public_addresses_outside_the_zone_are_a_hint() {
        let [_, invitation] = usual();
        let settings =
            told(&[("ONEAPP_ZONEMESH_INVITATION", &invitation), ("ETH0_IP", "10.10.11.1")]);
        let Some(WantedGateway::Values(values)) = settings.unwrap().wanted else { panic!() };
        let nic = |ip: &str| json!({"IP": "10.10.11.1", "EXTERNAL_IP": ip});
        let hint = |template: Value| {
            let found = external(&values, &json!({"VM": {"TEMPLATE": template}}));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let all = json!({"NIC": [nic("10.0.0.4"), nic("nonsense"), nic("10.10.11.1")],
                         "NIC_ALIAS": [nic("203.0.113.9")]});
        assert_eq!(hint(all), ["203.0.113.9:51820"]);
        assert_eq!(hint(json!({"NIC": nic("203.0.113.8")})), ["203.0.113.8:51820"]);
        assert!(hint(json!({})).is_empty() && hint(json!(null)).is_empty());
    }
}

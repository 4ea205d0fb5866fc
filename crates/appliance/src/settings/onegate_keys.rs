//! OpenNebula's own three keys of OneGate: all are there, or what that means.
//!
//! It promises that a OneGate which cannot be asked is never without effect in silence. It refuses
//! to ask it.

use zonemesh_context::judged::companion;
use zonemesh_context::keys::mesh::GATEWAY;
use zonemesh_context::keys::opennebula::{ONEGATE_ENDPOINT, TOKENTXT, VMID};
use zonemesh_context::{ContextKey, Variables};

use crate::onegate::OneGate;

const KEYS: [ContextKey; 3] = [ONEGATE_ENDPOINT, VMID, TOKENTXT];

/// OneGate, if this VM has it; what is wrong with a value is recorded.
pub fn read(variables: &mut Variables<'_>) -> Option<OneGate> {
    let endpoint = variables.optional(ONEGATE_ENDPOINT, endpoint);
    let vm = variables.optional(VMID, companion::header);
    let token = variables.optional(TOKENTXT, companion::header);
    Some(OneGate::new(&endpoint?, &vm?, &token?))
}

/// What a question can be sent to.
fn endpoint(text: &str) -> Result<String, String> {
    companion::onegate_endpoint(text).map_err(|error| error.to_string())?;
    let url = reqwest::Url::parse(text).ok().filter(|url| url.has_host());
    url.map(|_url| text.to_owned()).ok_or_else(|| "it is no http:// address".to_owned())
}

/// True if none of the three is missing.
pub(super) fn are_there(variables: &Variables<'_>) -> bool {
    missing(variables).next().is_none()
}

fn missing(variables: &Variables<'_>) -> impl Iterator<Item = ContextKey> {
    KEYS.into_iter().filter(move |key| variables.raw(*key).is_none())
}

/// Records why OneGate cannot be asked for the gateway. A value that is there and wrong is
/// recorded.
pub(super) fn say_what_lacks(variables: &mut Variables<'_>) {
    let has_endpoint = variables.raw(ONEGATE_ENDPOINT).is_some();
    if !has_endpoint {
        let problem =
            "is not set, and this VM has no OneGate that could be asked for it (TOKEN=YES)";
        variables.lacks(GATEWAY, problem);
        return;
    }
    let missing: Vec<ContextKey> = missing(variables).collect();
    for key in missing {
        let problem = "is not set or empty, and without it OneGate tells nobody where the gateway is \
                       (ONEAPP_ZONEMESH_GATEWAY says it too)";
        variables.lacks(key, problem);
    }
}

/// What a OneGate that cannot be told anything means, where nothing else needs it.
#[must_use]
pub fn onegate_lack(variables: &Variables<'_>) -> Option<String> {
    variables.raw(ONEGATE_ENDPOINT)?;
    let key = missing(variables).next()?;
    let ContextKey { name, expected, .. } = key;
    Some(format!(
        "{name} is not set or empty: OneGate will never hear READY=YES of this VM; expected {expected}"
    ))
}

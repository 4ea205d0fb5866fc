//! Why a question to the view has no answer: the status and the plain text, as OneGate's.

use hyper::StatusCode;
use zonemesh_api::wire::WireError;
use zonemesh_core::name::FederationName;

use crate::serve::local_api::Denied;

/// Most federations that one text names.
const MAX_NAMED: usize = 100;

/// Why there is no answer. The texts repeat nothing that a caller wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum ViewRefusal {
    #[error("OneGate server doesn't support this feature")]
    NotSupported,
    #[error(
        "This is Zonemesh's view for reading: nothing is kept here. Attributes belong into the zone's own OneGate; a SuperLink is announced by zonemesh-superlink."
    )]
    ReadOnly,
    #[error("{0}; there are federation, extended, revision and wait")]
    Parameter(&'static str),
    #[error("the body is longer than 16 KiB")]
    LongBody,
    #[error("the body did not come within 5 s")]
    SlowBody,
    #[error("the body makes no sense")]
    BrokenBody,
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("this VM asks too often: try again in a second")]
    TooOften,
    #[error("too many questions of this VM wait here: end one of them")]
    TooManyWait,
    #[error("no zone of the mesh has a federation that this one takes part in")]
    NoFederation,
    #[error("several federations: name one with ?federation=NAME: {}", named(.0))]
    WhichFederation(Vec<FederationName>),
    #[error("no zone of the mesh has a federation of this name{}", that_there_are(.0))]
    UnknownFederation(Vec<FederationName>),
    #[error("no SuperLink of the federation {0} is registered in any zone yet")]
    NoSuperLink(FederationName),
    #[error("what is known of this federation cannot be shown")]
    Unreadable(#[from] WireError),
}

fn that_there_are(federations: &[FederationName]) -> String {
    match federations {
        [] => String::new(),
        known => format!("; there is, for this zone: {}", named(known)),
    }
}

fn named(federations: &[FederationName]) -> String {
    let names = federations.iter().take(MAX_NAMED).map(FederationName::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    match federations.len().saturating_sub(MAX_NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

impl ViewRefusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotSupported
            | Self::Parameter(_)
            | Self::BrokenBody
            | Self::WhichFederation(_) => StatusCode::BAD_REQUEST,
            Self::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::LongBody => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::TooOften | Self::TooManyWait => StatusCode::TOO_MANY_REQUESTS,
            Self::NoFederation | Self::UnknownFederation(_) | Self::NoSuperLink(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_federations_are_named_up_to_a_bound() {
        let names = (0..102).map(|n| format!("f{n}").parse().unwrap()).collect();
        let said = ViewRefusal::WhichFederation(names).to_string();
        assert!(said.starts_with("several federations: name one with ?federation=NAME: f0, f1, "));
        assert!(said.ends_with(", f99 and 2 more"), "{said}");
        let unknown = |known: Vec<FederationName>| ViewRefusal::UnknownFederation(known);
        let said = unknown(vec!["health-eu".parse().unwrap()]).to_string();
        assert!(said.ends_with("of this name; there is, for this zone: health-eu"), "{said}");
        assert!(unknown(Vec::new()).to_string().ends_with("of this name"));
        assert_eq!(unknown(Vec::new()).status(), StatusCode::NOT_FOUND);
    }
}

//! OneGate: tells OneFlow that this VM is ready.
//!
//! It promises to publish one thing, `READY=YES`, and only plain tokens ever: OneGate's server
//! damages values with commas, brackets and backslashes, and OneFlow opens its gate for any key that
//! ends in `READY=YES`. It refuses to know what ready means.
//! Specification: OpenNebula's `onegate-server.rb`: `PUT /vm`, form `data=READY%3DYES&type=1`,
//! headers X-ONEGATE-TOKEN and X-ONEGATE-VMID; any 2xx is success, errors are plain text.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use zeroize::Zeroizing;

const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(10);
const PER_TRY: Duration = Duration::from_secs(5);

/// Why OneGate was not told.
#[derive(Debug, thiserror::Error)]
pub enum OneGateError {
    /// The token or the VM's number cannot stand in a header.
    #[error("{key} from the context cannot be sent to OneGate: {problem}")]
    Header {
        /// Which of the two.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        problem: InvalidHeaderValue,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// No answer.
    #[error("OneGate at {endpoint} does not answer")]
    Unreachable {
        /// ONEGATE_ENDPOINT.
        endpoint: String,
        /// What happened instead.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not 2xx.
    #[error("OneGate at {endpoint} refuses: {status} {body:?}")]
    Refused {
        /// ONEGATE_ENDPOINT.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What it said, cut to 200 characters.
        body: String,
    },
}

/// What the context says about OneGate.
#[derive(Clone)]
pub struct OneGate {
    /// ONEGATE_ENDPOINT, for example `http://169.254.16.9:5030`.
    pub endpoint: String,
    /// VMID.
    pub vm: String,
    /// TOKENTXT.
    pub token: Zeroizing<String>,
    /// Between two tries.
    pub pause: Duration,
}

impl fmt::Debug for OneGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGate")
            .field("endpoint", &self.endpoint)
            .field("vm", &self.vm)
            .finish_non_exhaustive()
    }
}

impl OneGate {
    /// The three values of the context together.
    #[must_use]
    pub fn new(endpoint: &str, vm: &str, token: &str) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            vm: vm.to_owned(),
            token: Zeroizing::new(token.to_owned()),
            pause: BETWEEN_TRIES,
        }
    }

    /// Publishes `READY=YES`, in at most three tries.
    ///
    /// # Errors
    /// The last try's.
    pub async fn report_ready(&self) -> Result<(), OneGateError> {
        let mut tried = 1;
        loop {
            match self.put_ready().await {
                Err(error) if tried < TRIES => {
                    tracing::warn!(tried, error = %error, "OneGate was not told READY yet");
                }
                ended => return ended,
            }
            tried += 1;
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn put_ready(&self) -> Result<(), OneGateError> {
        let header = |key, value: &str| {
            HeaderValue::from_str(value).map_err(|problem| OneGateError::Header { key, problem })
        };
        let mut token = header("TOKENTXT", &self.token)?;
        token.set_sensitive(true);
        // The guest's proxy settings are not for OneGate, which is link-local.
        let client = reqwest::Client::builder().no_proxy().timeout(PER_TRY).build();
        let client = client.map_err(OneGateError::Client)?;
        let unreachable =
            |source| OneGateError::Unreachable { endpoint: self.endpoint.clone(), source };
        let answer = client
            .put(format!("{}/vm", self.endpoint))
            .header("X-ONEGATE-TOKEN", token)
            .header("X-ONEGATE-VMID", header("VMID", &self.vm)?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("data=READY%3DYES&type=1")
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = answer.text().await.map_err(unreachable)?.chars().take(200).collect();
        Err(OneGateError::Refused {
            endpoint: self.endpoint.clone(),
            status: status.as_u16(),
            body,
        })
    }
}

//! OneGate: what it says of this VM and of its service, and what it is told.
//!
//! It promises that no proxy of the environment and no redirect catches a question, that each ends
//! within seconds with an answer or with words, and that only plain tokens are told ever: OneGate's
//! server damages values with commas, brackets and backslashes, and OneFlow opens its gate for any
//! key that ends in `READY=YES`. It refuses to ask twice: that is [`keep_told`]'s, and its
//! callers'.
//! Specification: OpenNebula's `onegate-server.rb`: headers X-ONEGATE-TOKEN and X-ONEGATE-VMID;
//! `PUT /vm` with a form, `type=1` sets, `type=2` erases; any 2xx is success, errors are plain
//! text.

mod told;

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use zeroize::Zeroizing;

pub use told::{WantedAttributes, keep_told};

/// Whether a VM is ready, as OneFlow looks at it.
pub const READY: &str = "READY";
/// What a ready VM says.
pub const YES: &str = "YES";
/// Where a gateway's local API is: base64 of IP:PORT.
pub const ZONEMESH_GATEWAY: &str = "ZONEMESH_GATEWAY";

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read: a service of some thousand VMs.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Why OneGate did not answer, or was not told.
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
    /// An answer without end.
    #[error("OneGate at {endpoint} answers without end")]
    TooLong {
        /// ONEGATE_ENDPOINT.
        endpoint: String,
    },
    /// A value that OneGate's server would damage.
    #[error("{name} is not told to OneGate: its value is no plain word")]
    NotPlain {
        /// Of which attribute.
        name: &'static str,
    },
    /// An answer that is no JSON.
    #[error("what OneGate at {endpoint} answers is no JSON")]
    Unreadable {
        /// ONEGATE_ENDPOINT.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
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
        }
    }

    /// This VM's OneFlow service, with all that is known of its VMs.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn service(&self) -> Result<Value, OneGateError> {
        self.read(self.send(self.request(Method::GET, "/service?extended=true")?).await?).await
    }

    /// What OneGate knows of this VM.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn vm(&self) -> Result<Value, OneGateError> {
        self.read(self.send(self.request(Method::GET, "/vm")?).await?).await
    }

    /// An attribute of this VM; nothing if it has none.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn attribute(&self, name: &str) -> Result<Option<String>, OneGateError> {
        Ok(attribute(&self.vm().await?, name))
    }

    /// Sets an attribute of this VM.
    ///
    /// # Errors
    /// It was not heard, or its value is not plain.
    pub async fn tell(&self, name: &'static str, value: &str) -> Result<(), OneGateError> {
        if !is_plain(value) {
            return Err(OneGateError::NotPlain { name });
        }
        self.put(format!("data={name}%3D{}&type=1", in_a_form(value))).await
    }

    /// Erases an attribute of this VM.
    ///
    /// # Errors
    /// It was not heard.
    pub async fn erase(&self, name: &'static str) -> Result<(), OneGateError> {
        self.put(format!("data={name}&type=2")).await
    }

    async fn put(&self, form: String) -> Result<(), OneGateError> {
        let request = self.request(Method::PUT, "/vm")?;
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        self.send(request).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, OneGateError> {
        let header = |key, value: &str| {
            HeaderValue::from_str(value).map_err(|problem| OneGateError::Header { key, problem })
        };
        let mut token = header("TOKENTXT", &self.token)?;
        token.set_sensitive(true);
        // The guest's proxy settings are not for OneGate, which is link-local.
        let redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(redirects).timeout(PATIENCE);
        let client = client.build().map_err(OneGateError::Client)?;
        let request = client.request(method, format!("{}{path}", self.endpoint));
        let request = request.header("X-ONEGATE-TOKEN", token);
        Ok(request.header("X-ONEGATE-VMID", header("VMID", &self.vm)?))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, OneGateError> {
        let answer = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.bytes(answer).await?;
        let body = String::from_utf8_lossy(&body).replace(self.token.as_str(), "[its token]");
        let body = body.chars().take(200).collect();
        let endpoint = self.endpoint.clone();
        Err(OneGateError::Refused { endpoint, status: status.as_u16(), body })
    }

    async fn read(&self, answer: Response) -> Result<Value, OneGateError> {
        let bytes = self.bytes(answer).await?;
        let endpoint = || self.endpoint.clone();
        serde_json::from_slice(&bytes)
            .map_err(|source| OneGateError::Unreadable { endpoint: endpoint(), source })
    }

    async fn bytes(&self, mut answer: Response) -> Result<Vec<u8>, OneGateError> {
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|source| self.unreachable(source))? {
            if bytes.len() + part.len() > MAX_ANSWER {
                return Err(OneGateError::TooLong { endpoint: self.endpoint.clone() });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    fn unreachable(&self, source: reqwest::Error) -> OneGateError {
        // Its own text would name the endpoint once more.
        let source = source.without_url();
        OneGateError::Unreachable { endpoint: self.endpoint.clone(), source }
    }
}

/// True if OneGate's server stores this as it is.
pub(crate) fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=._:-".contains(&byte))
}

/// An attribute of a VM as OneGate shows it.
fn attribute(vm: &Value, name: &str) -> Option<String> {
    match &vm["VM"]["USER_TEMPLATE"][name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A plain word, as it stands in a form.
fn in_a_form(word: &str) -> String {
    word.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace(':', "%3A")
}

//! To an etcd cluster: the few calls that the registry's etcd transport needs.
//!
//! Promises: every call ends within [`CALL_TIMEOUT`], a dead connection is found by HTTP/2
//! keepalive, and no answer takes more than [`MAX_ANSWER`] bytes of memory. Believes nothing that
//! etcd says: what values mean is the caller's. Written here because the crate for it needs a system
//! protoc to build. Specification: `proto/etcd.proto`.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Response, Status, Streaming};
use zeroize::Zeroizing;
use zonemesh_core::keepalive::Keepalive;

use super::{CONNECT_TIMEOUT, endpoint};
use crate::etcd::auth_client::AuthClient;
use crate::etcd::event::EventType;
use crate::etcd::kv_client::KvClient;
use crate::etcd::watch_client::WatchClient;
use crate::etcd::watch_request::RequestUnion;
use crate::etcd::{
    AuthenticateRequest, Event, KeyValue, PutRequest, RangeRequest, WatchCreateRequest,
    WatchRequest, WatchResponse,
};

/// Longest time for one call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read; etcd itself takes values of 1.5 MiB unless told otherwise.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Keys of one page of a listing.
const PAGE: i64 = 512;

/// Why etcd was of no use.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The endpoint, or the files for TLS, are not usable.
    #[error("cannot set up the connection to {url}")]
    Setup {
        /// The endpoint.
        url: String,
        /// Why.
        #[source]
        source: super::ConnectError,
    },
    /// No connection.
    #[error("cannot connect to {url}")]
    Connect {
        /// The endpoint.
        url: String,
        /// Why.
        #[source]
        source: super::Said,
    },
    /// No answer in time.
    #[error("no answer within 10 s ({0})")]
    Timeout(&'static str),
    /// An answer larger than [`MAX_ANSWER`].
    #[error("an answer of more than 4 MiB ({0})")]
    TooLarge(&'static str),
    /// The login is not valid any more: etcd lets tokens expire.
    #[error("etcd wants a new login ({0})")]
    LoggedOut(&'static str),
    /// etcd refuses.
    #[error("etcd refuses ({call}): {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// What it says.
        message: String,
    },
    /// The token that etcd handed out is no text.
    #[error("etcd answered with a token that cannot be sent")]
    Token(#[source] tonic::metadata::errors::InvalidMetadataValue),
    /// The watch has ended.
    #[error("the watch has ended: {0}")]
    WatchEnded(String),
}

/// How a gateway proves to etcd who it is, and how it knows etcd. All of it is optional.
#[derive(Default)]
pub struct Access {
    /// Certificates that etcd's must chain to, PEM; needed for `https`.
    pub ca: Option<String>,
    /// This gateway's certificate and key, PEM.
    pub identity: Option<(String, Zeroizing<String>)>,
    /// Name and password.
    pub login: Option<(String, Zeroizing<String>)>,
}

/// What has happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: Vec<u8>,
    /// The revision of this change.
    pub revision: i64,
    /// What it holds now; `None` if it was deleted.
    pub value: Option<Vec<u8>>,
}

type Service = InterceptedService<Channel, Token>;

/// Puts the token of a login, if there is one, on each call.
#[derive(Clone, Default)]
struct Token(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
    }
}

/// A connection to one member of an etcd cluster.
pub struct Etcd {
    keys: KvClient<Service>,
    watch: WatchClient<Service>,
}

impl Etcd {
    /// Connects to `url`, `http://host:port` or `https://host:port`, and logs in.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn connect(url: &str, access: &Access) -> Result<Self, EtcdError> {
        let setup = |source| EtcdError::Setup { url: url.to_owned(), source };
        let mut endpoint = endpoint(url.to_owned(), &Keepalive::DEFAULT).map_err(setup)?;
        if url.starts_with("https://") {
            let tls = endpoint.tls_config(tls(access));
            endpoint = tls.map_err(|source| setup(super::ConnectError::Http2(source.into())))?;
        }
        let Ok(channel) = timeout(CONNECT_TIMEOUT, endpoint.connect()).await else {
            return Err(EtcdError::Timeout("connect"));
        };
        let channel = channel
            .map_err(|source| EtcdError::Connect { url: url.to_owned(), source: source.into() })?;
        let token = log_in(&channel, access).await?;
        let keys = KvClient::with_interceptor(channel.clone(), token.clone());
        let watch = WatchClient::with_interceptor(channel, token);
        Ok(Self {
            keys: keys.max_decoding_message_size(MAX_ANSWER),
            watch: watch.max_decoding_message_size(MAX_ANSWER),
        })
    }

    /// What `read` makes of the keys that begin with `prefix`, with the revision of each one's last
    /// change. Ends after `most` keys, whatever they are: false if there are more.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn list<T>(
        &mut self,
        prefix: &[u8],
        most: usize,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(Vec<(T, i64)>, bool), EtcdError> {
        let range_end = after(prefix);
        let (mut key, mut listed, mut looked_at) = (prefix.to_vec(), Vec::new(), 0);
        let mut limit = PAGE;
        loop {
            let (from, range_end) = (key.clone(), range_end.clone());
            let request = RangeRequest { key: from, range_end, limit, keys_only: true };
            let page = match call("list", self.keys.range(request)).await {
                // Somebody has put long keys there: fewer of them at once.
                Err(EtcdError::TooLarge(_)) if limit > 1 => {
                    limit /= 8;
                    continue;
                }
                page => page?,
            };
            looked_at += page.kvs.len();
            let known = |pair: &KeyValue| Some((read(&pair.key)?, pair.mod_revision));
            listed.extend(page.kvs.iter().filter_map(known));
            match page.kvs.into_iter().next_back() {
                // A page that leads nowhere would be asked for for ever.
                Some(last) if page.more && looked_at < most && last.key >= key => {
                    key = last.key;
                    key.push(0);
                }
                _ => return Ok((listed, !page.more)),
            }
        }
    }

    /// The value of `key` and the revision of its last change.
    ///
    /// # Errors
    /// [`EtcdError`]; [`EtcdError::TooLarge`] leaves the connection usable.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, i64)>, EtcdError> {
        let request = RangeRequest { key: key.to_vec(), limit: 1, ..RangeRequest::default() };
        let answer = call("get", self.keys.range(request)).await?;
        let found = answer.kvs.into_iter().find(|pair| pair.key == key);
        Ok(found.map(|pair| (pair.value, pair.mod_revision)))
    }

    /// Sets the value of `key`; returns the revision of this change.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<i64, EtcdError> {
        let answer = call("put", self.keys.put(PutRequest { key, value })).await?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Follows the keys that begin with `prefix`, from now on.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn watch(&mut self, prefix: &[u8]) -> Result<Watch, EtcdError> {
        let create =
            WatchCreateRequest { key: prefix.to_vec(), range_end: after(prefix), fragment: true };
        let (requests, queue) = mpsc::channel(1);
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The queue has room for one.
        let _sent = requests.try_send(request);
        let answers = call("watch", self.watch.watch(ReceiverStream::new(queue))).await?;
        let mut watch = Watch { answers, _requests: requests };
        match timeout(CALL_TIMEOUT, watch.next()).await {
            Ok(first) => first.map(|_created| watch),
            Err(_) => Err(EtcdError::Timeout("watch")),
        }
    }
}

/// Changes of keys as they happen, until etcd or the connection ends.
pub struct Watch {
    answers: Streaming<WatchResponse>,
    /// etcd ends the watch when its requests end.
    _requests: mpsc::Sender<WatchRequest>,
}

impl Watch {
    /// The next changes; none if etcd only said that it is there.
    ///
    /// # Errors
    /// [`EtcdError::WatchEnded`].
    pub async fn next(&mut self) -> Result<Vec<Changed>, EtcdError> {
        match self.answers.message().await {
            Ok(Some(answer)) if !answer.canceled => {
                Ok(answer.events.into_iter().filter_map(changed).collect())
            }
            Ok(Some(answer)) => Err(EtcdError::WatchEnded(answer.cancel_reason)),
            Ok(None) => Err(EtcdError::WatchEnded("etcd stops".to_owned())),
            Err(status) => Err(EtcdError::WatchEnded(super::Said::from(status).to_string())),
        }
    }
}

fn changed(event: Event) -> Option<Changed> {
    let deleted = event.r#type() == EventType::Delete;
    let pair = event.kv?;
    let value = (!deleted).then_some(pair.value);
    Some(Changed { key: pair.key, revision: pair.mod_revision, value })
}

fn tls(access: &Access) -> ClientTlsConfig {
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &access.ca {
        tls = tls.ca_certificate(Certificate::from_pem(ca));
    }
    if let Some((certificate, key)) = &access.identity {
        tls = tls.identity(Identity::from_pem(certificate, key.as_bytes()));
    }
    tls
}

async fn log_in(channel: &Channel, access: &Access) -> Result<Token, EtcdError> {
    let Some((name, password)) = &access.login else { return Ok(Token::default()) };
    let mut auth = AuthClient::new(channel.clone());
    let request = AuthenticateRequest { name: name.clone(), password: password.to_string() };
    let answer = call("authenticate", auth.authenticate(request)).await?;
    Ok(Token(Some(answer.token.parse().map_err(EtcdError::Token)?)))
}

async fn call<T>(
    what: &'static str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, EtcdError> {
    match timeout(CALL_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status.code() == Code::OutOfRange => Err(EtcdError::TooLarge(what)),
        Ok(Err(status)) if status.code() == Code::Unauthenticated => {
            Err(EtcdError::LoggedOut(what))
        }
        Ok(Err(status)) => {
            Err(EtcdError::Refused { call: what, message: super::Said::from(status).to_string() })
        }
        Err(_) => Err(EtcdError::Timeout(what)),
    }
}

/// The first key after all that begin with `prefix`, as etcd wants the end of a range.
fn after(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff);
    match kept {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        // Nothing is after: to the end of all keys.
        None => vec![0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_the_last_key_with_its_prefix() {
        assert_eq!(after(b"/zonemesh/m/"), b"/zonemesh/m0");
        assert_eq!(after(&[1, 0xff, 0xff]), [2]);
        assert_eq!(after(&[0xff]), [0]);
    }

    #[tokio::test]
    async fn an_endpoint_where_nobody_listens_is_named() {
        let error = Etcd::connect("http://127.0.0.1:1", &Access::default()).await.err();
        let text = error.expect("nobody listens").to_string();
        assert_eq!(text, "cannot connect to http://127.0.0.1:1");
    }

    #[tokio::test]
    async fn a_ca_that_is_no_certificate_is_told() {
        let access = Access { ca: Some("nonsense".to_owned()), ..Access::default() };
        assert!(Etcd::connect("https://127.0.0.1:1", &access).await.is_err());
    }
}

//! `/livez` and `/readyz` over HTTP, on loopback, for probes that can do no better.
//!
//! Shows the two states with their reasons and nothing else. Bounded: so many connections at once, each
//! for one request and a few seconds. The configuration names loopback addresses only.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::health::Health;
use super::listen::{SoonListening, accept};
use super::sources::SnapshotSources;

/// Callers that are served at once; others wait until one of them is.
const CONNECTIONS: usize = 8;
/// How long one caller is served.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers until it is dropped.
pub(crate) async fn run(listening: SoonListening, sources: SnapshotSources) -> anyhow::Result<()> {
    let listener = listening.listener().await;
    let callers = stream::unfold(listener, |listener| async move {
        let caller = accept(&listener).await;
        Some((caller, listener))
    });
    callers.for_each_concurrent(CONNECTIONS, |caller| answer(caller, &sources)).await;
    Ok(())
}

async fn answer(caller: TcpStream, sources: &SnapshotSources) {
    let reply = |request: Request<Incoming>| async move {
        let health = Health::of(sources);
        Ok::<_, Infallible>(reply(request.method(), request.uri().path(), &health))
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false).max_headers(64);
    let served = http.serve_connection(TokioIo::new(caller), service_fn(reply));
    // One that goes away or is too slow has nothing to be told.
    let _over = tokio::time::timeout(PATIENCE, served).await;
}

fn reply(method: &Method, path: &str, health: &Health) -> Response<String> {
    let (status, text) = match path {
        "/livez" | "/readyz" if ![Method::GET, Method::HEAD].contains(method) => {
            (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned())
        }
        "/livez" => state(&health.not_live),
        "/readyz" => state(&health.not_ready),
        _ => (StatusCode::NOT_FOUND, "/livez or /readyz\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn state(reason: &str) -> (StatusCode, String) {
    match reason {
        "" => (StatusCode::OK, "ok\n".to_owned()),
        reason => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_paths_say_two_states_and_nothing_else_is_answered() {
        let deaf = Health { not_ready: "cannot listen".to_owned(), ..Health::default() };
        let said = |method: Method, path: &str| {
            let response = reply(&method, path, &deaf);
            (response.status().as_u16(), response.into_body())
        };
        assert_eq!(said(Method::GET, "/livez"), (200, "ok\n".to_owned()));
        assert_eq!(said(Method::HEAD, "/readyz"), (503, "cannot listen\n".to_owned()));
        assert_eq!(said(Method::POST, "/livez").0, 405);
        for path in ["/", "/livez/", "/metrics", "/status"] {
            assert_eq!(said(Method::GET, path).0, 404, "{path}");
        }
    }
}

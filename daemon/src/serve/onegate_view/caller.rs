//! One connection of a caller: HTTP/1.1 with everything bounded.
//!
//! Promises that headers, bodies and time are bounded, whatever is sent or not read, and that what a
//! request says of its host, or shows as a token, is not looked at.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::ViewCaller;
use super::desk::ViewDesk;
use super::question::{MAX_WAIT, ViewQuestion};
use super::refusal::ViewRefusal;
use super::reply::ViewReply;

/// How long the headers of a request may take, and how long nothing may be asked.
const HEADERS: Duration = Duration::from_secs(10);
/// Most headers of a request, and most bytes of them.
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
/// How long a body may take, and most bytes of it.
const BODY: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 16 * 1024;
/// How long a connection is kept, and how long its last question may wait behind that.
const LIFE: Duration = Duration::from_secs(120);
const LAST: Duration = MAX_WAIT.saturating_add(Duration::from_secs(5));

/// Serves one connection until either end has had enough.
pub(super) async fn serve(caller: ViewCaller, desk: &ViewDesk) {
    let ViewCaller { line, vm, _place } = caller;
    let Ok(here) = line.local_addr() else { return };
    let answer = |request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request, vm, here, desk).await)
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(line), service_fn(answer)));
    // One that goes away, is too slow or makes no sense has nothing more to be told.
    if timeout(LIFE, served.as_mut()).await.is_err() {
        served.as_mut().graceful_shutdown();
        let _over = timeout(LAST, served).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    vm: IpAddr,
    here: SocketAddr,
    desk: &ViewDesk,
) -> Response<String> {
    let answered = match desk.may_ask(vm) {
        Ok(()) => match asked(request).await {
            Ok(question) => desk.answer(vm, here, &question).await,
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| ViewReply::from(&refusal)).into()
}

/// What is asked. A body is read in any case: who sends one hears the answer only behind it.
async fn asked(request: Request<Incoming>) -> Result<ViewQuestion, ViewRefusal> {
    let (head, body) = request.into_parts();
    let body = timeout(BODY, Limited::new(body, MAX_BODY).collect()).await;
    let body = body.map_err(|_late| ViewRefusal::SlowBody)?.map_err(|error| match error
        .is::<LengthLimitError>(
    ) {
        true => ViewRefusal::LongBody,
        false => ViewRefusal::BrokenBody,
    })?;
    if ![Method::GET, Method::HEAD].contains(&head.method) {
        return Err(ViewRefusal::ReadOnly);
    }
    let content = head.headers.get(CONTENT_TYPE).and_then(|content| content.to_str().ok());
    let is_form = content.is_some_and(|content| {
        let kind = content.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    let form = body.to_bytes();
    let form = if is_form { &form[..] } else { &[] };
    ViewQuestion::read(head.uri.path(), head.uri.query().unwrap_or_default(), form)
}

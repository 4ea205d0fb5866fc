//! A reply of the view as HTTP: JSON, or plain text where there is no answer.

use hyper::Response;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use serde_json::Value;

use super::refusal::ViewRefusal;

/// What a caller may show in its next question, as `revision`.
const REVISION: HeaderName = HeaderName::from_static("x-zonemesh-revision");

/// A reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ViewReply {
    status: StatusCode,
    text: String,
    revision: Option<String>,
}

impl ViewReply {
    pub(super) fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, text: value.to_string(), revision: None }
    }

    /// The same, of this revision.
    pub(super) fn of_revision(self, revision: String) -> Self {
        Self { revision: Some(revision), ..self }
    }
}

impl From<&ViewRefusal> for ViewReply {
    fn from(refusal: &ViewRefusal) -> Self {
        Self { status: refusal.status(), text: refusal.to_string(), revision: None }
    }
}

impl From<ViewReply> for Response<String> {
    fn from(reply: ViewReply) -> Self {
        let ViewReply { status, text, revision } = reply;
        let mut response = Self::new(text);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let content = match status {
            StatusCode::OK => "application/json;charset=utf-8",
            _ => "text/plain;charset=utf-8",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What was not read of it is no question.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(revision) = revision.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(REVISION, revision);
        }
        response
    }
}

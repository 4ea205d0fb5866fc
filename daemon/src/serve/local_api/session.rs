//! A session of a companion: a view first, then each change, and answers to what it says.
//!
//! Nothing is queued: a slow companion gets the newest view when it reads again. Promises that a
//! message which is refused ends nothing unless the proof is bad, that what this release does not know
//! is passed over, and that a flood of messages costs no looks at the registry.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};
use zonemesh_api::v1::companion_message::Body as Said;
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::{
    CompanionMessage, FederationView, GatewayMessage, Refusal, RefusalKind, ReportTaken,
};
use zonemesh_api::wire::finding::told_next;
use zonemesh_api::wire::local::{self as wire, CompanionHello, NetworksBehind, Registration};
use zonemesh_core::companion::{CompanionId, ReportedState};
use zonemesh_core::registry::FederationMember;

use super::desk::{ProvenVm, VmDesk};
use super::seats::Seat;
use super::{members, view};
use crate::facts::companions::PresentCompanion;
use crate::facts::keepalives::Heard;

/// How long a companion may take to say hello.
const HELLO: Duration = Duration::from_secs(5);
/// How often what is no record is looked at: reachability, the end of a token.
const LOOK: Duration = Duration::from_secs(2);

/// The first message of a session.
pub(super) async fn hello<S>(inbound: &mut S) -> Result<CompanionHello, Status>
where
    S: Stream<Item = Result<CompanionMessage, Status>> + Unpin,
{
    let first = timeout(HELLO, inbound.next()).await;
    let silent = |_elapsed| Status::deadline_exceeded("no hello came: a session begins with one");
    match first.map_err(silent)?.transpose()?.and_then(|message| message.body) {
        Some(Said::Hello(hello)) => Ok(CompanionHello::try_from(hello)?),
        _ => Err(Status::invalid_argument("the first message of a session is its hello")),
    }
}

/// A session whose companion has proved who it is.
pub(super) struct CompanionSession<S> {
    desk: Arc<VmDesk>,
    vm: ProvenVm,
    present: PresentCompanion,
    seat: Arc<Seat>,
    inbound: S,
    revision: Receiver<u64>,
    sent: Option<FederationView>,
    sent_members: Option<Vec<FederationMember>>,
    sent_networks: Option<NetworksBehind>,
    look_at: Instant,
}

/// What happened.
enum SessionEvent {
    Look,
    Said(CompanionMessage),
    Ended(Option<Status>),
}

impl<S> CompanionSession<S>
where
    S: Stream<Item = Result<CompanionMessage, Status>> + Unpin + Send,
{
    pub(super) fn begin(
        desk: Arc<VmDesk>,
        vm: ProvenVm,
        release: String,
        seat: Arc<Seat>,
        inbound: S,
    ) -> Self {
        let id = CompanionId {
            vm: vm.address.ip().to_canonical(),
            role: vm.proof.role,
            federation: vm.federation.clone(),
        };
        let present = desk.parts.companions.enter(id, release);
        let revision = desk.parts.ledger.revision();
        let look_at = Instant::now();
        let (sent, sent_members, sent_networks) = (None, None, None);
        Self {
            desk,
            vm,
            present,
            seat,
            inbound,
            revision,
            sent,
            sent_members,
            sent_networks,
            look_at,
        }
    }

    /// What this gateway says, until either end stops. `heard` is what the companion has told of its
    /// keepalives, for as long as that.
    pub(super) fn messages(
        self,
        heard: [Heard; 2],
    ) -> impl Stream<Item = Result<GatewayMessage, Status>> + Send {
        stream::unfold(Some(self), move |session| {
            let _heard = &heard;
            async move {
                let mut session = session?;
                match session.next().await? {
                    Ok(message) => Some((Ok(message), Some(session))),
                    Err(status) => Some((Err(status), None)),
                }
            }
        })
    }

    /// The next message; `None` when the companion has ended the session, or the gateway stops.
    async fn next(&mut self) -> Option<Result<GatewayMessage, Status>> {
        loop {
            self.seat.is_ready();
            match self.event().await {
                SessionEvent::Look => match self.look() {
                    Ok(None) => {}
                    Ok(Some(news)) => return Some(Ok(message(0, news))),
                    Err(status) => return Some(Err(status)),
                },
                SessionEvent::Said(said) => {
                    self.seat.waits();
                    match self.hear(said).await {
                        Ok(None) => {}
                        Ok(Some(answer)) => return Some(Ok(answer)),
                        Err(status) => return Some(Err(status)),
                    }
                }
                SessionEvent::Ended(status) => return status.map(Err),
            }
        }
    }

    async fn event(&mut self) -> SessionEvent {
        tokio::select! {
            // A view goes first; the registry changes rarely.
            biased;
            changed = self.revision.changed() => match changed {
                Ok(()) => SessionEvent::Look,
                Err(_closed) => SessionEvent::Ended(None),
            },
            () = sleep_until(self.look_at) => SessionEvent::Look,
            said = self.inbound.next() => match said {
                Some(Ok(said)) => SessionEvent::Said(said),
                Some(Err(status)) => SessionEvent::Ended(Some(status)),
                None => SessionEvent::Ended(None),
            },
        }
    }

    /// What is another than what was sent: the view, then who may take part, then what lies behind this
    /// gateway. The token and the grant may have ended.
    fn look(&mut self) -> Result<Option<Answer>, Status> {
        self.look_at = Instant::now();
        self.revision.mark_unchanged();
        self.desk.may_speak(self.vm.address, &self.vm.federation, &self.vm.proof)?;
        let now = view::of(&self.desk.parts, &self.vm.federation, Some(self.vm.address.ip()));
        if !self.sent.as_ref().is_some_and(|sent| view::is_same(sent, &now)) {
            self.sent = Some(now.clone());
            return Ok(Some(Answer::View(now)));
        }
        let members = members::of(&self.desk, &self.vm);
        if members.is_some() && members != self.sent_members {
            self.sent_members.clone_from(&members);
            return Ok(members.map(wire::members).map(Answer::Members));
        }
        let networks = self.desk.parts.behind.now(&self.desk.parts.config);
        if self.sent_networks.as_ref() != Some(&networks) {
            self.sent_networks = Some(networks.clone());
            return Ok(Some(Answer::Networks(networks.into())));
        }
        self.look_at += LOOK;
        Ok(None)
    }

    /// The answer to a message; an error ends the session.
    async fn hear(&mut self, said: CompanionMessage) -> Result<Option<GatewayMessage>, Status> {
        let number = said.number;
        let answer = match self.desk.may_say_more(self.vm.address) {
            Ok(()) => self.answer(said.body).await,
            Err(status) => Err(status),
        };
        match answer {
            Ok(answer) => Ok(answer.map(|body| message(number, body))),
            Err(status) if status.code() == Code::Unauthenticated => Err(status),
            Err(status) => Ok(Some(message(number, Answer::Refused(refusal(&status))))),
        }
    }

    async fn answer(&mut self, said: Option<Said>) -> Result<Option<Answer>, Status> {
        match said {
            Some(Said::Report(report)) => {
                let report = wire::report(report, self.vm.proof.role)?;
                self.desk.may_speak(self.vm.address, &self.vm.federation, &self.vm.proof)?;
                self.present.reports(report.clone());
                if let ReportedState::SuperLink(readiness) = report.state {
                    self.desk.take(&self.vm, readiness, &report).await?;
                }
                Ok(Some(Answer::Taken(ReportTaken {})))
            }
            Some(Said::Registration(wanted)) => {
                let wanted = Registration::try_from(wanted)?;
                self.desk.register(&self.vm, wanted).await.map(Answer::Issued).map(Some)
            }
            Some(Said::Hello(_)) => Err(Status::invalid_argument("hello was said already")),
            // Of a later release.
            None => Ok(None),
        }
    }
}

fn message(answers: u64, body: Answer) -> GatewayMessage {
    GatewayMessage { answers, body: Some(body) }
}

fn refusal(status: &Status) -> Refusal {
    let kind = match status.code() {
        Code::InvalidArgument => RefusalKind::Invalid,
        Code::PermissionDenied => RefusalKind::NotAllowed,
        Code::FailedPrecondition => RefusalKind::NotRegistered,
        Code::ResourceExhausted => RefusalKind::TooOften,
        _ => RefusalKind::Unavailable,
    };
    let next = told_next(status).unwrap_or_default().to_owned();
    Refusal { kind: kind.into(), reason: status.message().to_owned(), next }
}

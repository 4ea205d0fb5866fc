//! The session with the gateway: one for a companion's whole life, opened again whenever it is lost.
//!
//! Promises that the last report is said first in each session and again every 10 s, so that the
//! gateway knows that this VM lives, and that whoever registers or reports
//! is answered within seconds, while the gateway is away with the reason. Refuses to judge what the
//! gateway says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use zonemesh_api::clients::local::LocalSession;
use zonemesh_api::keepalive::{Keepalive, Whose};
use zonemesh_api::v1::gateway_message::Body as Said;
use zonemesh_api::v1::{self, GatewayMessage, RefusalKind};
use zonemesh_api::wire::local::{CompanionHello, NetworksBehind, Registration, named_members};
use zonemesh_core::companion::CompanionReport;

use super::at::{CALL_TIMEOUT, ConnectedGateway, GatewayAt};
use super::echo::VmEcho;
use super::out_of_its_mesh;
use super::place::Tried;
use super::{IssuedCertificate, LocalGateway, WatchedFederation, misfit};
use crate::backoff::Backoff;
use crate::reason::Reason;
use crate::routes::decision::ToldNetworks;
use crate::routes::{RouteKeeper, ToldProblem};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How soon a report is said again when there is nothing new.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How long until a report is said again that the gateway could not take.
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// What waits until the session can say it.
const TELLINGS: usize = 16;

/// A talk with the gateway that has begun.
pub struct GatewayTalk {
    /// How the companion says something.
    pub line: GatewayLine,
    /// What was seen.
    pub watched: watch::Receiver<WatchedFederation>,
    /// What must run for both.
    pub session: GatewaySession,
}

/// How a companion says something to its gateway.
#[derive(Clone)]
pub struct GatewayLine {
    gateway: LocalGateway,
    tellings: mpsc::Sender<Telling>,
}

/// Something that is to be said.
enum Telling {
    Register(Registration, oneshot::Sender<Result<IssuedCertificate, Reason>>),
    Report(CompanionReport, oneshot::Sender<Result<(), Reason>>),
}

/// Somebody who waits for an answer.
enum Waiting {
    Certificate(oneshot::Sender<Result<IssuedCertificate, Reason>>),
    Report(oneshot::Sender<Result<(), Reason>>),
}

/// One session with the gateway that has proved itself.
struct OpenSession {
    at: GatewayAt,
    session: LocalSession,
    /// The keepalives that the gateway was told.
    told: Vec<(Whose, Keepalive)>,
}

struct Question {
    waiting: Waiting,
    until: Instant,
}

/// The session, and all that come after it.
pub struct GatewaySession {
    gateway: LocalGateway,
    tellings: mpsc::Receiver<Telling>,
    seen: Arc<watch::Sender<WatchedFederation>>,
    /// What lies behind the gateway, once it has told.
    networks: watch::Sender<Option<ToldNetworks>>,
    last_report: Option<CompanionReport>,
    /// In which message of this session.
    reported_in: u64,
    /// When to say it again.
    again_at: Option<Instant>,
    questions: BTreeMap<u64, Question>,
    /// What the gateway asks this VM comes back by it.
    echo: Arc<VmEcho>,
}

impl LocalGateway {
    /// Begins to talk; nothing happens until [`GatewaySession::run`].
    #[must_use]
    pub fn talk(&self) -> GatewayTalk {
        let (sender, tellings) = mpsc::channel(TELLINGS);
        let (seen, watched) = watch::channel(WatchedFederation::default());
        let session = GatewaySession {
            gateway: self.clone(),
            tellings,
            seen: Arc::new(seen),
            networks: watch::Sender::default(),
            last_report: None,
            reported_in: 0,
            again_at: None,
            questions: BTreeMap::new(),
            echo: Arc::new(VmEcho::new(self.from)),
        };
        let line = GatewayLine { gateway: self.clone(), tellings: sender };
        GatewayTalk { line, watched, session }
    }
}

impl GatewayLine {
    /// Registers a SuperLink and has it certified.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn register(&self, registration: Registration) -> Result<IssuedCertificate, Reason> {
        let (answer, answered) = oneshot::channel();
        let _ended = self.tellings.send(Telling::Register(registration, answer)).await;
        answered.await.unwrap_or_else(|_ended| Err(self.ended()))
    }

    /// Reports how it goes; until the next report this one is said in each session.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn report(&self, report: CompanionReport) -> Result<(), Reason> {
        let (answer, answered) = oneshot::channel();
        let _ended = self.tellings.send(Telling::Report(report, answer)).await;
        answered.await.unwrap_or_else(|_ended| Err(self.ended()))
    }

    /// The same without waiting for an answer; false if too much is to be said already.
    #[must_use]
    pub fn mention(&self, report: CompanionReport) -> bool {
        let (answer, _nobody) = oneshot::channel();
        self.tellings.try_send(Telling::Report(report, answer)).is_ok()
    }

    fn ended(&self) -> Reason {
        self.gateway.lost("this companion ends")
    }
}

/// Puts what is wrong with the routes where it is seen.
fn routes_in(seen: Arc<watch::Sender<WatchedFederation>>) -> ToldProblem {
    Box::new(move |routes| {
        seen.send_if_modified(|seen| {
            let is_new = seen.routes.as_ref() != routes;
            seen.routes = routes.cloned();
            is_new
        })
    })
}

impl GatewaySession {
    /// Keeps a session for ever. Nothing that was seen is forgotten when the gateway is lost.
    pub async fn run(mut self) {
        let routes = RouteKeeper {
            told: self.networks.subscribe(),
            say: routes_in(Arc::clone(&self.seen)),
            apart: self.gateway.apart.clone(),
        };
        let echo = Arc::clone(&self.echo);
        tokio::join!(self.talk_for_ever(), echo.run(), routes.run());
    }

    async fn talk_for_ever(&mut self) {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        loop {
            let lost = self.run_once(&mut backoff).await;
            for (_, question) in std::mem::take(&mut self.questions) {
                question.waiting.fail(lost.clone());
            }
            self.seen.send_modify(|seen| {
                seen.connected = false;
                seen.lost = Some(lost.clone());
            });
            self.wait(Instant::now() + backoff.wait(), &lost).await;
        }
    }

    /// Answers with the reason until it is time for the next try.
    async fn wait(&mut self, until: Instant, lost: &Reason) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(telling) = self.tellings.recv() => self.turn_away(telling, lost),
            }
        }
    }

    /// What cannot be said now: a report is kept for the next session.
    fn turn_away(&mut self, telling: Telling, lost: &Reason) {
        match telling {
            Telling::Register(_, answer) => drop(answer.send(Err(lost.clone()))),
            Telling::Report(report, answer) => {
                self.last_report = Some(report);
                let _nobody_waits = answer.send(Err(lost.clone()));
            }
        }
    }

    async fn run_once(&mut self, backoff: &mut Backoff) -> Reason {
        let OpenSession { at, mut session, told } = match self.open().await {
            Ok(open) => open,
            Err(reason) => return reason,
        };
        let misfit = misfit(&told, session.keepalive);
        self.report(&mut session).await;
        loop {
            let first = self.questions.values().map(|question| question.until).min();
            let again = self.again_at;
            tokio::select! {
                said = session.inbound.message() => match said {
                    Ok(Some(message)) => match self.hear(&at, message, misfit.as_ref()) {
                        Ok(()) => backoff.reset(),
                        Err(reason) => return reason,
                    },
                    Ok(None) => return at.unreachable("it ended the session".to_owned()),
                    Err(status) => return at.refused(&status),
                },
                Some(telling) = self.tellings.recv() => self.tell(&mut session, telling).await,
                () = sleep_until(first.unwrap_or_else(Instant::now)), if first.is_some() => {
                    self.give_up(&at, Instant::now());
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    self.report(&mut session).await;
                }
            }
        }
    }

    /// A session with the zone that the token pins, and with no other.
    async fn open(&mut self) -> Result<OpenSession, Reason> {
        let begun = Instant::now();
        let ConnectedGateway { at, mut client } = loop {
            match self.gateway.connect().await {
                Ok(connected) => break connected,
                Err(Tried::Over(reason)) => return Err(reason),
                Err(Tried::Next) if begun.elapsed() > CALL_TIMEOUT => self.look_up(),
                Err(Tried::Next) => {}
            }
        };
        let gateway = &self.gateway;
        let hello = CompanionHello::by(&gateway.federation, &gateway.token, gateway.role);
        let hello = CompanionHello { onegate: gateway.onegate.clone(), ..hello };
        let told = gateway.keepalives();
        let session = at.call(LocalSession::open(&mut client, hello, &told)).await?;
        Ok(OpenSession { at, session, told })
    }

    /// Where many addresses are tried, whoever waits is answered meanwhile.
    fn look_up(&mut self) {
        let lost = self.seen.borrow().lost.clone();
        let lost = lost.unwrap_or_else(|| self.gateway.lost("its addresses are tried in turn"));
        while let Ok(telling) = self.tellings.try_recv() {
            self.turn_away(telling, &lost);
        }
    }

    /// Says the last report, with the clock as late as can be.
    async fn report(&mut self, session: &mut LocalSession) {
        self.again_at = None;
        if let Some(report) = self.last_report.clone() {
            let (clock, again_after) = (Some(SystemTime::now().into()), Some(SAY_EVERY));
            let echo_port = self.echo.port();
            let report = CompanionReport { clock, again_after, echo_port, ..report };
            self.reported_in = session.say(report).await;
            self.again_at = Some(Instant::now() + SAY_EVERY);
        }
    }

    async fn tell(&mut self, session: &mut LocalSession, telling: Telling) {
        let (number, waiting) = match telling {
            Telling::Register(registration, answer) => {
                (session.say(registration).await, Waiting::Certificate(answer))
            }
            Telling::Report(report, answer) => {
                self.last_report = Some(report);
                self.report(session).await;
                (self.reported_in, Waiting::Report(answer))
            }
        };
        let until = Instant::now() + CALL_TIMEOUT;
        self.questions.insert(number, Question { waiting, until });
    }

    /// What the gateway says; an error ends the session.
    fn hear(
        &mut self,
        at: &GatewayAt,
        message: GatewayMessage,
        misfit: Option<&Reason>,
    ) -> Result<(), Reason> {
        let GatewayMessage { answers, body } = message;
        match body {
            Some(Said::View(view)) => {
                let answer = at.read(view)?;
                let (misfit, out) = (misfit.cloned(), out_of_its_mesh(&answer));
                self.seen.send_modify(|seen| {
                    *seen = WatchedFederation {
                        shown: answer.superlink.into(),
                        lost: None,
                        connected: true,
                        misfit,
                        out,
                        members: seen.members.take(),
                        routes: seen.routes.take(),
                    };
                });
            }
            Some(Said::Members(named)) => {
                let members = named_members(named).map_err(|error| at.unusable(&error))?;
                self.seen.send_modify(|seen| seen.members = Some(members));
            }
            Some(Said::Networks(told)) => {
                let behind = NetworksBehind::try_from(told).map_err(|error| at.unusable(&error))?;
                let called = at.address.ip().to_canonical();
                self.networks.send_replace(Some(ToldNetworks { called, behind }));
            }
            Some(Said::Issued(issued)) => {
                if let Some(Waiting::Certificate(answer)) = self.waits_for(answers) {
                    let v1::IssuedLeaf { certificate_pem, ca_pem, names_supernodes } = issued;
                    let issued = IssuedCertificate { certificate_pem, ca_pem, names_supernodes };
                    let _gone = answer.send(Ok(issued));
                }
            }
            Some(Said::Taken(_)) => {
                if let Some(Waiting::Report(answer)) = self.waits_for(answers) {
                    let _gone = answer.send(Ok(()));
                }
            }
            Some(Said::Refused(refusal)) => {
                tracing::debug!(reason = refusal.reason, "the gateway refuses a message");
                let passes = [RefusalKind::TooOften, RefusalKind::Unavailable];
                if answers == self.reported_in && passes.contains(&refusal.kind()) {
                    self.again_at = Some(Instant::now() + SAY_AGAIN);
                }
                let declined = at.declined(refusal);
                if let Some(waiting) = self.waits_for(answers) {
                    let registers = matches!(waiting, Waiting::Certificate(_));
                    waiting.fail(declined.clone());
                    if registers && at.would_see_it_now() {
                        tracing::info!(
                            "this VM has its address now: the gateway is called from it"
                        );
                        return Err(declined);
                    }
                }
            }
            // Of a later release.
            None => {}
        }
        Ok(())
    }

    fn waits_for(&mut self, answers: u64) -> Option<Waiting> {
        self.questions.remove(&answers).map(|question| question.waiting)
    }

    fn give_up(&mut self, at: &GatewayAt, now: Instant) {
        let late = |question: &Question| question.until <= now;
        let (late, waiting) =
            std::mem::take(&mut self.questions).into_iter().partition(|(_, one)| late(one));
        self.questions = waiting;
        let late: BTreeMap<u64, Question> = late;
        for question in late.into_values() {
            question.waiting.fail(at.silent());
        }
    }
}

impl Waiting {
    fn fail(self, reason: Reason) {
        // Whoever does not wait any more does not want to know.
        match self {
            Self::Certificate(answer) => drop(answer.send(Err(reason))),
            Self::Report(answer) => drop(answer.send(Err(reason))),
        }
    }
}

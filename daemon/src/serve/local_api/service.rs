//! Answers the VMs of the zone. Who may do what is `authority`'s; what is seen is `view`'s.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tonic::{Request, Response, Status};
use zonemesh_api::keepalive::{self, Whose};
use zonemesh_api::serve::{self, Caller};
use zonemesh_api::v1::local_server::Local;
use zonemesh_api::v1::{
    AttestReply, AttestRequest, FederationView, RegisterReply, RegisterRequest, ReportReply,
    ReportRequest, ResolveRequest, WatchRequest,
};
use zonemesh_api::wire::local::{FederationQuestion, ReadinessReport, Registration};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_config::FederationSettings;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding::Subject;
use zonemesh_core::name::FederationName;
use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::{Readiness, SuperLink};
use zonemesh_core::registry::PublishError;
use zonemesh_core::token::VmRole;

use super::LocalParts;
use super::attest::OwnAttestation;
use super::authority::{Denied, VmPermissions};
use super::granted;
use super::onegate::VmDirectory;
use super::view;
use super::watch::{self, Watchers};
use crate::facts::certificates::superlink_sans;
use crate::facts::keepalives::Heard;
use crate::facts::ledger::{NotPublished, now};
use crate::facts::rate_limits::{LimitedCall, Rate, RateLimiter};

/// What one VM may ask for: companions ask once in some seconds.
const WRITES: Rate = Rate { burst: 30.0, per_second: 2.0 };
const READS: Rate = Rate { burst: 100.0, per_second: 20.0 };

pub(super) struct LocalService {
    authority: Arc<VmPermissions>,
    /// There if VMs must prove themselves by OneGate too.
    vms: Option<VmDirectory>,
    parts: LocalParts,
    attestation: OwnAttestation,
    writes: RateLimiter<IpAddr>,
    reads: RateLimiter<IpAddr>,
    watchers: Arc<Watchers>,
    registered_log: RateLimiter<IpAddr>,
    refused_log: RateLimiter<IpAddr>,
}

#[tonic::async_trait]
impl Local for LocalService {
    async fn attest(
        &self,
        request: Request<AttestRequest>,
    ) -> Result<Response<AttestReply>, Status> {
        self.may_read(caller(&request)?.address)?;
        let reply = self.attestation.reply(&self.parts.ledger).ok_or_else(|| {
            Status::failed_precondition(
                "this gateway's mesh is written by hand: make the token anew with: zonemesh key generate token",
            )
        })?;
        Ok(Response::new(reply))
    }

    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<FederationView>, Status> {
        let vm = caller(&request)?.address;
        self.may_read(vm)?;
        drop(self.hear_keepalives(&request)?);
        let asked = FederationQuestion::try_from(request.into_inner())?;
        self.may_ask(vm, &asked)?;
        Ok(self.telling(view::of(&self.parts, &asked.federation)))
    }

    type WatchStream = watch::Views;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<watch::Views>, Status> {
        let caller = caller(&request)?;
        self.may_read(caller.address)?;
        let heard = self.hear_keepalives(&request)?;
        let asked = FederationQuestion::try_from(request.into_inner())?;
        self.may_ask(caller.address, &asked)?;
        let seat = self.watchers.sit(&caller).ok_or_else(|| {
            Status::resource_exhausted("this VM has too many watchers: end one of them")
        })?;
        Ok(self.telling(watch::views(self.parts.clone(), asked, seat, heard)))
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterReply>, Status> {
        let caller = caller(&request)?.address;
        self.within(&self.writes, caller, LimitedCall::VmWrites)?;
        let heard = self.hear_keepalives(&request)?;
        let wanted = Registration::try_from(request.into_inner())?;
        let federation = wanted.federation.clone();
        let held = self.may_write(caller, &wanted.token, &federation)?;
        VmPermissions::may_certify(caller, &wanted.addresses)
            .map_err(|denied| self.refused(caller, denied))?;
        self.is_the_vm_it_says(caller, wanted.onegate.as_ref()).await?;
        let (certificate_pem, ca_pem) = self.certify(held, &wanted.addresses, &wanted.csr_pem)?;
        self.publish(RecordChange::Urgent, self.superlink(wanted)).await?;
        self.parts.cas.remember_issued(&federation, &certificate_pem).await;
        if self.registered_log.allow(&caller.ip(), Instant::now()) {
            tracing::info!(%federation, vm = %caller.ip(), "registered a SuperLink");
        }
        let view = Some(view::of(&self.parts, &federation));
        drop(heard);
        Ok(self.telling(RegisterReply { certificate_pem, ca_pem, view }))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportReply>, Status> {
        let caller = caller(&request)?.address;
        self.within(&self.writes, caller, LimitedCall::VmWrites)?;
        let report = ReadinessReport::try_from(request.into_inner())?;
        let federation = &report.federation;
        self.may_write(caller, &report.token, federation)?;
        let mut superlink = self.registered(federation).ok_or_else(|| {
            Status::failed_precondition(format!(
                "no SuperLink of the federation {federation} is registered here: register first"
            ))
        })?;
        VmPermissions::may_certify(caller, &superlink.addresses)
            .map_err(|denied| self.refused(caller, denied))?;
        if superlink.readiness != report.readiness {
            let readiness = report.readiness.as_str();
            tracing::info!(%federation, readiness, "SuperLink reported");
        }
        superlink.readiness = report.readiness;
        if let Some(clock) = report.clock {
            superlink.clock_offset_ms = clock.offset_from(now());
        }
        self.publish(RecordChange::Readiness, superlink).await?;
        let revision = *self.parts.ledger.revision().borrow();
        Ok(Response::new(ReportReply { revision }))
    }
}

impl LocalService {
    /// What the companion that calls has told of its own keepalives and of its Flower's.
    fn hear_keepalives<T>(&self, request: &Request<T>) -> Result<[Heard; 2], Status> {
        let vm = caller(request)?.address.ip().to_canonical();
        let heard = |end: Subject, whose| {
            let theirs = keepalive::told(request.metadata(), whose);
            self.parts.keepalives.heard(&end, theirs)
        };
        Ok([heard(Subject::Vm(vm), Whose::Own), heard(Subject::FlowerIn(vm), Whose::Flowers)])
    }

    /// An answer that tells the keepalives in force here.
    fn telling<T>(&self, answer: T) -> Response<T> {
        let mut response = Response::new(answer);
        keepalive::tell(response.metadata_mut(), Whose::Own, self.parts.keepalives.ours());
        response
    }

    pub(super) fn new(
        authority: Arc<VmPermissions>,
        vms: Option<VmDirectory>,
        parts: LocalParts,
        watchers: Arc<Watchers>,
    ) -> Self {
        Self {
            authority,
            vms,
            parts,
            attestation: OwnAttestation::default(),
            writes: RateLimiter::new(WRITES),
            reads: RateLimiter::new(READS),
            watchers,
            registered_log: RateLimiter::new(Rate::LOG),
            refused_log: RateLimiter::new(Rate::LOG),
        }
    }

    fn may_read(&self, caller: SocketAddr) -> Result<(), Status> {
        self.within(&self.reads, caller, LimitedCall::VmReads)?;
        self.authority.may_read(caller).map_err(|denied| self.refused(caller, denied))
    }

    async fn is_the_vm_it_says(
        &self,
        caller: SocketAddr,
        shown: Option<&OneGateIdentity>,
    ) -> Result<(), Status> {
        let Some(vms) = &self.vms else { return Ok(()) };
        vms.check(shown, caller.ip()).await.map_err(|error| match error.may_pass() {
            true => Status::unavailable(error.to_string()),
            false => self.refused(caller, Denied::NotThisVm(error.to_string())),
        })
    }

    /// Nobody has to say who asks; what is said must be true, so that a wrong token is told.
    fn may_ask(&self, vm: SocketAddr, asked: &FederationQuestion) -> Result<(), Status> {
        let (federation, now) = (&asked.federation, SystemTime::now());
        let used = asked.proof.as_ref().map_or(Ok(()), |proof| {
            self.authority.may_use(&proof.token, proof.role, federation, now)
        });
        let granted =
            used.and_then(|()| granted::check(&self.parts.ledger, asked.role(), federation));
        granted.map_err(|denied| self.refused(vm, denied))
    }

    /// Its token lets this VM write about the SuperLink of `federation`, and the zone may have one.
    fn may_write(
        &self,
        vm: SocketAddr,
        token: &str,
        federation: &FederationName,
    ) -> Result<&FederationSettings, Status> {
        let held = self.authority.may_write(vm, token, federation, SystemTime::now());
        let host = Some(VmRole::SuperLink);
        let granted = held
            .and_then(|held| granted::check(&self.parts.ledger, host, federation).map(|()| held));
        granted.map_err(|denied| self.refused(vm, denied))
    }

    /// Others are served meanwhile: whoever asks too often waits.
    fn within(
        &self,
        limits: &RateLimiter<IpAddr>,
        caller: SocketAddr,
        counted_as: LimitedCall,
    ) -> Result<(), Status> {
        let vm = caller.ip().to_canonical();
        if limits.allow(&vm, Instant::now()) {
            return Ok(());
        }
        self.parts.refusals.count(counted_as, &vm);
        Err(Status::resource_exhausted("this VM asks too often: try again in a second"))
    }

    fn refused(&self, caller: SocketAddr, denied: Denied) -> Status {
        let vm = caller.ip().to_canonical();
        if self.refused_log.allow(&vm, Instant::now()) {
            tracing::info!(%vm, reason = %denied, "refused a VM");
        }
        if denied.is_about_identity() {
            Status::unauthenticated(denied.to_string())
        } else {
            Status::permission_denied(denied.to_string())
        }
    }

    /// The SuperLink that a registration describes. A renewal keeps the readiness it had.
    fn superlink(&self, wanted: Registration) -> SuperLink {
        let before = self.registered(&wanted.federation);
        let same = before.filter(|before| before.addresses == wanted.addresses);
        SuperLink {
            tls_name: wanted.federation.superlink_tls_name(),
            federation: wanted.federation,
            addresses: wanted.addresses,
            fleet_port: wanted.fleet_port,
            control_port: wanted.control_port,
            flower_version: wanted.flower_version,
            transport: wanted.transport,
            readiness: same.map_or(Readiness::Starting, |before| before.readiness),
            clock_offset_ms: wanted.clock.offset_from(now()),
            dns_name: None,
            cas: Vec::new(),
        }
    }

    fn registered(&self, federation: &FederationName) -> Option<SuperLink> {
        let superlinks = self.parts.ledger.draft().superlinks;
        superlinks.into_iter().find(|superlink| superlink.federation == *federation)
    }

    fn certify(
        &self,
        federation: &FederationSettings,
        addresses: &[IpAddr],
        request_pem: &str,
    ) -> Result<(String, String), Status> {
        let ca = self.parts.cas.get(&federation.name).ok_or_else(|| {
            Status::unavailable(format!(
                "the gateway cannot read the CA of the federation {}; see its log",
                federation.name
            ))
        })?;
        let tunnel_ips = &self.parts.config.tunnel.addresses;
        let sans = superlink_sans(federation, addresses, tunnel_ips);
        let certificate = ca.sign(request_pem, &sans, SystemTime::now()).map_err(|error| {
            Status::invalid_argument(format!("csr_pem: {}", error_line(&error)))
        })?;
        Ok((certificate, ca.certificate_pem().to_owned()))
    }

    async fn publish(&self, change: RecordChange, superlink: SuperLink) -> Result<(), Status> {
        let published = self.parts.ledger.edit(change, |draft| {
            draft.superlinks.retain(|other| other.federation != superlink.federation);
            draft.superlinks.push(superlink);
            draft.superlinks.sort_by(|a, b| a.federation.cmp(&b.federation));
        });
        published.await.map_err(|error| match error {
            NotPublished::Refused(PublishError::TooLarge(_)) => {
                Status::resource_exhausted(error_line(&error))
            }
            NotPublished::Refused(_) => Status::invalid_argument(error_line(&error)),
            NotPublished::Left => Status::failed_precondition(error_line(&error)),
            NotPublished::Disk(_) => Status::unavailable(error_line(&error)),
        })
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = serve::caller(request);
    caller.ok_or_else(|| Status::internal("a connection without a peer address"))
}

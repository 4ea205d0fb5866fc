//! What is done for a VM of the zone: who may ask, and what its SuperLink is registered and said with.
//!
//! Who may do what is `authority`'s; what is seen is `view`'s. Promises that each refusal is a status
//! with its reason, and that what one VM asks for too often is refused and counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tonic::{Request, Response, Status};
use zonemesh_api::keepalive::{self, Whose};
use zonemesh_api::serve::{self, Caller};
use zonemesh_api::v1::IssuedLeaf;
use zonemesh_api::wire::finding::with_next;
use zonemesh_api::wire::local::{CompanionHello, FederationQuestion, Registration, ShownToken};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_config::FederationSettings;
use zonemesh_core::companion::CompanionReport;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding::Subject;
use zonemesh_core::name::FederationName;
use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::{Readiness, RecordContent, SuperLink};
use zonemesh_core::registry::PublishError;
use zonemesh_core::token::VmRole;

use super::LocalParts;
use super::authority::{Denied, VmPermissions};
use super::granted;
use super::onegate::VmDirectory;
use crate::facts::certificates::superlink_sans;
use crate::facts::keepalives::Heard;
use crate::facts::ledger::{NotPublished, now};
use crate::facts::rate_limits::{LimitedCall, Rate, RateLimiter};

/// What one VM may ask for: companions ask once in some seconds.
const WRITES: Rate = Rate { burst: 30.0, per_second: 2.0 };
const READS: Rate = Rate { burst: 100.0, per_second: 20.0 };

/// From here on the clock of a SuperLink's VM is another than the one that is said.
const DRIFT_MS: u64 = 1_000;

/// Where VMs are served.
pub(super) struct VmDesk {
    pub(super) parts: LocalParts,
    authority: Arc<VmPermissions>,
    /// Made for the OneGate of the configuration when it is first asked.
    vms: Mutex<Option<Arc<VmDirectory>>>,
    writes: RateLimiter<IpAddr>,
    reads: RateLimiter<IpAddr>,
    registered_log: RateLimiter<IpAddr>,
    refused_log: RateLimiter<IpAddr>,
}

/// Somebody who has shown a good token.
pub(super) struct ProvenVm {
    pub(super) address: SocketAddr,
    pub(super) federation: FederationName,
    pub(super) proof: ShownToken,
    pub(super) onegate: Option<OneGateIdentity>,
}

impl VmDesk {
    pub(super) fn new(authority: Arc<VmPermissions>, parts: LocalParts) -> Self {
        Self {
            parts,
            authority,
            vms: Mutex::default(),
            writes: RateLimiter::new(WRITES),
            reads: RateLimiter::new(READS),
            registered_log: RateLimiter::new(Rate::LOG),
            refused_log: RateLimiter::new(Rate::LOG),
        }
    }

    /// What the companion that calls has told of its own keepalives and of its Flower's.
    pub(super) fn hear_keepalives<T>(&self, request: &Request<T>) -> Result<[Heard; 2], Status> {
        let vm = caller(request)?.address.ip().to_canonical();
        let heard = |end: Subject, whose| {
            let theirs = keepalive::told(request.metadata(), whose);
            self.parts.keepalives.heard(&end, theirs)
        };
        Ok([heard(Subject::Vm(vm), Whose::Own), heard(Subject::FlowerIn(vm), Whose::Flowers)])
    }

    /// An answer that tells the keepalives in force here.
    pub(super) fn telling<T>(&self, answer: T) -> Response<T> {
        let mut response = Response::new(answer);
        keepalive::tell(response.metadata_mut(), Whose::Own, &self.parts.keepalives.ours());
        response
    }

    pub(super) fn may_read(&self, caller: SocketAddr) -> Result<(), Status> {
        self.within(&self.reads, caller, LimitedCall::VmReads)?;
        self.authority.may_read(caller).map_err(|denied| self.refused(caller, denied))
    }

    /// Present if VMs must prove themselves by OneGate too.
    fn directory(&self) -> Result<Option<Arc<VmDirectory>>, Status> {
        let config = self.parts.config.now();
        let Some(endpoint) = config.local_api.as_ref().and_then(|api| api.onegate.as_deref())
        else {
            return Ok(None);
        };
        let mut vms = self.vms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = vms.as_ref().filter(|known| known.is_at(endpoint)) {
            return Ok(Some(known.clone()));
        }
        let new = VmDirectory::new(endpoint).map_err(|error| {
            Status::unavailable(format!("cannot use local_api.onegate: {}", error_line(&error)))
        })?;
        Ok(Some(vms.insert(Arc::new(new)).clone()))
    }

    async fn is_the_vm_it_says(
        &self,
        caller: SocketAddr,
        shown: Option<&OneGateIdentity>,
    ) -> Result<(), Status> {
        let Some(vms) = self.directory()? else { return Ok(()) };
        vms.check(shown, caller.ip()).await.map_err(|error| match error.may_pass() {
            true => Status::unavailable(error.to_string()),
            false => self.refused(caller, Denied::NotThisVm(error.to_string())),
        })
    }

    /// Nobody has to say who asks; what is said must be true, so that a wrong token is told.
    pub(super) fn may_ask(&self, vm: SocketAddr, asked: &FederationQuestion) -> Result<(), Status> {
        let federation = &asked.federation;
        match &asked.proof {
            Some(proof) => self.may_speak(vm, federation, proof),
            None => granted::check(&self.parts.ledger, None, federation)
                .map_err(|denied| self.refused(vm, denied)),
        }
    }

    /// Its token is good, and the zone may have a VM of this role in `federation`. Both may end.
    pub(super) fn may_speak(
        &self,
        vm: SocketAddr,
        federation: &FederationName,
        proof: &ShownToken,
    ) -> Result<(), Status> {
        let used = self.authority.may_use(&proof.token, proof.role, federation, SystemTime::now());
        let granted =
            used.and_then(|()| granted::check(&self.parts.ledger, Some(proof.role), federation));
        granted.map_err(|denied| self.refused(vm, denied))
    }

    /// Who has said hello, if the proof is good.
    pub(super) fn prove(&self, vm: SocketAddr, hello: CompanionHello) -> Result<ProvenVm, Status> {
        let CompanionHello { federation, proof, onegate, .. } = hello;
        let proof = proof.ok_or_else(|| self.refused(vm, Denied::UnknownToken))?;
        self.may_speak(vm, &federation, &proof)?;
        Ok(ProvenVm { address: vm, federation, proof, onegate })
    }

    /// Counts one message of a session.
    pub(super) fn may_say_more(&self, vm: SocketAddr) -> Result<(), Status> {
        self.within(&self.writes, vm, LimitedCall::VmWrites)
    }

    /// Registers and certifies a SuperLink.
    pub(super) async fn register(
        &self,
        vm: &ProvenVm,
        wanted: Registration,
    ) -> Result<IssuedLeaf, Status> {
        let (caller, federation) = (vm.address, &vm.federation);
        let held = self.may_write(vm)?;
        VmPermissions::may_certify(caller, &wanted.addresses)
            .map_err(|denied| self.refused(caller, denied))?;
        self.is_the_vm_it_says(caller, vm.onegate.as_ref()).await?;
        let issued = self.certify(&held, &wanted)?;
        let superlink = self.superlink(federation, wanted);
        let published = self.publish(RecordChange::Urgent, |draft| {
            draft.superlinks.retain(|other| other.federation != superlink.federation);
            draft.superlinks.push(superlink);
            draft.superlinks.sort_by(|a, b| a.federation.cmp(&b.federation));
        });
        published.await?;
        self.parts.cas.remember_issued(federation, &issued.certificate_pem).await;
        if self.registered_log.allow(&caller.ip(), Instant::now()) {
            tracing::info!(%federation, vm = %caller.ip(), "registered a SuperLink");
        }
        Ok(issued)
    }

    /// Takes what a SuperLink reports of itself into what this zone says.
    pub(super) async fn take(
        &self,
        vm: &ProvenVm,
        readiness: Readiness,
        report: &CompanionReport,
    ) -> Result<(), Status> {
        let federation = &vm.federation;
        self.may_write(vm)?;
        let superlink = self.registered(federation).ok_or_else(|| {
            Status::failed_precondition(format!(
                "no SuperLink of the federation {federation} is registered here: register first"
            ))
        })?;
        VmPermissions::may_report(vm.address, federation, &superlink.addresses)
            .map_err(|denied| self.refused(vm.address, denied))?;
        if superlink.readiness != readiness {
            tracing::info!(%federation, readiness = readiness.as_str(), "SuperLink reported");
        }
        let offset = report.clock.map(|clock| clock.offset_from(now()));
        let published = self.publish(RecordChange::Readiness, |draft| {
            let mut superlinks = draft.superlinks.iter_mut();
            let Some(said) = superlinks.find(|said| said.federation == *federation) else { return };
            let differs = |offset: &i64| offset.abs_diff(said.clock_offset_ms) >= DRIFT_MS;
            let admitted = said.admitted.as_ref().and(report.nodes.as_ref());
            let admits_others = admitted.is_some() && said.admitted.as_ref() != admitted;
            let is_news = said.readiness != readiness || said.cas != report.cas || admits_others;
            // A clock that is read anew differs by some milliseconds, which is worth no record.
            if let Some(offset) = offset.filter(|offset| is_news || differs(offset)) {
                said.clock_offset_ms = offset;
            }
            said.readiness = readiness;
            said.cas.clone_from(&report.cas);
            if admits_others {
                said.admitted = admitted.cloned();
            }
        });
        published.await
    }

    /// Its token lets this VM write about the SuperLink of `federation`, and the zone may have one.
    fn may_write(&self, vm: &ProvenVm) -> Result<FederationSettings, Status> {
        let (address, federation) = (vm.address, &vm.federation);
        let held =
            self.authority.may_write(address, &vm.proof.token, federation, SystemTime::now());
        let host = Some(VmRole::SuperLink);
        let granted = held
            .and_then(|held| granted::check(&self.parts.ledger, host, federation).map(|()| held));
        granted.map_err(|denied| self.refused(address, denied))
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
        let (vm, now) = (caller.ip().to_canonical(), Instant::now());
        self.parts.refused_vms.note(vm, denied.to_string(), denied.next(), now);
        if self.refused_log.allow(&vm, now) {
            tracing::info!(%vm, reason = %denied, "refused a VM");
        }
        if denied.is_about_identity() {
            Status::unauthenticated(denied.to_string())
        } else {
            with_next(Status::permission_denied(denied.to_string()), &denied.next())
        }
    }

    /// The SuperLink that a registration describes. A renewal keeps the readiness it had; one that was
    /// lost begins again.
    fn superlink(&self, federation: &FederationName, wanted: Registration) -> SuperLink {
        let before = self.registered(federation);
        let same = before.filter(|before| before.addresses == wanted.addresses);
        let readiness = same.as_ref().map(|before| before.readiness);
        let readiness = readiness.filter(|readiness| *readiness != Readiness::Lost);
        SuperLink {
            tls_name: federation.superlink_tls_name(),
            federation: federation.clone(),
            addresses: wanted.addresses,
            fleet_port: wanted.fleet_port,
            control_port: wanted.control_port,
            flower_version: wanted.flower_version,
            transport: wanted.transport,
            readiness: readiness.unwrap_or(Readiness::Starting),
            clock_offset_ms: wanted.clock.offset_from(now()),
            dns_name: None,
            admitted: wanted.authenticates.then(|| {
                let admitted = same.as_ref().and_then(|before| before.admitted.clone());
                admitted.unwrap_or_default()
            }),
            cas: same.map(|before| before.cas).unwrap_or_default(),
        }
    }

    pub(super) fn registered(&self, federation: &FederationName) -> Option<SuperLink> {
        let superlinks = self.parts.ledger.draft().superlinks;
        superlinks.into_iter().find(|superlink| superlink.federation == *federation)
    }

    fn certify(
        &self,
        federation: &FederationSettings,
        wanted: &Registration,
    ) -> Result<IssuedLeaf, Status> {
        let ca = self.parts.cas.get(&federation.name).ok_or_else(|| {
            Status::unavailable(format!(
                "the gateway cannot read the CA of the federation {}; see its log",
                federation.name
            ))
        })?;
        let tunnel_ips = &self.parts.config.now().tunnel.addresses;
        let sans = superlink_sans(federation, &wanted.addresses, tunnel_ips);
        let signed = ca.sign(&wanted.csr_pem, &sans, SystemTime::now());
        let certificate_pem = signed.map_err(|error| {
            Status::invalid_argument(format!("csr_pem: {}", error_line(&error)))
        })?;
        let ca_pem = ca.certificate_pem().to_owned();
        Ok(IssuedLeaf { certificate_pem, ca_pem, names_supernodes: true })
    }

    async fn publish(
        &self,
        change: RecordChange,
        edit: impl FnOnce(&mut RecordContent),
    ) -> Result<(), Status> {
        let published = self.parts.ledger.edit(change, edit);
        published.await.map_err(|error| match error {
            NotPublished::Refused(PublishError::TooLarge(_)) => {
                Status::resource_exhausted(error_line(&error))
            }
            NotPublished::Refused(_) => Status::invalid_argument(error_line(&error)),
            NotPublished::Left => Status::permission_denied(error_line(&error)),
            NotPublished::Disk(_) => Status::unavailable(error_line(&error)),
        })
    }
}

pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = serve::caller(request);
    caller.ok_or_else(|| Status::internal("a connection without a peer address"))
}

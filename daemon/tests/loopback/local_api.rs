//! A gateway and a VM of its zone: what the VM pins, and what its token is good for.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use tonic::transport::Channel;
use tonic::{Code, Status};
use zonemesh_api::clients::local::{self, LocalSession};
use zonemesh_api::v1;
use zonemesh_api::v1::RefusalKind;
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_api::wire::local::{CompanionHello, Registration, ShownToken, shown_items};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_core::attestation::{self, GatewayDoubt};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{
    AuthorityIdentity, FederationRight, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::record::FlowerTransport;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{SECRET_BYTES, VmRole, VmToken, ZonePin};
use zonemesh_pki::local::pin_mismatch;
use zonemesh_pki::{CertificateRequest, San, asking_client_config, pinned_client_config};

use crate::zone::{Place, Zone};
use crate::{founding, place};

const FEDERATIONS: [&str; 2] = ["health-eu", "weather-eu"];

pub(crate) fn token(pin: ZonePin, secret: u8) -> VmToken {
    VmToken::new(pin, &[secret; SECRET_BYTES])
}

/// A zone with two federations, and a token for each of `roles`, whose secret is its place there.
pub(crate) async fn serving(place: Place, roles: &[(&str, &str)]) -> Zone {
    serving_with(place, roles, "").await
}

/// The same, with more lines in `[local_api]`.
pub(crate) async fn serving_with(place: Place, roles: &[(&str, &str)], more: &str) -> Zone {
    let mut zone = Zone::start(place, &[]).await;
    zone.stop().await;
    zone.more = format!("[local_api]\nlisten = \"{}\"\n{more}\n", place.local_api());
    let pin = ZonePin::Key(place.identity().public_key());
    for ((role, more), secret) in roles.iter().zip(0..) {
        let hash = token(pin.clone(), secret).hash();
        zone.more += &format!(
            "[[local_api.token]]\nname = \"{secret}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\n{more}\n"
        );
    }
    for name in FEDERATIONS {
        zone.more += &format!("[[federation]]\nname = \"{name}\"\n");
    }
    zone.start_again().await;
    zone
}

pub(crate) async fn pinned(place: Place, key: &ZonePublicKey) -> LocalClient<Channel> {
    let tls = pinned_client_config(*key.as_bytes()).unwrap();
    local::connect(place.local_api(), tls).await.unwrap()
}

/// Says hello in a session, then asks to be registered; how that was refused.
async fn registered(
    gateway: &mut LocalClient<Channel>,
    federation: &str,
    token: &VmToken,
    onegate: Option<OneGateIdentity>,
) -> Said {
    let hello = CompanionHello::by(&federation.parse().unwrap(), token, VmRole::SuperLink);
    let hello = CompanionHello { onegate, ..hello };
    match LocalSession::open(gateway, hello, &[]).await {
        Err(status) => Said::Status(status),
        Ok(mut session) => {
            let address = IpAddr::from([127, 0, 0, 1]);
            let request = CertificateRequest::generate("superlink", &[San::Ip(address)]).unwrap();
            let wanted = Registration {
                addresses: vec![address],
                fleet_port: 9092,
                control_port: 9093,
                flower_version: "1.25.0".to_owned(),
                transport: FlowerTransport::Grpc,
                csr_pem: request.csr_pem,
                clock: UnixMillis(1_800_000_000_000),
                authenticates: true,
            };
            let number = session.say(wanted).await;
            answer(&mut session, number).await
        }
    }
}

/// What a gateway said: in the end of a call or a session, or in an answer.
#[derive(Debug)]
pub(crate) enum Said {
    Status(Status),
    Answer(Box<Answer>),
}

impl Said {
    /// What was answered.
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Answer(answer) => *answer,
            Self::Status(status) => panic!("{status}"),
        }
    }

    /// The kind of a refusal that ended nothing, or the code of one that did; and why.
    fn refusal(&self) -> (Refused, String) {
        match self {
            Self::Status(status) => (Refused::Ended(status.code()), status.message().to_owned()),
            Self::Answer(answer) => match &**answer {
                Answer::Refused(refusal) => (Refused::Kept(refusal.kind()), refusal.reason.clone()),
                other => panic!("it was not refused: {other:?}"),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Ended(Code),
    Kept(RefusalKind),
}

/// Loopback is no prefix of the zone: that is looked at last.
const GOOD: (Refused, &str) =
    (Refused::Kept(RefusalKind::Invalid), "lies in none of the zone's prefixes");

/// The answer to the message of this number, with the views before it passed over.
pub(crate) async fn answer(session: &mut LocalSession, number: u64) -> Said {
    let answered = async {
        loop {
            match session.inbound.message().await {
                Ok(Some(message)) if message.answers == number => {
                    break Said::Answer(Box::new(message.body.unwrap()));
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("the session has ended"),
                Err(status) => break Said::Status(status),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_mesh_written_by_hand_a_vm_pins_the_zone_key_and_no_other_is_taken() {
    let place = place(20, 1);
    let mut zone = serving(place, &[]).await;
    let own = place.identity().public_key();
    let pin: ZonePin = zone.status().await.local_api_pin.parse().unwrap();
    assert_eq!(pin, ZonePin::Key(own));
    let question = v1::ResolveRequest { federation: FEDERATIONS[0].to_owned(), proof: None };
    let view = pinned(place, &own).await.resolve(question).await.unwrap().into_inner();
    assert!(!view.found);
    let other = crate::place(20, 2).identity().public_key();
    let tls = pinned_client_config(*other.as_bytes()).unwrap();
    let error = local::connect(place.local_api(), tls).await.unwrap_err();
    assert!(pin_mismatch(&error).is_some(), "{error}");
    let asked = pinned(place, &own).await.attest(v1::AttestRequest {}).await.unwrap_err();
    assert_eq!(asked.code(), Code::FailedPrecondition);
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_managed_mesh_a_gateway_proves_its_zones_key_to_a_vm_that_knows_mesh_and_zone() {
    let place = place(21, 1);
    let mut zone = serving(place, &[]).await;
    zone.mesh().await.mesh_init(founding()).await.unwrap();
    let pin = zone.status().await.local_api_pin.parse();
    let Ok(ZonePin::Mesh(pin)) = pin else { panic!("{pin:?}") };
    assert_eq!(pin.zone.as_str(), place.name());

    let tls = asking_client_config().unwrap();
    let mut anybody = local::connect(place.local_api(), tls).await.unwrap();
    let shown = anybody.attest(v1::AttestRequest {}).await.unwrap().into_inner();
    let shown = shown_items(shown).unwrap();
    let attested = attestation::verify(&pin, None, shown.clone()).unwrap();
    assert_eq!(attested.zone_key, place.identity().public_key());
    pinned(place, &attested.zone_key).await;
    let other = zonemesh_core::token::MeshPin { zone: "z9".parse().unwrap(), ..pin };
    let refused = attestation::verify(&other, None, shown);
    assert_eq!(refused, Err(GatewayDoubt::NoGrant(other.zone)));
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_for_its_role_and_federation_until_its_end() {
    let place = place(22, 1);
    let roles = [
        ("superlink", "federation = \"health-eu\""),
        ("superlink", ""),
        ("supernode", ""),
        ("superlink", "expires = \"2020-01-01T00:00:00Z\""),
    ];
    let mut zone = serving(place, &roles).await;
    let key = place.identity().public_key();
    let mut gateway = pinned(place, &key).await;
    let denied = Refused::Ended(Code::PermissionDenied);
    let unknown = Refused::Ended(Code::Unauthenticated);
    let cases = [
        (0, "health-eu", GOOD),
        (0, "weather-eu", (denied, "is for the federation health-eu")),
        (1, "weather-eu", GOOD),
        (2, "health-eu", (denied, "is for a supernode, not for a superlink")),
        (3, "health-eu", (unknown, "has expired")),
        (9, "health-eu", (unknown, "is not known to this gateway")),
    ];
    for (secret, federation, (expected, words)) in cases {
        let token = token(ZonePin::Key(key), secret);
        let said = registered(&mut gateway, federation, &token, None).await;
        let (refused, why) = said.refusal();
        assert_eq!(refused, expected, "{secret}, {federation}: {why}");
        assert!(why.contains(words), "{why}");
        assert!(!why.contains("zmt1."), "{why}");
    }
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_need_not_say_who_it_is_but_not_the_untruth() {
    let place = place(23, 1);
    let roles = [("supernode", "federation = \"health-eu\""), ("superlink", "")];
    let mut zone = serving(place, &roles).await;
    let key = place.identity().public_key();
    let mut gateway = pinned(place, &key).await;
    let cases = [
        (None, "health-eu", None),
        (Some(0), "health-eu", None),
        (Some(0), "weather-eu", Some(Code::PermissionDenied)),
        (Some(1), "health-eu", Some(Code::PermissionDenied)),
        (Some(9), "health-eu", Some(Code::Unauthenticated)),
    ];
    for (secret, federation, refused) in cases {
        let shown = |secret| ShownToken {
            token: token(ZonePin::Key(key), secret).reveal().to_owned().into(),
            role: VmRole::SuperNode,
        };
        let proof = secret.map(shown);
        let resolve = v1::ResolveRequest {
            federation: federation.to_owned(),
            proof: proof.clone().map(v1::VmProof::from),
        };
        let answer = gateway.resolve(resolve).await.err().map(|status| status.code());
        assert_eq!(answer, refused, "{secret:?}");
        let federation = federation.parse().unwrap();
        let hello =
            CompanionHello { federation, proof, release: "0.2.0".to_owned(), onegate: None };
        let session = LocalSession::open(&mut gateway, hello, &[]).await;
        let needs_one = refused.or(secret.is_none().then_some(Code::Unauthenticated));
        assert_eq!(session.err().map(|status| status.code()), needs_one, "{secret:?}");
    }
    zone.stop().await;
}

/// Grants the zone anew, in the mesh that it has founded, for these federations.
pub(crate) async fn granted_for(zone: &Zone, rights: &[FederationRight]) {
    let exported = zone.mesh().await.trust_export(v1::TrustExportRequest::default()).await.unwrap();
    let stored = exported.into_inner().items;
    let items = stored.iter().map(|item| SignedTrustItem::from_file_bytes(item).unwrap()).collect();
    let Ok(ZonePin::Mesh(pin)) = zone.status().await.local_api_pin.parse() else { panic!("a pin") };
    let membership = Membership::from_items(&pin.mesh, None, items).unwrap();
    let member = membership.member(&pin.zone).unwrap();
    let request = GrantRequest {
        zone: pin.zone,
        zone_key: member.key,
        prefixes: member.prefixes.clone(),
        tunnel_ips: member.tunnel_ips.clone(),
        federations: rights.to_vec(),
    };
    let grant = TrustItem::Grant(membership.draft_grant(request, UnixMillis(1)).unwrap());
    let authority = AuthorityIdentity::from_base64(zone.file("authority.key").trim()).unwrap();
    let item = sign(membership.authority_set().1, &grant, &[&authority]);
    let import = v1::TrustImportRequest { items: vec![item.to_file_bytes()] };
    let taken = zone.mesh().await.trust_import(import).await.unwrap().into_inner();
    assert_eq!((taken.stored, taken.rejected.len()), (1, 0));
}

/// That is what a registration comes to which a grant lets pass.
fn panic_unless_good(kind: RefusalKind) -> Code {
    assert_eq!(kind, RefusalKind::Invalid);
    Code::InvalidArgument
}

pub(crate) fn right(federation: &str, host: bool, train: bool) -> FederationRight {
    FederationRight { federation: federation.parse().unwrap(), host, train }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_hosts_and_trains_in_what_its_grant_names_and_in_all_if_it_names_none() {
    let place = place(24, 1);
    let mut zone = serving(place, &[("superlink", ""), ("supernode", "")]).await;
    zone.mesh().await.mesh_init(founding()).await.unwrap();
    let key = place.identity().public_key();
    let proof = |secret, role: v1::VmRole| v1::VmProof {
        token: token(ZonePin::Key(key), secret).reveal().to_owned(),
        role: role.into(),
    };
    let mut gateway = pinned(place, &key).await;
    let mut refusals = async |federation: &str| {
        let token = token(ZonePin::Key(key), 0);
        let (registered, _) = registered(&mut gateway, federation, &token, None).await.refusal();
        let mut codes = vec![match registered {
            Refused::Ended(code) => code,
            Refused::Kept(kind) => panic_unless_good(kind),
        }];
        let superlink = proof(0, v1::VmRole::Superlink);
        let supernode = proof(1, v1::VmRole::Supernode);
        for proof in [Some(superlink), Some(supernode), None] {
            let question = v1::ResolveRequest { federation: federation.to_owned(), proof };
            codes.push(gateway.resolve(question).await.map_or_else(|s| s.code(), |_| Code::Ok));
        }
        codes
    };
    let (open, no) = (Code::InvalidArgument, Code::PermissionDenied);
    assert_eq!(refusals("health-eu").await, [open, Code::Ok, Code::Ok, Code::Ok]);
    granted_for(&zone, &[right("health-eu", true, false), right("other-eu", false, true)]).await;
    assert_eq!(refusals("health-eu").await, [open, Code::Ok, no, Code::Ok]);
    assert_eq!(refusals("weather-eu").await, [no; 4]);
    assert_eq!(refusals("other-eu").await, [no, no, Code::Ok, Code::Ok]);
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_takes_hosting_from_the_zone_that_hosts_warns_and_is_a_finding_there() {
    let place = place(28, 1);
    let mut zone = serving(place, &[]).await;
    zone.mesh().await.mesh_init(founding()).await.unwrap();
    let member = zone.mesh().await.zone_list(v1::ZoneListRequest {}).await.unwrap().into_inner();
    let member = member.zones.into_iter().next().unwrap();
    let grant = async |rights: [&str; 2]| {
        let request = v1::ZoneGrantRequest {
            zone: member.zone.clone(),
            zone_key: member.zone_key.clone(),
            prefixes: member.prefixes.clone(),
            tunnel_ips: Vec::new(),
            federations: rights.map(str::to_owned).to_vec(),
        };
        zone.mesh().await.zone_grant(request).await.unwrap().into_inner().warnings
    };
    let lost = async || {
        let findings = zone.findings().await.into_iter().filter(|found| found.code == "P320");
        findings.map(|found| found.subject).collect::<Vec<_>>()
    };
    assert_eq!(grant(["health-eu=host,train", "weather-eu=host"]).await, [""; 0]);
    assert_eq!(lost().await, [""; 0]);
    let warned = grant(["health-eu=train", "weather-eu=host"]).await;
    let expected = format!("{} hosts health-eu now, and this grant takes that away", member.zone);
    assert!(warned.len() == 1 && warned[0].starts_with(&expected), "{warned:?}");
    assert!(warned[0].ends_with("grant health-eu=host too"), "{warned:?}");
    assert_eq!(lost().await, ["health-eu"]);
    assert_eq!(grant(["health-eu=none", "weather-eu=host"]).await, [""; 0], "it hosts it no more");
    assert_eq!(grant(["health-eu=host", "weather-eu=host"]).await, [""; 0]);
    assert_eq!(lost().await, [""; 0]);
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supernode_in_a_session_hears_that_its_zone_may_not_train_there_any_more() {
    let place = place(25, 1);
    let mut zone = serving(place, &[("supernode", "")]).await;
    zone.mesh().await.mesh_init(founding()).await.unwrap();
    let key = place.identity().public_key();
    let token = token(ZonePin::Key(key), 0);
    let mut gateway = pinned(place, &key).await;
    let hello = CompanionHello::by(&"weather-eu".parse().unwrap(), &token, VmRole::SuperNode);
    let mut session = LocalSession::open(&mut gateway, hello.clone(), &[]).await.unwrap();
    assert!(session.inbound.message().await.unwrap().is_some());
    granted_for(&zone, &[right("health-eu", true, true)]).await;
    let ended = async {
        loop {
            if let Err(status) = session.inbound.message().await {
                break status;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert!(ended.message().contains("take part in the federation weather-eu"), "{ended}");
    let again = LocalSession::open(&mut gateway, hello, &[]).await.err().unwrap();
    assert_eq!(again.code(), Code::PermissionDenied);
    zone.stop().await;
}

/// A OneGate that gives this answer to everybody, and what it was asked.
async fn onegate(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
    let (mut serving, notes) = (JoinSet::new(), asked.clone());
    serving.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            *notes.lock().unwrap() = String::from_utf8(request).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked, serving)
}

macro_rules! vm {
    ($state:literal, $address:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"VM\":{\"ID\":\"7\",\"STATE\":\"",
            $state,
            "\",\"LCM_STATE\":\"3\",\"TEMPLATE\":{\"NIC\":[{\"IP\":\"",
            $address,
            "\"}]}}}"
        )
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_vms_prove_themselves_by_onegate_the_token_alone_is_not_enough() {
    let unknown = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n";
    let broken = "HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n";
    let denied = Refused::Kept(RefusalKind::NotAllowed);
    let passes = Refused::Kept(RefusalKind::Unavailable);
    let cases = [
        (true, vm!("3", "127.0.0.1"), GOOD),
        (true, vm!("3", "10.20.1.9"), (denied, "has another address")),
        (true, vm!("8", "127.0.0.1"), (passes, "does not run")),
        (true, unknown, (denied, "does not know this VM")),
        (true, broken, (passes, "does not answer")),
        (false, vm!("3", "127.0.0.1"), (denied, "ONEAPP_ZONEMESH_IDENTITY=onegate")),
    ];
    for ((shows, answer, (expected, words)), mesh) in cases.into_iter().zip(30..) {
        let place = place(mesh, 1);
        let (address, asked, _serving) = onegate(answer).await;
        let more = format!("onegate = \"http://{address}\"");
        let mut zone = serving_with(place, &[("superlink", "")], &more).await;
        let key = place.identity().public_key();
        let proof = OneGateIdentity { vm: "7".to_owned(), token: "dG9rZW4=".to_owned().into() };
        let token = token(ZonePin::Key(key), 0);
        let mut gateway = pinned(place, &key).await;
        let proof = shows.then_some(proof);
        let said = registered(&mut gateway, "health-eu", &token, proof).await;
        let (refused, why) = said.refusal();
        assert_eq!(refused, expected, "{why}");
        assert!(why.contains(words), "{why}");
        let asked = asked.lock().unwrap().to_ascii_lowercase();
        assert_eq!(asked.contains("x-onegate-token: dg9rzw4="), shows, "{asked}");
        zone.stop().await;
    }
}

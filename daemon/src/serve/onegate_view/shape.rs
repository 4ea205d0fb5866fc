//! A federation in OneGate's JSON: its SuperLink as a VM, the whole as a OneFlow service. Pure.
//!
//! As OneGate writes it: numbers of a VM are texts, those of a service are numbers except its `id`,
//! and without `extended` a service tells no attributes. No text comes from another zone unless it can
//! have but one meaning: a gate of OneFlow opens at the letters READY=YES, wherever they stand.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zonemesh_api::wire::local::{FederationAnswer, RegisteredSuperLink};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::Readiness;

/// Numbers of the two VMs within an answer; no OpenNebula knows them.
const SUPERLINK: u8 = 0;
const GATEWAY: u8 = 1;
/// Bytes of a hash that tell two answers apart.
const REVISION: usize = 8;

/// A state in OpenNebula's numbers.
struct NumberedState {
    /// `STATE` and `LCM_STATE` of a VM.
    vm: [&'static str; 2],
    /// Of a service and of a role.
    service: u8,
}

const PENDING: u8 = 0;
const RUNNING: NumberedState = NumberedState { vm: ["3", "3"], service: 2 };
/// BOOT, and DEPLOYING.
const STARTING: NumberedState = NumberedState { vm: ["3", "2"], service: 1 };
/// POWEROFF, and WARNING.
const STOPPED: NumberedState = NumberedState { vm: ["8", "0"], service: 4 };
/// UNKNOWN, and WARNING.
const UNKNOWN: NumberedState = NumberedState { vm: ["3", "16"], service: 4 };

/// The gateway that answers.
pub(super) struct ViewedGateway {
    pub(super) name: String,
    pub(super) zone: ZoneName,
    /// Where it was asked.
    pub(super) address: IpAddr,
}

/// A federation as it is shown.
pub(super) struct ViewedFederation(FederationAnswer);

impl ViewedFederation {
    pub(super) fn of(seen: FederationAnswer) -> Self {
        Self(seen)
    }

    /// The same as long as what is told is the same, at whichever gateway and after a restart.
    pub(super) fn revision(&self) -> String {
        let told = self.superlink_vm().unwrap_or_default().to_string();
        let hash = Sha256::new().chain_update(self.0.name.as_str()).chain_update(told).finalize();
        hash[..REVISION].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What `GET /vm` tells: the SuperLink, if one is registered in some zone.
    pub(super) fn vm(&self) -> Option<Value> {
        let mut vm = self.superlink_vm()?;
        vm["USER_TEMPLATE"]["FL_REVISION"] = self.revision().into();
        Some(json!({ "VM": vm }))
    }

    /// What `GET /service` tells.
    pub(super) fn service(&self, gateway: &ViewedGateway, extended: bool) -> Value {
        let state = self.0.superlink.as_ref().map(|superlink| self.state(superlink));
        let is_running = state.as_ref().is_some_and(|state| state.service == RUNNING.service);
        let state = state.map_or(PENDING, |state| state.service);
        let superlink = self.vm().map(|vm| node(SUPERLINK, is_running, vm, extended));
        let gateway = node(GATEWAY, true, json!({ "VM": gateway_vm(gateway) }), extended);
        let role = |name: &str, state: u8, nodes: Vec<Value>| json!({ "name": name, "cardinality": 1, "state": state, "nodes": nodes });
        json!({ "SERVICE": {
            "name": self.0.name.as_str(),
            "id": "0",
            "state": state,
            "roles": [
                role("superlink", state, superlink.into_iter().collect()),
                role("gateway", RUNNING.service, vec![gateway]),
            ],
        } })
    }

    fn superlink_vm(&self) -> Option<Value> {
        let superlink = self.0.superlink.as_ref()?;
        let state = self.state(superlink);
        let name = format!("superlink_0_({})", self.0.name);
        let mut attributes = json!({
            "FL_ROLE": "superlink",
            "FL_FEDERATION": self.0.name.as_str(),
            "FL_ZONE": superlink.zone.as_str(),
            "FL_STATE": superlink.readiness.as_str(),
            "FL_READY": (state.service == RUNNING.service).to_string(),
            "FL_REACHABLE": superlink.zone_reachable.to_string(),
            "FL_CA_CERT": ca_certificates(superlink),
        });
        if is_version(&superlink.flower_version) {
            attributes["FL_VERSION"] = superlink.flower_version.as_str().into();
        }
        if let Some(first) = superlink.addresses.first() {
            let at = |port| SocketAddr::new(*first, port).to_string();
            attributes["FL_ENDPOINT"] = at(superlink.fleet_port).into();
            attributes["FL_CONTROL_ENDPOINT"] = at(superlink.control_port).into();
        }
        let nics = superlink.addresses.iter().map(|address| nic(*address, &superlink.zone));
        Some(vm(SUPERLINK, &name, &state, attributes, nics.collect()))
    }

    /// Ready is a SuperLink to which SuperNodes of this zone may connect now.
    fn state(&self, superlink: &RegisteredSuperLink) -> NumberedState {
        let is_out = self.0.zone_revoked.is_some() || self.0.zone_left.is_some();
        match superlink.readiness {
            Readiness::Stopped => STOPPED,
            _ if is_out || !superlink.zone_reachable => UNKNOWN,
            Readiness::Ready => RUNNING,
            Readiness::Starting => STARTING,
            Readiness::Lost | Readiness::Other(_) => UNKNOWN,
        }
    }
}

fn gateway_vm(gateway: &ViewedGateway) -> Value {
    let ViewedGateway { name, zone, address } = gateway;
    let attributes = json!({ "FL_ROLE": "gateway", "FL_ZONE": zone.as_str() });
    vm(GATEWAY, name, &RUNNING, attributes, vec![nic(*address, zone)])
}

fn vm(id: u8, name: &str, state: &NumberedState, attributes: Value, nics: Vec<Value>) -> Value {
    let [state, lcm_state] = state.vm;
    json!({
        "NAME": name,
        "ID": id.to_string(),
        "STATE": state,
        "LCM_STATE": lcm_state,
        "USER_TEMPLATE": attributes,
        "TEMPLATE": { "NIC": nics, "NIC_ALIAS": [] },
    })
}

fn nic(address: IpAddr, zone: &ZoneName) -> Value {
    match address.is_ipv4() {
        true => json!({ "IP": address.to_string(), "NETWORK": zone.as_str() }),
        false => json!({ "IP6_GLOBAL": address.to_string(), "NETWORK": zone.as_str() }),
    }
}

/// A node of a role: OneFlow knows who a VM belongs to, and not more unless it is asked.
fn node(id: u8, is_running: bool, mut vm: Value, extended: bool) -> Value {
    let owner = [("UID", "0"), ("GID", "0"), ("UNAME", "zonemesh"), ("GNAME", "zonemesh")];
    let known = |key: &str| vm["VM"][key].clone();
    if !extended {
        vm = json!({ "VM": { "ID": known("ID"), "NAME": known("NAME") } });
    }
    for (key, value) in owner {
        vm["VM"][key] = value.into();
    }
    json!({ "deploy_id": id, "running": is_running, "vm_info": vm })
}

/// All certificates to trust, in one PEM text, in base64.
fn ca_certificates(superlink: &RegisteredSuperLink) -> String {
    let pems = superlink.ca_pems().into_iter().map(|pem| format!("{}\n", pem.trim_end()));
    STANDARD.encode(pems.collect::<String>())
}

/// The zone of the SuperLink says it: what is no version is not passed on.
fn is_version(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zonemesh_api::wire::local::{ToldRevocation, TrustedCa};
    use zonemesh_core::record::{CaState, FlowerTransport};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn superlink() -> RegisteredSuperLink {
        RegisteredSuperLink {
            zone: "berlin".parse().unwrap(),
            addresses: vec![[10, 10, 10, 5].into(), "fd10::5".parse().unwrap()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".to_owned(),
            transport: FlowerTransport::Grpc,
            readiness: Readiness::Ready,
            tls_name: "superlink.health-eu".to_owned(),
            cas: vec![TrustedCa { pem: PEM.to_owned(), state: CaState::Active }],
            clock_offset_ms: Some(3),
            zone_reachable: true,
            conflict: false,
            authenticates: true,
            node: None,
        }
    }

    fn answer(superlink: Option<RegisteredSuperLink>) -> FederationAnswer {
        FederationAnswer {
            name: "health-eu".parse().unwrap(),
            superlink,
            gateway_time: UnixMillis(1_800_000_000_000),
            revision: 7,
            zone_revoked: None,
            zone_left: None,
        }
    }

    fn with(change: impl FnOnce(&mut RegisteredSuperLink)) -> ViewedFederation {
        let mut superlink = superlink();
        change(&mut superlink);
        ViewedFederation::of(answer(Some(superlink)))
    }

    fn gateway() -> ViewedGateway {
        let (name, zone) = ("madrid-gw1".to_owned(), "madrid".parse().unwrap());
        ViewedGateway { name, zone, address: [10, 10, 11, 1].into() }
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_superlink_has_the_shape_of_onegates_vm_in_which_every_number_is_a_text() {
        let shown = with(|_| {});
        let vm = &shown.vm().unwrap()["VM"];
        // What the real server builds (`build_vm_hash`), no more and no less.
        let real = ["ID", "LCM_STATE", "NAME", "STATE", "TEMPLATE", "USER_TEMPLATE"];
        assert_eq!(keys(vm), BTreeSet::from(real));
        assert_eq!(keys(&vm["TEMPLATE"]), BTreeSet::from(["NIC", "NIC_ALIAS"]));
        let states = ["NAME", "ID", "STATE", "LCM_STATE"].map(|key| vm[key].as_str().unwrap());
        assert_eq!(states, ["superlink_0_(health-eu)", "0", "3", "3"]);
        let attributes = vm["USER_TEMPLATE"].as_object().unwrap();
        assert!(attributes.values().all(Value::is_string), "{attributes:?}");
        let said = |key: &str| attributes[key].as_str().unwrap();
        assert_eq!(said("FL_ENDPOINT"), "10.10.10.5:9092");
        assert_eq!(said("FL_CONTROL_ENDPOINT"), "10.10.10.5:9093");
        let rest = ["FL_ROLE", "FL_ZONE", "FL_VERSION", "FL_READY", "FL_STATE"].map(said);
        assert_eq!(rest, ["superlink", "berlin", "1.25.0", "true", "ready"]);
        assert_eq!(STANDARD.decode(said("FL_CA_CERT")).unwrap(), PEM.as_bytes());
        assert_eq!(said("FL_REVISION"), shown.revision());
        let nics = json!([
            { "IP": "10.10.10.5", "NETWORK": "berlin" },
            { "IP6_GLOBAL": "fd10::5", "NETWORK": "berlin" },
        ]);
        assert_eq!(vm["TEMPLATE"]["NIC"], nics);
    }

    #[test]
    fn a_federation_has_the_shape_of_oneflows_service_as_onegate_shows_it() {
        let shown = with(|_| {});
        let plain = shown.service(&gateway(), false);
        let service = &plain["SERVICE"];
        assert_eq!(keys(service), BTreeSet::from(["id", "name", "roles", "state"]));
        assert_eq!(service["id"], "0", "a text, as in the real one");
        assert_eq!(service["state"], 2, "a number, as in the real one");
        let roles = service["roles"].as_array().unwrap();
        let named: Vec<_> = roles.iter().map(|role| role["name"].as_str().unwrap()).collect();
        assert_eq!(named, ["superlink", "gateway"]);
        for (role, id) in roles.iter().zip(0..) {
            assert_eq!(keys(role), BTreeSet::from(["cardinality", "name", "nodes", "state"]));
            let node = &role["nodes"][0];
            assert_eq!(keys(node), BTreeSet::from(["deploy_id", "running", "vm_info"]));
            assert_eq!(node["deploy_id"], id, "a number, as in the real one");
            // Role::VM_INFO of OneFlow: no attributes, no addresses.
            let known = ["GID", "GNAME", "ID", "NAME", "UID", "UNAME"];
            assert_eq!(keys(&node["vm_info"]["VM"]), BTreeSet::from(known));
        }
        let extended = shown.service(&gateway(), true);
        let nodes = |role: usize| &extended["SERVICE"]["roles"][role]["nodes"][0]["vm_info"]["VM"];
        assert_eq!(nodes(0)["USER_TEMPLATE"], shown.vm().unwrap()["VM"]["USER_TEMPLATE"]);
        assert_eq!(nodes(1)["TEMPLATE"]["NIC"][0]["IP"], "10.10.11.1");
        assert_eq!(nodes(1)["NAME"], "madrid-gw1");
    }

    #[test]
    fn states_are_opennebulas_and_ready_is_what_can_be_reached_and_serves() {
        let told = |shown: ViewedFederation| {
            let service = shown.service(&gateway(), false)["SERVICE"]["state"].clone();
            let vm = shown.vm().unwrap()["VM"].clone();
            let of = |key: &str| vm[key].as_str().unwrap().to_owned();
            let ready = vm["USER_TEMPLATE"]["FL_READY"].as_str().unwrap().to_owned();
            (of("STATE"), of("LCM_STATE"), service.as_u64().unwrap(), ready)
        };
        let expected = |vm: [&str; 2], service: u64, ready: &str| {
            (vm[0].to_owned(), vm[1].to_owned(), service, ready.to_owned())
        };
        for (readiness, vm, service) in [
            (Readiness::Starting, ["3", "2"], 1),
            (Readiness::Stopped, ["8", "0"], 4),
            (Readiness::Lost, ["3", "16"], 4),
            (Readiness::Other(9), ["3", "16"], 4),
        ] {
            let shown = with(|superlink| superlink.readiness = readiness);
            assert_eq!(told(shown), expected(vm, service, "false"), "{readiness:?}");
        }
        let cut = with(|superlink| superlink.zone_reachable = false);
        assert_eq!(told(cut), expected(["3", "16"], 4, "false"));
        let by = ToldRevocation { by: String::new(), at: UnixMillis(1), reason: String::new() };
        let out = FederationAnswer { zone_revoked: Some(by), ..answer(Some(superlink())) };
        assert_eq!(told(ViewedFederation::of(out)), expected(["3", "16"], 4, "false"));
        let none = ViewedFederation::of(answer(None));
        assert_eq!(none.vm(), None);
        let service = none.service(&gateway(), true);
        assert_eq!(service["SERVICE"]["state"], 0);
        assert_eq!(service["SERVICE"]["roles"][0]["nodes"], json!([]));
    }

    #[test]
    fn no_reply_can_open_the_ready_gate_of_oneflow_whatever_another_zone_says() {
        for version in ["READY=YES", "1.25.0\nREADY=YES", "\"READY\" = \"YES\"", "", "1 2"] {
            let shown = with(|superlink| {
                superlink.flower_version = version.to_owned();
                superlink.tls_name = "READY=YES".to_owned();
                superlink.cas[0].pem = "READY=YES".to_owned();
            });
            let texts = [shown.vm().unwrap(), shown.service(&gateway(), true)];
            for text in texts.map(|value| value.to_string()) {
                // As OneFlow looks for it (EventManager).
                let bare = text.replace(['"', '\\', ' ', '\n'], "");
                assert!(!bare.contains("READY=YES"), "{text}");
                assert!(!bare.contains("FL_VERSION"), "{text}");
            }
        }
        assert!(is_version("1.26.1") && is_version("1.43.0.dev20261101+local"));
    }

    #[test]
    fn a_revision_changes_with_what_is_told_and_with_nothing_else() {
        let same = with(|superlink| superlink.clock_offset_ms = Some(9));
        let mut later = answer(Some(superlink()));
        (later.gateway_time, later.revision) = (UnixMillis(1_800_000_009_000), 8);
        let revision = with(|_| {}).revision();
        assert_eq!(revision.len(), 16);
        assert_eq!(same.revision(), revision);
        assert_eq!(ViewedFederation::of(later).revision(), revision);
        let others = [
            with(|superlink| superlink.readiness = Readiness::Lost),
            with(|superlink| superlink.zone_reachable = false),
            with(|superlink| superlink.fleet_port = 1),
            with(|superlink| superlink.cas.clear()),
            ViewedFederation::of(answer(None)),
        ];
        let all: BTreeSet<_> = others.iter().map(ViewedFederation::revision).collect();
        assert!(all.len() == 5 && !all.contains(&revision), "{all:?}");
    }
}

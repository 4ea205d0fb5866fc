//! The OneFlow service that OneGate knows, and what it answers about it.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::request::AskedOneGate;
use super::{ONEGATE_VM, VM_DONE};

/// A VM of the service.
#[derive(Debug, Default)]
pub(super) struct ListedVm {
    pub(super) state: String,
    pub(super) external_ip: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
    role: String,
    /// In its name: OneFlow counts up for as long as the service lives.
    number: usize,
    is_scaled_away: bool,
}

/// A service with its roles.
#[derive(Debug, Default)]
pub(super) struct OneGateService {
    /// The VMs are in none.
    pub(super) is_none: bool,
    vms: BTreeMap<String, ListedVm>,
    wanted: BTreeMap<String, usize>,
}

/// The token of a VM: base64, as the real one is.
pub(super) fn onegate_token(id: &str) -> String {
    let text = if id == ONEGATE_VM { "token".to_owned() } else { format!("token of {id}") };
    base64::engine::general_purpose::STANDARD.encode(text)
}

impl OneGateService {
    /// A VM that is listed.
    pub(super) fn vm(&mut self, id: &str) -> &mut ListedVm {
        self.vms.get_mut(id).unwrap()
    }

    /// A VM of this role, listed from now on.
    pub(super) fn vm_is(&mut self, id: &str, role: &str, number: usize) -> &mut ListedVm {
        let vm = self.vms.entry(id.to_owned()).or_default();
        (vm.role, vm.number) = (role.to_owned(), number);
        vm
    }

    /// One more than any VM of the role has ever had.
    pub(super) fn next_number(&self, role: &str) -> usize {
        let of_role = self.vms.values().filter(|vm| vm.role == role);
        of_role.map(|vm| vm.number + 1).max().unwrap_or_default()
    }

    pub(super) fn wants(&mut self, role: &str, cardinality: usize) {
        self.wanted.insert(role.to_owned(), cardinality);
    }

    pub(super) fn leaves_role(&mut self, id: &str) {
        let vm = self.vm(id);
        (vm.state, vm.is_scaled_away) = (VM_DONE.to_owned(), true);
    }

    /// Status and body.
    pub(super) fn answer(&mut self, asked: &AskedOneGate) -> (u16, String) {
        if !self.vms.contains_key(&asked.vm) || asked.token != onegate_token(&asked.vm) {
            return (401, "Not authorized".to_owned());
        }
        let vm = asked.vm.clone();
        match asked.what.as_str() {
            "GET /vm" => (200, json!({"VM": self.described(&vm, true)}).to_string()),
            "GET /service" | "GET /service?extended=true" if self.is_none => {
                (400, format!("VM {vm} does not belong to any service"))
            }
            "GET /service" => (200, self.service(false)),
            "GET /service?extended=true" => (200, self.service(true)),
            other => match other.strip_prefix("PUT /vm").and_then(|rest| rest.split_once(' ')) {
                Some(("", form)) => self.put(&vm, form),
                // Whoever has a token of the service may write them all.
                Some((path, form)) => match path.strip_prefix("s/") {
                    Some(other) if self.vms.contains_key(other) => self.put(other, form),
                    _ => (400, "Virtual machine does not belong to the service".to_owned()),
                },
                None => (400, "OneGate server doesn't support this feature".to_owned()),
            },
        }
    }

    fn put(&mut self, id: &str, form: &str) -> (u16, String) {
        let field = |name: &str| {
            let mut fields = form.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| unescaped(value))
        };
        let data = field("data").unwrap_or_default();
        if data.contains([',', '[', ']']) {
            return (500, "Internal server error".to_owned());
        }
        // As its quoting leaves it.
        let data = data.replace('\\', "\"\\\"");
        let attributes = &mut self.vm(id).attributes;
        match (field("type").as_deref(), data.split_once('=')) {
            (Some("2"), _) => drop(attributes.remove(&data)),
            (_, Some((key, value))) => drop(attributes.insert(key.to_owned(), value.to_owned())),
            (_, None) => return (500, "Internal server error".to_owned()),
        }
        (200, String::new())
    }

    fn described(&self, id: &str, is_extended: bool) -> Value {
        let ListedVm { state, attributes, external_ip, role, number, .. } = &self.vms[id];
        let name = format!("{role}_{number}_(service_3)");
        if !is_extended {
            return json!({"ID": id, "UID": "0", "UNAME": "oneadmin", "NAME": name});
        }
        let nic = match external_ip {
            Some(external) => json!({"IP": "10.10.10.5", "EXTERNAL_IP": external}),
            None => json!({"IP": "10.10.10.5"}),
        };
        json!({"ID": id, "NAME": name, "STATE": state, "LCM_STATE": "3",
               "USER_TEMPLATE": attributes, "TEMPLATE": {"NIC": [nic]}})
    }

    fn service(&self, is_extended: bool) -> String {
        let node = |id: &String| {
            let vm = self.described(id, is_extended);
            json!({"deploy_id": id.parse::<u32>().unwrap(), "running": null, "vm_info": {"VM": vm}})
        };
        let mut nodes: BTreeMap<&str, Vec<Value>> = BTreeMap::from([("idle", Vec::new())]);
        for (id, vm) in self.vms.iter().filter(|(_, vm)| !vm.is_scaled_away) {
            nodes.entry(vm.role.as_str()).or_default().push(node(id));
        }
        let role = |(name, nodes): (&str, Vec<Value>)| {
            let cardinality = self.wanted.get(name).copied().unwrap_or(nodes.len());
            json!({"name": name, "cardinality": cardinality, "state": "2", "nodes": nodes})
        };
        let roles: Vec<Value> = nodes.into_iter().map(role).collect();
        json!({"SERVICE": {"name": "site", "id": "3", "state": 2, "roles": roles}}).to_string()
    }
}

/// A value of a form; of what is escaped, whatever this server is told.
fn unescaped(value: &str) -> String {
    let pairs = [("%3D", "="), ("%2B", "+"), ("%2F", "/"), ("%3A", ":"), ("%2C", ",")];
    pairs.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain))
}

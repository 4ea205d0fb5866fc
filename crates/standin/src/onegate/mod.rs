//! OneGate, played as unkind as the real server is.
//!
//! Copied of it: who shows a wrong token gets 401; errors are plain text that calls itself JSON; a
//! value with a comma, a bracket or a backslash ends in 500 and is not stored; `type=2` erases;
//! numbers are texts; a service without `extended` tells no attributes; a VM of no service gets 400;
//! a terminated VM stays listed with all that it had published; any VM may write the attributes of
//! another. What it does of itself at boot and under load: it answers 500, never, something else, or is not there at all.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::LOOPBACK;

/// The VM that asks.
pub const ONEGATE_VM: &str = "7";
const ONEGATE_TOKEN: &str = "dG9rZW4=";
/// The states that people meet.
pub const VM_ACTIVE: &str = "3";
/// Terminated.
pub const VM_DONE: &str = "6";

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneGateFault {
    /// `Internal server error`.
    Error,
    /// It takes the question and never answers.
    Hang,
    /// Another program's answer.
    Garbage,
}

/// A VM of the service.
#[derive(Debug, Default)]
struct ListedVm {
    state: String,
    external_ip: Option<String>,
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct OneGateState {
    vms: BTreeMap<String, ListedVm>,
    fault: Option<OneGateFault>,
    has_no_service: bool,
    asked: Vec<String>,
}

/// A OneGate with one service, which can be broken, stopped and started again.
pub struct TestOneGate {
    address: SocketAddr,
    state: Arc<Mutex<OneGateState>>,
    serving: Option<Runtime>,
}

impl Drop for TestOneGate {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestOneGate {
    /// One that works, with the VM that asks.
    pub fn start() -> Self {
        let listener = StdTcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut onegate = Self { address, state: Arc::default(), serving: None };
        onegate.has_vm(ONEGATE_VM, VM_ACTIVE);
        onegate.serve(listener);
        onegate
    }

    /// Its connections are refused from now on.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_background();
        }
    }

    /// At the same address.
    pub fn start_again(&mut self) {
        let begun = Instant::now();
        let listener = loop {
            match StdTcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The stopped runtime closes its sockets a moment later.
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.serve(listener);
    }

    fn serve(&mut self, listener: StdTcpListener) {
        listener.set_nonblocking(true).unwrap();
        let runtime = Runtime::new().unwrap();
        let state = Arc::clone(&self.state);
        let inside = runtime.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        drop(runtime.handle().spawn(async move {
            let handle = tokio::runtime::Handle::current();
            while let Ok((stream, _)) = listener.accept().await {
                drop(handle.spawn(answer(stream, Arc::clone(&state))));
            }
        }));
        drop(inside);
        self.serving = Some(runtime);
    }

    /// What CONTEXT says of it.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("ONEGATE_ENDPOINT", format!("http://{}/", self.address)),
            ("VMID", ONEGATE_VM.to_owned()),
            ("TOKENTXT", ONEGATE_TOKEN.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// How it fails from now on, if it does.
    pub fn fails(&self, fault: Option<OneGateFault>) {
        self.state.lock().unwrap().fault = fault;
    }

    /// The VMs are in no service.
    pub fn has_no_service(&self) {
        self.state.lock().unwrap().has_no_service = true;
    }

    /// A VM of the service is in this state.
    pub fn has_vm(&self, id: &str, state: &str) {
        let mut known = self.state.lock().unwrap();
        known.vms.entry(id.to_owned()).or_default().state = state.to_owned();
    }

    /// The NIC of a VM has an address outside, which is translated to its own.
    pub fn has_external_ip(&self, id: &str, address: &str) {
        let mut known = self.state.lock().unwrap();
        known.vms.get_mut(id).unwrap().external_ip = Some(address.to_owned());
    }

    /// Somebody writes an attribute of a VM, or erases it.
    pub fn write(&self, id: &str, key: &str, value: Option<&str>) {
        let mut known = self.state.lock().unwrap();
        let attributes = &mut known.vms.get_mut(id).unwrap().attributes;
        match value {
            Some(value) => drop(attributes.insert(key.to_owned(), value.to_owned())),
            None => drop(attributes.remove(key)),
        }
    }

    /// An attribute of a VM.
    pub fn attribute(&self, id: &str, key: &str) -> Option<String> {
        self.state.lock().unwrap().vms[id].attributes.get(key).cloned()
    }

    /// What it was asked so far: method, path and form.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<OneGateState>>) {
    let Some(request) = request(&mut stream).await else { return };
    let fault = {
        let mut state = state.lock().unwrap();
        state.asked.push(request.what.clone());
        state.fault
    };
    let (status, body) = match fault {
        Some(OneGateFault::Hang) => return std::future::pending().await,
        Some(OneGateFault::Error) => (500, "Internal server error".to_owned()),
        Some(OneGateFault::Garbage) => (200, "<html>It works!</html>".to_owned()),
        None => state.lock().unwrap().answer(&request),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _gone = stream.write_all((head + &body).as_bytes()).await;
}

struct AskedOneGate {
    /// Method, path and form with spaces between.
    what: String,
    is_allowed: bool,
}

async fn request(stream: &mut TcpStream) -> Option<AskedOneGate> {
    let mut bytes = Vec::new();
    let (head, rest) = loop {
        let mut buffer = [0_u8; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8(bytes.clone()).ok()?;
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), rest.to_owned());
        }
    };
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = rest.into_bytes();
    while body.len() < length {
        let mut buffer = [0_u8; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&buffer[..read]);
    }
    let first = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let form = String::from_utf8(body).ok()?;
    let shown = [header("x-onegate-vmid"), header("x-onegate-token")];
    let is_allowed = shown == [Some(ONEGATE_VM.to_owned()), Some(ONEGATE_TOKEN.to_owned())];
    Some(AskedOneGate { what: format!("{first} {form}").trim_end().to_owned(), is_allowed })
}

impl OneGateState {
    fn answer(&mut self, asked: &AskedOneGate) -> (u16, String) {
        if !asked.is_allowed {
            return (401, "Not authorized".to_owned());
        }
        match asked.what.as_str() {
            "GET /vm" => (200, json!({"VM": self.vm(ONEGATE_VM, true)}).to_string()),
            "GET /service" | "GET /service?extended=true" if self.has_no_service => {
                (400, format!("VM {ONEGATE_VM} does not belong to any service"))
            }
            "GET /service" => (200, self.service(false)),
            "GET /service?extended=true" => (200, self.service(true)),
            other => match other.strip_prefix("PUT /vm ") {
                Some(form) => self.put(form),
                None => (400, "OneGate server doesn't support this feature".to_owned()),
            },
        }
    }

    fn put(&mut self, form: &str) -> (u16, String) {
        let field = |name: &str| {
            let mut fields = form.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| unescaped(value))
        };
        let data = field("data").unwrap_or_default();
        if data.contains([',', '[', ']', '\\']) {
            return (500, "Internal server error".to_owned());
        }
        let attributes = &mut self.vms.get_mut(ONEGATE_VM).unwrap().attributes;
        match (field("type").as_deref(), data.split_once('=')) {
            (Some("2"), _) => drop(attributes.remove(&data)),
            (_, Some((key, value))) => drop(attributes.insert(key.to_owned(), value.to_owned())),
            (_, None) => return (500, "Internal server error".to_owned()),
        }
        (200, String::new())
    }

    fn vm(&self, id: &str, is_extended: bool) -> Value {
        let name = format!("supernode_{id}_(service_3)");
        if !is_extended {
            return json!({"ID": id, "UID": "0", "UNAME": "oneadmin", "NAME": name});
        }
        let ListedVm { state, attributes, external_ip } = &self.vms[id];
        let nic = match external_ip {
            Some(external) => json!({"IP": "10.10.10.5", "EXTERNAL_IP": external}),
            None => json!({"IP": "10.10.10.5"}),
        };
        json!({"ID": id, "NAME": name, "STATE": state, "LCM_STATE": "3",
               "USER_TEMPLATE": attributes, "TEMPLATE": {"NIC": [nic]}})
    }

    fn service(&self, is_extended: bool) -> String {
        let node = |id: &String| {
            let vm = self.vm(id, is_extended);
            json!({"deploy_id": id.parse::<u32>().unwrap(), "running": null, "vm_info": {"VM": vm}})
        };
        let nodes: Vec<Value> = self.vms.keys().map(node).collect();
        let role = |name: &str, nodes: Vec<Value>| json!({"name": name, "cardinality": nodes.len(), "state": "2", "nodes": nodes});
        let roles = [role("idle", Vec::new()), role("supernode", nodes)];
        json!({"SERVICE": {"name": "site", "id": "3", "state": 2, "roles": roles}}).to_string()
    }
}

/// A value of a form; of what is escaped, whatever this server is told.
fn unescaped(value: &str) -> String {
    let pairs = [("%3D", "="), ("%2B", "+"), ("%2F", "/"), ("%3A", ":"), ("%2C", ",")];
    pairs.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain))
}

/// A text as one base64 word, as gateways publish their address.
pub fn base64_word(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

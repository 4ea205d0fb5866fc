//! OneGate, played as unkind as the real server is.
//!
//! Copied of it: who shows a wrong token gets 401; errors are plain text that calls itself JSON; a
//! value with a comma, a bracket or a backslash is damaged or ends in 500; `type=2` erases; numbers
//! are texts; a service without `extended` tells no attributes; a VM of no service gets 400; a
//! terminated VM stays listed with all that it had published, and its token is still good; any VM of
//! a service may write the attributes of another. What it does of itself at boot and under load: it
//! answers 500, never, something else, or is not there at all.

mod request;
mod service;

use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::LOOPBACK;
use request::AskedOneGate;
use service::{OneGateService, onegate_token};

/// The VM that asks.
pub const ONEGATE_VM: &str = "7";
/// The role of a VM of which nothing else is said.
const USUAL_ROLE: &str = "supernode";
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

/// A fault, and what a question has in it to meet it.
#[derive(Debug)]
struct FaultOfSome {
    fault: OneGateFault,
    about: String,
}

#[derive(Debug, Default)]
struct OneGateState {
    service: OneGateService,
    fault: Option<FaultOfSome>,
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
        let onegate = Self::serving(StdTcpListener::bind((LOOPBACK, 0)).unwrap());
        onegate.has_vm(ONEGATE_VM, VM_ACTIVE);
        onegate
    }

    /// One that works, here; its service has no VM yet.
    pub fn serving(listener: StdTcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let mut onegate = Self { address, state: Arc::default(), serving: None };
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
        self.variables_of(ONEGATE_VM)
    }

    /// What the CONTEXT of this VM says of it.
    pub fn variables_of(&self, id: &str) -> Vec<(String, String)> {
        [
            ("ONEGATE_ENDPOINT", format!("http://{}/", self.address)),
            ("VMID", id.to_owned()),
            ("TOKENTXT", onegate_token(id)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// How it fails from now on, if it does.
    pub fn fails(&self, fault: Option<OneGateFault>) {
        self.state.lock().unwrap().fault =
            fault.map(|fault| FaultOfSome { fault, about: String::new() });
    }

    /// How it fails from now on, where this is part of a question's method, path and form.
    pub fn fails_about(&self, about: &str, fault: OneGateFault) {
        self.state.lock().unwrap().fault = Some(FaultOfSome { fault, about: about.to_owned() });
    }

    /// The VMs are in no service.
    pub fn has_no_service(&self) {
        self.state.lock().unwrap().service.is_none = true;
    }

    /// A VM of the service is in this state.
    pub fn has_vm(&self, id: &str, state: &str) {
        let number = id.parse().unwrap();
        self.state.lock().unwrap().service.vm_is(id, USUAL_ROLE, number).state = state.to_owned();
    }

    /// OneFlow has made a VM of this role, under the role's next number.
    pub fn makes_vm(&self, id: &str, role: &str) {
        let service = &mut self.state.lock().unwrap().service;
        let number = service.next_number(role);
        service.vm_is(id, role, number).state = VM_ACTIVE.to_owned();
    }

    /// How many VMs of this role OneFlow is to have made in the end.
    pub fn wants(&self, role: &str, cardinality: usize) {
        self.state.lock().unwrap().service.wants(role, cardinality);
    }

    /// OneFlow has terminated a VM, and its role forgets it.
    pub fn leaves_role(&self, id: &str) {
        self.state.lock().unwrap().service.leaves_role(id);
    }

    /// The NIC of a VM has an address outside, which is translated to its own.
    pub fn has_external_ip(&self, id: &str, address: &str) {
        self.state.lock().unwrap().service.vm(id).external_ip = Some(address.to_owned());
    }

    /// Somebody writes an attribute of a VM, or erases it.
    pub fn write(&self, id: &str, key: &str, value: Option<&str>) {
        let mut known = self.state.lock().unwrap();
        let attributes = &mut known.service.vm(id).attributes;
        match value {
            Some(value) => drop(attributes.insert(key.to_owned(), value.to_owned())),
            None => drop(attributes.remove(key)),
        }
    }

    /// An attribute of a VM.
    pub fn attribute(&self, id: &str, key: &str) -> Option<String> {
        self.state.lock().unwrap().service.vm(id).attributes.get(key).cloned()
    }

    /// What it was asked so far: method, path and form.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<OneGateState>>) {
    let Some(request) = AskedOneGate::read(&mut stream).await else { return };
    let fault = {
        let mut state = state.lock().unwrap();
        state.asked.push(request.what.clone());
        let met = state.fault.as_ref().filter(|some| request.what.contains(&some.about));
        met.map(|some| some.fault)
    };
    let (status, body) = match fault {
        Some(OneGateFault::Hang) => return std::future::pending().await,
        Some(OneGateFault::Error) => (500, "Internal server error".to_owned()),
        Some(OneGateFault::Garbage) => (200, "<html>It works!</html>".to_owned()),
        None => state.lock().unwrap().service.answer(&request),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _gone = stream.write_all((head + &body).as_bytes()).await;
}

/// A text as one base64 word, as gateways publish their address.
pub fn base64_word(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

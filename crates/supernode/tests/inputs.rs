//! `zonemesh-supernode plan` and `run` with what real users have given it, and with unkinder things of
//! the same kinds. docs/DEVELOPMENT.md lists the kinds.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use zonemesh_api::v1::{self, NodeAdmissionState};
use zonemesh_core::record::node_key_digest;
use zonemesh_standin::{
    CompanionProcess, LIVES, ONEGATE_VM, TestGateway, TestOneGate, TlsServer, VM_ACTIVE, leaf,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-supernode");
/// `plan`'s exit codes, as docs/REFERENCE.md has them.
const WRONG: i32 = 7;
const NOT_YET: i32 = 10;
const NODE_CONFIG: &str = "ONEAPP_FL_NODE_CONFIG";
const DEVICES: &str = "ONEAPP_FL_CUDA_VISIBLE_DEVICES";

fn companion(gateway: &TestGateway, flower: &str) -> CompanionProcess {
    let flower = ("flower-supernode", flower);
    CompanionProcess::new(PROGRAM, &gateway.variables(), flower)
}

/// A companion that reads its CONTEXT from a file.
struct ContextVm {
    _gateway: TestGateway,
    process: CompanionProcess,
    file: PathBuf,
}

impl ContextVm {
    fn new() -> Self {
        let gateway = TestGateway::start();
        let process = companion(&gateway, LIVES);
        let file = process.folder.path().join("context.sh");
        Self { _gateway: gateway, process, file }
    }

    /// `plan` with these bytes: exit code, standard output, standard error.
    fn plan(&self, bytes: &[u8]) -> (i32, String, String) {
        std::fs::write(&self.file, bytes).unwrap();
        self.plan_of(self.file.to_str().unwrap())
    }

    fn plan_of(&self, file: &str) -> (i32, String, String) {
        self.process.output(&["plan", "--context", file])
    }
}

/// Lines of others that no shell and no person would write, before one of ours and behind it.
#[tokio::test]
async fn our_lines_are_read_among_whatever_others_have_written() {
    let vm = ContextVm::new();
    let long = format!("BLOB='{}'\n", "x".repeat(1 << 20)).into_bytes();
    for foreign in [
        &b"K8S-TOKEN='a b'\nMY.VAR='1'\n9PORT='1'\n"[..],
        "STRASSE_\u{c4}='\u{df}'\n".as_bytes(),
        b"CITY='K\xf6ln'\n",
        b"\xef\xbb\xbf",
        b"NUL='a\0b'\n\0\0\n",
        b"WINDOWS='1'\r\nPATH_='C:\\temp'\r\n",
        b"MOTD='it\n",
        b"MOTD='don't panic'\n",
        b"MOTD=\"unbalanced\n",
        b"CMD=$(touch pwned)\nTICKS=`id`\nVAR=${HOME}\n",
        b"=\n==\n'\n\"\n\\\n",
        &long,
    ] {
        let ours = b"ONEAPP_FL_NODE_CONFIG='partition-id=3 num-partitions=7'\nVMID='7'\n";
        let (exit, _, errors) = vm.plan(&[foreign, ours].concat());
        let name = String::from_utf8_lossy(&foreign[..foreign.len().min(20)]).into_owned();
        assert_eq!(exit, NOT_YET, "{name}: {errors}");
        assert!(errors.len() < 4000, "{name}: {} bytes are said", errors.len());
        // It was read: another value beside it is one too many.
        let twice = [foreign, ours, b"ONEAPP_ZONEMESH_NODE_CONFIG='a=1'\n"].concat();
        let (exit, _, errors) = vm.plan(&twice);
        assert_eq!(exit, WRONG, "{name}: {errors}");
        assert!(errors.contains("is given beside ONEAPP_ZONEMESH_NODE_CONFIG"), "{name}: {errors}");
    }
    let folder = std::fs::read_dir(vm.process.folder.path()).unwrap();
    let names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name != "pwned"), "{names:?}");
}

#[tokio::test]
async fn only_a_regular_file_of_a_sane_size_is_taken_for_a_context() {
    let vm = ContextVm::new();
    let place = |name: &str| vm.process.folder.path().join(name).to_str().unwrap().to_owned();
    nix::unistd::mkfifo(place("pipe").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let endless = std::fs::File::create(place("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    std::fs::write(place("wide"), b"\xff\xfeV\0M\0I\0D\0=\0").unwrap();
    for (file, said) in [
        (place("pipe"), "it is a pipe, and no regular file"),
        (place("."), "it is a folder, and no regular file"),
        ("/dev/zero".to_owned(), "it is a device or a socket, and no regular file"),
        (place("endless"), "it is longer than 16777216 bytes"),
        (place("wide"), "it in UTF-8"),
        (place("missing"), "is the CONTEXT image mounted?"),
    ] {
        let begun = Instant::now();
        let (exit, out, errors) = vm.plan_of(&file);
        assert_eq!((exit, out.as_str()), (WRONG, ""), "{file}: {errors}");
        assert!(errors.contains(said) && errors.contains(&file), "{said:?}: {errors}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{file}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_node_config_that_flower_does_not_take_is_refused_before_its_start() {
    let mut vm = ContextVm::new();
    for (config, said) in [
        ("site=berlin", "a text stands in quotes, site='berlin'"),
        ("a=1, b=2", "pairs have no comma between them"),
        // What else people and templates write there.
        ("partition-id:0", "is no key=value"),
        ("partition-id = 0", "is no key=value"),
        ("{\"partition-id\": 0}", "is no key=value"),
        ("a=1;b=2", "a text stands in quotes"),
        ("a=99999999999999999999", "a text stands in quotes"),
        ("a=True", "a text stands in quotes"),
        ("a=\u{201c}x\u{201d}", "a text stands in quotes"),
        ("a=1 a=1", "a is there twice"),
        ("note='it's'", "a space is missing"),
    ] {
        vm.process.set(NODE_CONFIG, config);
        let (exit, out, errors) = vm.process.output(&["plan"]);
        assert_eq!((exit, out.as_str()), (WRONG, ""), "{config}: {errors}");
        assert!(errors.contains(NODE_CONFIG) && errors.contains(said), "{config}: {errors}");
    }
    for config in ["site='berlin' rate=0.5", "a=1\tb=2", "a=0x10", "n=nan", "s='\u{4f60}'"] {
        vm.process.set(NODE_CONFIG, config);
        let (exit, _, errors) = vm.process.output(&["plan"]);
        assert_eq!(exit, NOT_YET, "{config}: {errors}");
    }
}

/// The kernel's "Argument list too long" would come from a Flower that is started again for ever.
#[tokio::test]
async fn what_no_program_can_be_started_with_is_refused_with_its_length() {
    let vm = ContextVm::new();
    let longest = 128 * 1024 - 1;
    let pairs = |length: usize| format!("a='{}'", "x".repeat(length - 4));
    let devices = |length: usize| format!("0,{}1", "1,".repeat((length - 3) / 2));
    for (key, value, fits) in [
        (NODE_CONFIG, pairs(longest), true),
        (NODE_CONFIG, pairs(longest + 1), false),
        (NODE_CONFIG, pairs(1 << 20), false),
        (DEVICES, devices(longest - 22), true),
        (DEVICES, devices(longest + 2), false),
    ] {
        let (exit, _, errors) = vm.plan(format!("{key}='{value}'\n").as_bytes());
        assert_eq!(exit, if fits { NOT_YET } else { WRONG }, "{key}, {}", value.len());
        assert!(errors.len() < 2000, "{} bytes are said of {}", errors.len(), value.len());
        let said = format!("it has {} bytes", value.len());
        assert!(fits || (errors.contains(key) && errors.contains(&said)), "{errors}");
    }
}

/// The longest that is taken here is also what Flower can be started with.
#[tokio::test]
async fn flower_starts_with_the_longest_node_config_and_devices_that_are_taken() {
    let gateway = TestGateway::start();
    let names = ["127.0.0.1".parse().unwrap()];
    let served = leaf(&gateway.ca, &names, SystemTime::now());
    let server = TlsServer::start(0, served, &["h2"]).await;
    gateway.show_ready(server.address);
    let lives = "echo \"$#\" >> \"$HOME/starts\"\nsleep 600 &\nwait";
    let mut process = companion(&gateway, lives);
    // This program is itself given them in its environment.
    let room = 128 * 1024 - 1 - "ONEAPP_FL_NODE_CONFIG=".len();
    process.set(NODE_CONFIG, &format!("a='{}'", "x".repeat(room - 4)));
    process.set(DEVICES, &format!("{}1", "0,".repeat(50_000)));
    process.run();
    process.until_state("ready").await;
    assert_eq!(process.starts().len(), 1, "{}", process.log());
}

#[tokio::test]
async fn a_megabyte_in_any_value_is_told_in_a_few_words() {
    let vm = ContextVm::new();
    let long = "y ".repeat(1 << 19);
    for key in [
        "ONEAPP_ZONEMESH_FEDERATION",
        "ONEAPP_ZONEMESH_FLOWER_USER",
        "ONEAPP_FLOWER_VERSION",
        "ONEAPP_FL_TLS_ENABLED",
        "ONEAPP_FL_ISOLATION",
        "ONEAPP_FL_LOG_LEVEL",
        "ONEAPP_ZONEMESH_CLIENTAPPIO_PORT",
        "ONEGATE_ENDPOINT",
        NODE_CONFIG,
        DEVICES,
    ] {
        let (exit, _, errors) = vm.plan(format!("{key}='{long}'\n").as_bytes());
        // The environment of the process has the federation already.
        let expected = if key.ends_with("_FEDERATION") { NOT_YET } else { WRONG };
        assert_eq!(exit, expected, "{key}: {} bytes", errors.len());
        assert!(errors.len() < 3000, "{key}: {} bytes are said", errors.len());
        assert!(exit == NOT_YET || errors.contains("more characters"), "{key}: {errors}");
    }
    let key = format!("ONEAPP_FL_{}", "Z".repeat(1 << 20));
    let (exit, _, errors) = vm.plan(format!("{key}='1'\n").as_bytes());
    assert_eq!((exit, errors.len() < 3000), (NOT_YET, true), "{} bytes", errors.len());
    assert!(errors.contains("has no effect"), "{errors}");
}

#[tokio::test]
async fn nothing_in_a_context_steers_a_terminal() {
    let vm = ContextVm::new();
    let steers = "\u{202e}\u{1b}[2J\u{9b}1m\u{2028}";
    for line in [
        format!("ONEAPP_ZONEMESH_FLOWER_USER='{steers}'\n"),
        format!("{NODE_CONFIG}='{steers}=1'\n"),
        format!("ONEAPP_FL_{steers}='1'\n"),
        format!("OTHERS_{steers}=$(id)\n"),
        format!("ONEAPP_ZONEMESH_STATE_DIR='/tmp/{steers}'\n"),
    ] {
        let (_, out, errors) = vm.plan(line.as_bytes());
        for text in [&out, &errors] {
            let steering = |c: char| c != '\n' && zonemesh_core::visible::is_hidden(c);
            assert!(!text.contains(steering), "{line:?}: {text:?}");
        }
    }
}

/// A gateway whose port takes a call and says nothing, or says something else: it may be booting.
#[tokio::test]
async fn a_gateway_that_only_takes_the_call_is_not_yet_and_told_in_time() {
    let mut vm = ContextVm::new();
    for greeting in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x03\0\x02\x02\x28"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        vm.process.set("ONEAPP_ZONEMESH_GATEWAY", &address);
        let served = std::thread::spawn(move || {
            let mut calls = Vec::new();
            for call in listener.incoming().take(1) {
                let mut call = call.unwrap();
                call.write_all(greeting).unwrap();
                calls.push(call);
            }
            // Held open until the program has given up.
            std::thread::sleep(Duration::from_secs(15));
        });
        let begun = Instant::now();
        let (exit, out, errors) = vm.process.output(&["plan"]);
        assert_eq!(exit, NOT_YET, "{greeting:?}: {out}{errors}");
        let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(plan["waiting"]["code"], "N201", "{out}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        drop(served);
    }
}

/// A SuperLink that lists the key of this VM, once it is known, in this state.
async fn listed(
    gateway: &TestGateway,
    process: &CompanionProcess,
    server: &TlsServer,
    state: NodeAdmissionState,
) {
    let key = || gateway.reported.lock().unwrap().clone().unwrap_or_default().public_key;
    process.until(|_| !key().is_empty()).await;
    let key = node_key_digest(&key()).to_vec();
    gateway.show_but(server.address, |view| {
        let admission =
            v1::NodeAdmission { state: state.into(), node_id: 7, online_since_unix_s: 0 };
        view.authenticates = true;
        view.node = Some(v1::AdmittedNode { key, admission: Some(admission) });
    });
}

/// However Flower goes: who is not online at its SuperLink is not ready, and OneGate never hears so.
#[tokio::test]
async fn a_flower_that_never_gets_online_is_never_told_to_be_ready() {
    for (flower, code) in
        [("sleep 6; exit 1", "F503"), ("sleep 4", "F503"), ("kill -9 $$", "F503"), (LIVES, "")]
    {
        let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
        let names = ["127.0.0.1".parse().unwrap()];
        let served = leaf(&gateway.ca, &names, SystemTime::now());
        let server = TlsServer::start(0, served, &["h2"]).await;
        gateway.show_but(server.address, |view| view.authenticates = true);
        let mut process = companion(&gateway, flower);
        process.set(NODE_CONFIG, "a=1");
        for (key, value) in onegate.variables() {
            process.set(&key, &value);
        }
        process.run();
        listed(&gateway, &process, &server, NodeAdmissionState::Registered).await;
        process.until(|status| status["flower_starts"].as_u64() >= Some(1)).await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(9) {
            let state = process.status()["state"].clone();
            assert_ne!(state, "ready", "{flower}: {}", process.log());
            let told = onegate.attribute(ONEGATE_VM, "READY");
            assert_ne!(told.as_deref(), Some("YES"), "{flower}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(process.log().contains(code), "{flower}: {}", process.log());
    }
}

#[tokio::test]
async fn sixty_four_supernodes_of_a_role_have_sixty_four_parts() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    let names = ["127.0.0.1".parse().unwrap()];
    let server = TlsServer::start(0, leaf(&gateway.ca, &names, SystemTime::now()), &["h2"]).await;
    gateway.show_ready(server.address);
    for vm in 0..64 {
        onegate.has_vm(&vm.to_string(), VM_ACTIVE);
    }
    let mut parts = std::collections::BTreeSet::new();
    for vm in 0..64 {
        let mut process = companion(&gateway, LIVES);
        for (key, value) in onegate.variables_of(&vm.to_string()) {
            process.set(&key, &value);
        }
        let (process, (exit, out, errors)) = tokio::task::spawn_blocking(move || {
            let output = process.output(&["plan"]);
            (process, output)
        })
        .await
        .unwrap();
        assert_eq!(exit, 0, "{vm}: {out}{errors}");
        let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
        let arguments = plan["program"]["arguments"].as_array().unwrap().clone();
        let at = arguments.iter().position(|word| word == "--node-config").unwrap();
        parts.insert(arguments[at + 1].as_str().unwrap().to_owned());
        drop(process);
    }
    let expected = (0..64).map(|part| format!("partition-id={part} num-partitions=64"));
    assert_eq!(parts, expected.collect());
}

#[tokio::test]
async fn files_of_another_user_in_the_state_folder_are_taken_over_or_refused_with_their_name() {
    if !nix::unistd::geteuid().is_root() {
        // Whoever is not root owns all that it can make.
        return;
    }
    let gateway = TestGateway::start();
    let names = ["127.0.0.1".parse().unwrap()];
    let server = TlsServer::start(0, leaf(&gateway.ca, &names, SystemTime::now()), &["h2"]).await;
    gateway.show_ready(server.address);
    let mut process = companion(&gateway, LIVES);
    process.set(NODE_CONFIG, "a=1");
    process.run();
    process.until_state("ready").await;
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    // As a restored backup has it: every file another's, and closed.
    let owner = Some(nix::unistd::Uid::from_raw(54_321));
    let mut todo = vec![process.state()];
    while let Some(path) = todo.pop() {
        nix::unistd::chown(&path, owner, None).unwrap();
        if path.is_dir() && !path.is_symlink() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    process.run();
    process.until_state("ready").await;
    assert!(!process.log().contains("F503"), "{}", process.log());
    for name in ["tls/supernode.key", "tls/ca.pem", "flower", "tls"] {
        let found = std::fs::metadata(process.state().join(name)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), 0, "{name}");
    }
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    // A folder in the place of a file is nobody's to remove.
    let file = process.state().join("tls/ca.pem");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("inside")).unwrap();
    process.run();
    let status = process.until_reason("C102").await;
    assert!(status["reason"]["text"].as_str().unwrap().contains("tls/ca.pem"), "{status:#}");
}

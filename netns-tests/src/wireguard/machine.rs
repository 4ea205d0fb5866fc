//! A Linux kernel with its own WireGuard, in a virtual machine that stands for the right gateway.
//!
//! ```text
//!   router -- right: wan0 -- bridge -- tap0 -- eth0, the right gateway's addresses
//!                    192.0.2.1/30 ---- tap1 -- eth1, a shell for each connection to port 23
//! ```
//!
//! Owns the bridge, the machine and its shell. Promises that a command that fails there fails here,
//! with what it printed. Needs no KVM: the processor is emulated. `netns-tests/kernel/build.sh`
//! makes kernel and initial file system. Refuses to know what is tested.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::gateway::{PORT, inner};
use super::pair::{PairPlan, configuration};
use super::wan::{Family, Side, Wan};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const SHELL: &str = "192.0.2.2:23";
/// Where it fetches files.
const FILES: (&str, u16) = ("192.0.2.1", 7100);
/// An emulated processor boots in ten seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);
/// What the shell says behind a command's output, before its status.
const ENDED: &str = "the command ended with ";

/// A running machine; dropping it ends it.
#[derive(Debug)]
pub struct Machine<'a> {
    wan: &'a Wan,
    /// Its console is its log.
    _process: Process,
}

impl<'a> Machine<'a> {
    /// Boots it in the place of the right gateway, with that one's addresses and routes.
    ///
    /// # Errors
    /// When it was not built, qemu is missing, or it does not boot in time.
    pub fn boot(wan: &'a Wan) -> Result<Self> {
        let right = wan.namespace(Side::Right);
        connect(right)?;
        let mut command = right.command("qemu-system-x86_64");
        command.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "256"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        command.args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet", "-kernel"]);
        command.arg(built("vmlinuz")?).arg("-initrd").arg(built("initramfs")?);
        for (tap, mac) in [("tap0", "52:54:00:00:00:01"), ("tap1", "52:54:00:00:00:02")] {
            let netdev = format!("tap,id={tap},ifname={tap},script=no,downscript=no");
            let device = format!("virtio-net-pci,netdev={tap},mac={mac}");
            command.args(["-netdev", &netdev, "-device", &device]);
        }
        let mut process = Process::spawn("kernel", command, wan.folder())?;
        process.wait_for("init: ready", BOOT)?;
        let machine = Self { wan, _process: process };
        until("the machine's shell", PATIENCE, || Ok(Look::retry(machine.run("true"))))?;
        for family in [Family::V4, Family::V6] {
            machine.add_host(family, 1)?;
        }
        Ok(machine)
    }

    /// Runs a script of its shell and returns what it printed.
    ///
    /// # Errors
    /// When its last command does not end with 0, or not in time.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.wan.namespace(Side::Right).inside(|| {
            let mut shell = TcpStream::connect_timeout(&SHELL.parse::<SocketAddr>()?, PATIENCE)?;
            shell.set_read_timeout(Some(PATIENCE))?;
            // A function, as its shell has an `ip` of its own.
            let ip = "ip() { /bin/ip \"$@\"; }";
            write!(shell, "{ip}\n(\n{script}\n) 2>&1\necho \"{ENDED}$?\"\nexit\n")?;
            shell.shutdown(Shutdown::Write)?;
            let mut output = String::new();
            shell.read_to_string(&mut output).context("the machine does not answer")?;
            Ok(output)
        })?;
        let (printed, status) =
            output.rsplit_once(ENDED).with_context(|| format!("{script}: cut off: {output}"))?;
        if status.trim() != "0" {
            bail!("{script}: ended with {}: {printed}", status.trim());
        }
        Ok(printed.to_owned())
    }

    /// Puts a program of this machine, with the libraries that it needs, into the machine's `/bin`.
    ///
    /// # Errors
    /// When it cannot be read here or does not arrive there as it is.
    pub fn install(&self, program: &Path) -> Result<()> {
        let name = program.file_name().and_then(OsStr::to_str).context("a program has a name")?;
        self.put(program, &format!("/bin/{name}"))?;
        let listed = Command::new("ldd").arg(program).output().context("ldd does not run")?;
        let listed = String::from_utf8(listed.stdout)?;
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            if self.run(&format!("test -e {library}")).is_err() {
                self.put(Path::new(library), library)?;
            }
        }
        Ok(())
    }

    fn put(&self, from: &Path, to: &str) -> Result<()> {
        let data = std::fs::read(from).with_context(|| format!("{}", from.display()))?;
        let right = self.wan.namespace(Side::Right);
        let listener = right.inside(|| Ok(TcpListener::bind(FILES)?))?;
        let folder = to.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let (ip, port) = FILES;
        let receive = format!("nc {ip} {port} </dev/null >{to} 2>/dev/null; chmod 755 {to}");
        self.run(&format!("mkdir -p {folder} && ({receive}; touch {to}.here) >/dev/null 2>&1 &"))?;
        let (mut stream, _) = listener.accept().context("the machine did not connect")?;
        stream.write_all(&data)?;
        stream.shutdown(Shutdown::Write)?;
        let ((), _) = until("a file to arrive", PATIENCE, || {
            Ok(Look::retry(self.run(&format!("rm {to}.here")).map(drop)))
        })?;
        let arrived = self.run(&format!("stat -c %s {to}"))?;
        ensure!(arrived.trim() == data.len().to_string(), "{to}: {arrived} bytes arrived");
        Ok(())
    }

    /// Makes its tunnel anew: configuration, inner addresses, an MTU of 1420.
    ///
    /// # Errors
    /// When `ip` or `wg` refuses.
    pub fn configure(&self, plan: PairPlan) -> Result<()> {
        let text = configuration(self.wan, Side::Right, plan);
        let (v4, v6) = (inner(Side::Right, Family::V4), inner(Side::Right, Family::V6));
        let steps = [
            "ip link del wg0 2>/dev/null; set -e".to_owned(),
            format!("cat >/tmp/wg0.conf <<'END'\n{text}END"),
            "ip link add wg0 type wireguard".to_owned(),
            "wg setconf wg0 /tmp/wg0.conf".to_owned(),
            format!("ip addr add {v4}/24 dev wg0"),
            format!("ip addr add {v6}/64 dev wg0 nodad"),
            "ip link set wg0 mtu 1420 up".to_owned(),
        ];
        self.run(&steps.join("\n")).map(drop)
    }

    /// `wg show wg0 WHAT`, without the peer's key.
    ///
    /// # Errors
    /// When `wg` fails.
    pub fn show(&self, what: &str) -> Result<String> {
        let line = self.run(&format!("wg show wg0 {what}"))?;
        let (_, value) = line.trim().split_once('\t').context("one peer expected")?;
        Ok(value.to_owned())
    }

    /// Gives it a further address on the WAN and its default route.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_host(&self, family: Family, host: u8) -> Result<SocketAddr> {
        let address = self.wan.host(Side::Right, family, host);
        let router = self.wan.router_address(Side::Right, family);
        let length = length(family);
        let add = format!("ip addr add {address}/{length} dev eth0");
        self.run(&format!("{add} && ip route replace default via {router}"))?;
        Ok(SocketAddr::new(address, PORT))
    }

    /// Takes an address away, and with it whatever was sent from it.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn remove_host(&self, family: Family, host: u8) -> Result<()> {
        let address = self.wan.host(Side::Right, family, host);
        let router = self.wan.router_address(Side::Right, family);
        let keep = "echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries";
        let del = format!("ip addr del {address}/{} dev eth0", length(family));
        self.run(&format!("{keep}; {del} && ip route replace default via {router}")).map(drop)
    }
}

fn length(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

/// Puts the machine's cards where the right gateway was.
fn connect(right: &Namespace) -> Result<()> {
    right.ip(&["addr", "flush", "dev", "wan0"])?;
    right.ip(&["link", "add", "bridge", "type", "bridge"])?;
    for tap in ["tap0", "tap1"] {
        right.ip(&["tuntap", "add", tap, "mode", "tap"])?;
        right.ip(&["link", "set", tap, "up"])?;
    }
    for port in ["wan0", "tap0"] {
        right.ip(&["link", "set", port, "master", "bridge"])?;
    }
    right.ip(&["link", "set", "bridge", "up"])?;
    right.ip(&["addr", "add", "192.0.2.1/30", "dev", "tap1"]).map(drop)
}

fn built(file: &str) -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let path = cache.context("HOME is not set")?.join("zonemesh/kernel").join(file);
    if !path.is_file() {
        bail!("{} is missing -> netns-tests/setup.sh kernel", path.display());
    }
    Ok(path)
}

//! Two gateways' namespaces and the WAN between them, with IPv4 and IPv6.
//!
//! ```text
//!   left                              router                             right
//!   wan0 198.51.100.1/24 ------- left .254 | right .254 ------- wan0 203.0.113.1/24
//!        2001:db8:a::1/64             ::fe | ::fe                    2001:db8:b::1/64
//! ```
//!
//! The router forwards between the two and knows nothing else; addresses of attackers
//! ([`SPOOFED`]) vanish in it without a word.

use std::cell::Cell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use zonemesh_lab::faults::Faults;
use zonemesh_lab::namespace::{self, Namespace, NamespaceOwner};
use zonemesh_lab::{privilege, process};

/// Networks that spoofed packets come from (RFC 6598, RFC 2544): they route nowhere.
pub const SPOOFED: [&str; 2] = ["100.64.0.0/10", "198.18.0.0/15"];

/// Labs count from 0, these from here: their names cannot meet in one process.
const FIRST_NUMBER: u32 = 1000;

/// Which of the two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway at 198.51.100.1 and 2001:db8:a::1.
    Left,
    /// The gateway at 203.0.113.1 and 2001:db8:b::1.
    Right,
}

impl Side {
    /// Its name, which the router's interface to it has too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// Which IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The three namespaces. Taken down on drop, on panic, on SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Wan {
    left: Namespace,
    right: Namespace,
    router: Namespace,
    faults: Mutex<Faults>,
    folder: PathBuf,
    number: u32,
    succeeded: Cell<bool>,
}

impl Wan {
    /// Builds it.
    ///
    /// # Errors
    /// When this process may not make namespaces, or a tool is missing.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(FIRST_NUMBER);
        privilege::current()?;
        namespace::clean_up_on_signals();
        namespace::reap(false)?;
        let owner = NamespaceOwner::Process(std::process::id());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = |name| Namespace::create(owner, number, name);
        let wan = Self {
            left: namespace("left")?,
            right: namespace("right")?,
            router: namespace("router")?,
            faults: Mutex::default(),
            folder: namespace::folder_of(owner, number)?,
            number,
            succeeded: Cell::new(false),
        };
        let forwarding = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
        wan.router.run(&[&["sysctl", "-qw"][..], &forwarding[..]].concat())?;
        for network in SPOOFED {
            wan.router.ip(&["route", "add", "blackhole", network])?;
        }
        for side in [Side::Left, Side::Right] {
            wan.connect(side)?;
        }
        Ok(wan)
    }

    fn connect(&self, side: Side) -> Result<()> {
        let namespace = self.namespace(side);
        let name = side.name();
        let peer = ["type", "veth", "peer", "name", "wan0", "netns", namespace.name()];
        self.router.ip(&[&["link", "add", name][..], &peer[..]].concat())?;
        for family in [Family::V4, Family::V6] {
            let router = self.router_address(side, family).to_string();
            add_address(&self.router, name, &router)?;
            add_address(namespace, "wan0", &self.address(side, family).to_string())?;
        }
        self.router.ip(&["link", "set", name, "up"])?;
        namespace.ip(&["link", "set", "wan0", "up"])?;
        self.add_default_routes(side)
    }

    /// Gives a gateway its default routes, again after it lost them.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_default_routes(&self, side: Side) -> Result<()> {
        for family in [Family::V4, Family::V6] {
            let router = self.router_address(side, family).to_string();
            self.namespace(side).ip(&["route", "replace", "default", "via", &router])?;
        }
        Ok(())
    }

    /// A gateway's namespace.
    #[must_use]
    pub fn namespace(&self, side: Side) -> &Namespace {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// The router between them: one interface per side, named after it.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// A gateway's address on the WAN.
    #[must_use]
    pub fn address(&self, side: Side, family: Family) -> IpAddr {
        self.host(side, family, 1)
    }

    /// The router's address on a gateway's network.
    #[must_use]
    pub fn router_address(&self, side: Side, family: Family) -> IpAddr {
        self.host(side, family, 0xfe)
    }

    /// Address number `host` on a gateway's network.
    #[must_use]
    pub fn host(&self, side: Side, family: Family, host: u8) -> IpAddr {
        match (side, family) {
            (Side::Left, Family::V4) => [198, 51, 100, host].into(),
            (Side::Right, Family::V4) => [203, 0, 113, host].into(),
            (Side::Left, Family::V6) => [0x2001, 0xdb8, 0xa, 0, 0, 0, 0, host.into()].into(),
            (Side::Right, Family::V6) => [0x2001, 0xdb8, 0xb, 0, 0, 0, 0, host.into()].into(),
        }
    }

    /// A name for an interface that nobody else on this machine uses: the UAPI sockets of all
    /// namespaces share one folder.
    #[must_use]
    pub fn interface(&self, end: char) -> String {
        format!("wg{}{end}{}", std::process::id(), self.number - FIRST_NUMBER)
    }

    /// Puts a further address on a gateway's WAN interface.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_host(&self, side: Side, family: Family, host: u8) -> Result<IpAddr> {
        let address = self.host(side, family, host);
        add_address(self.namespace(side), "wan0", &address.to_string())?;
        Ok(address)
    }

    /// Takes an address from a gateway's WAN interface.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn remove_host(&self, side: Side, family: Family, host: u8) -> Result<()> {
        let address = with_length(&self.host(side, family, host).to_string());
        self.namespace(side).ip(&["addr", "del", &address, "dev", "wan0"]).map(drop)
    }

    /// Cuts a gateway off (or connects it again): its packets vanish without a word.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn cut(&self, side: Side, cut: bool) -> Result<()> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.set_cut(&self.router, side.name(), cut)
    }

    /// Where logs go.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends a test that went well: without this, dropping the WAN prints every log.
    ///
    /// # Errors
    /// When a process that ran here panicked.
    pub fn succeeded(&self) -> Result<()> {
        for (path, log) in self.logs()? {
            let panicked = log.contains("panicked at") || log.contains("the lane panicked");
            anyhow::ensure!(!panicked, "{} has a panic:\n{}", path.display(), process::tail(&log));
        }
        self.succeeded.set(true);
        Ok(())
    }

    fn logs(&self) -> Result<Vec<(PathBuf, String)>> {
        let paths = std::fs::read_dir(&self.folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
        paths.sort();
        let read = |path: PathBuf| -> Result<_> {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            Ok((path, process::without_colours(&text)))
        };
        paths.into_iter().map(read).collect()
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        use std::io::Write as _;
        if !self.succeeded.get() {
            for (path, log) in self.logs().unwrap_or_default() {
                let mut err = std::io::stderr().lock();
                let _ = writeln!(err, "---- {} ----\n{}", path.display(), process::tail(&log));
            }
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn with_length(address: &str) -> String {
    format!("{address}/{}", if address.contains(':') { 64 } else { 24 })
}

fn add_address(namespace: &Namespace, interface: &str, address: &str) -> Result<()> {
    let address = with_length(address);
    let mut args = vec!["addr", "add", &address, "dev", interface];
    if address.contains(':') {
        // Usable at once: duplicate address detection takes a second.
        args.push("nodad");
    }
    namespace.ip(&args).map(drop)
}

//! Zones, their gateways and VMs, and the WAN between them, as network namespaces.
//!
//! ```text
//!   VM namespaces        gateway namespace             router namespace            other zones
//!   eth0 10.10.10.5 ---- lan0 10.10.10.1 | wan0 198.51.100.1 ---- berlin 198.51.100.254
//!   eth0 10.10.10.6 --/  (bridge)                                 madrid 203.0.113.254 ---- ...
//! ```
//!
//! The router knows the WAN networks only: a packet for another zone's LAN goes nowhere unless
//! something on the gateways carries it. All links are made inside the namespaces.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::faults::{self, Faults};
use crate::namespace::{self, Namespace, NamespaceOwner};
use crate::privilege;
use crate::process;

/// Networks set aside for documentation and benchmarks (RFC 5737, RFC 2544): they route nowhere.
const WAN_NETWORKS: [[u8; 3]; 6] =
    [[198, 51, 100], [203, 0, 113], [192, 0, 2], [198, 18, 0], [198, 18, 1], [198, 18, 2]];

const FIRST_VM_HOST: u8 = 5;

/// A zone to build: its name and its VMs' names.
#[derive(Debug, Clone, Copy)]
pub struct ZonePlan<'a> {
    /// The zone's name; at most 15 characters, it names an interface too.
    pub name: &'a str,
    /// The VMs on its LAN, from .5 upwards.
    pub vms: &'a [&'a str],
}

/// One zone that is up.
#[derive(Debug)]
pub struct LabZone {
    /// The zone's name.
    pub name: String,
    /// The gateway: `lan0` towards the VMs, `wan0` towards the router, forwarding on.
    pub gateway: Namespace,
    /// The gateway's address on the WAN.
    pub wan_address: Ipv4Addr,
    /// The gateway's address on the LAN; the network is its /24.
    pub lan_address: Ipv4Addr,
    /// The address the zone's tunnel interface is to have.
    pub tunnel_address: Ipv4Addr,
    vms: Vec<Vm>,
}

/// One VM: an interface `eth0` on the zone's LAN, its default route at the gateway.
#[derive(Debug)]
pub struct Vm {
    name: String,
    /// Where its processes run.
    pub namespace: Namespace,
    /// Its address on the LAN.
    pub address: Ipv4Addr,
}

impl LabZone {
    /// The LAN in CIDR form.
    #[must_use]
    pub fn prefix(&self) -> String {
        let [a, b, c, _] = self.lan_address.octets();
        format!("{a}.{b}.{c}.0/24")
    }

    /// All its VMs.
    #[must_use]
    pub fn vms(&self) -> &[Vm] {
        &self.vms
    }

    /// A VM by name.
    ///
    /// # Errors
    /// When the zone has none of this name.
    pub fn vm(&self, name: &str) -> Result<&Vm> {
        let found = self.vms.iter().find(|vm| vm.name == name);
        found.with_context(|| format!("zone {} has no VM {name}", self.name))
    }
}

/// The whole: taken down on drop, on panic, on SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Lab {
    zones: Vec<LabZone>,
    router: Namespace,
    faults: Faults,
    folder: PathBuf,
    kept: bool,
    succeeded: bool,
}

impl Lab {
    /// Builds the zones, connected by the router.
    ///
    /// # Errors
    /// When this process may not make namespaces, or a tool is missing.
    pub fn new(zones: &[ZonePlan<'_>]) -> Result<Self> {
        Self::owned_by(NamespaceOwner::Process(std::process::id()), zones)
    }

    /// As [`Lab::new`], but it stays up when this process ends; `make clean-lab` removes it.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn new_kept(zones: &[ZonePlan<'_>]) -> Result<Self> {
        Self::owned_by(NamespaceOwner::Kept(std::process::id()), zones)
    }

    fn owned_by(owner: NamespaceOwner, plans: &[ZonePlan<'_>]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        privilege::current()?;
        namespace::clean_up_on_signals();
        namespace::reap(false)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = namespace::folder_of(owner, number)?;
        let router = Namespace::create(owner, number, "router")?;
        router.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
        without_ipv6(&router)?;
        let mut lab = Self {
            zones: Vec::new(),
            router,
            faults: Faults::default(),
            folder,
            kept: matches!(owner, NamespaceOwner::Kept(_)),
            succeeded: false,
        };
        for plan in plans {
            let zone = lab.build_zone(owner, number, plan)?;
            lab.zones.push(zone);
        }
        Ok(lab)
    }

    fn build_zone(
        &self,
        owner: NamespaceOwner,
        number: u32,
        plan: &ZonePlan<'_>,
    ) -> Result<LabZone> {
        let index = u8::try_from(self.zones.len()).context("too many zones")?;
        let Some([a, b, c]) = WAN_NETWORKS.get(usize::from(index)).copied() else {
            bail!("the Lab has addresses for {} zones", WAN_NETWORKS.len());
        };
        let gateway = Namespace::create(owner, number, &format!("{}-gw", plan.name))?;
        without_ipv6(&gateway)?;
        let mut zone = LabZone {
            name: plan.name.to_owned(),
            gateway,
            wan_address: Ipv4Addr::new(a, b, c, 1),
            lan_address: Ipv4Addr::new(10, 10, 10 + index, 1),
            tunnel_address: Ipv4Addr::new(10, 255, 0, index + 1),
            vms: Vec::new(),
        };
        self.connect_to_router(&zone, Ipv4Addr::new(a, b, c, 254))?;
        zone.gateway.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
        zone.gateway.ip(&["link", "add", "lan0", "type", "bridge"])?;
        up_with_address(&zone.gateway, "lan0", zone.lan_address)?;
        for (host, vm) in (FIRST_VM_HOST..).zip(plan.vms) {
            let namespace = Namespace::create(owner, number, &format!("{}-{vm}", plan.name))?;
            let vm = connect_vm(&zone, vm, namespace, host)?;
            zone.vms.push(vm);
        }
        Ok(zone)
    }

    fn connect_to_router(&self, zone: &LabZone, router_address: Ipv4Addr) -> Result<()> {
        let peer = ["type", "veth", "peer", "name", "wan0", "netns", zone.gateway.name()];
        self.router.ip(&[&["link", "add", &zone.name][..], &peer[..]].concat())?;
        up_with_address(&self.router, &zone.name, router_address)?;
        up_with_address(&zone.gateway, "wan0", zone.wan_address)?;
        zone.gateway.ip(&["route", "add", "default", "via", &router_address.to_string()])?;
        Ok(())
    }

    /// A zone by name.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn zone(&self, name: &str) -> Result<&LabZone> {
        let found = self.zones.iter().find(|zone| zone.name == name);
        found.with_context(|| format!("the Lab has no zone {name}"))
    }

    /// All zones, in the order they were planned.
    #[must_use]
    pub fn zones(&self) -> &[LabZone] {
        &self.zones
    }

    /// The WAN router: one interface per zone, named after it; address .254 of its WAN network.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// Where logs, captures and the binaries' own files of this Lab go.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Cuts a zone off the WAN: its packets vanish without a word.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn cut(&mut self, zone: &str) -> Result<()> {
        self.faults.set_cut(&self.router, zone, true)
    }

    /// Ends [`Lab::cut`].
    ///
    /// # Errors
    /// When nft refuses.
    pub fn heal(&mut self, zone: &str) -> Result<()> {
        self.faults.set_cut(&self.router, zone, false)
    }

    /// Takes a zone's WAN link down (or up again): the gateway sees the carrier go.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn unplug(&self, zone: &str, unplugged: bool) -> Result<()> {
        let state = if unplugged { "down" } else { "up" };
        self.router.ip(&["link", "set", zone, state]).map(drop)
    }

    /// Loses this share of a zone's packets on the WAN, each way.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn lose(&mut self, zone: &str, percent: f64) -> Result<()> {
        self.faults.set_loss(&self.router, zone, percent)
    }

    /// Drops a zone's WAN packets longer than this, without telling anyone. From then on the
    /// gateways cut their bulk themselves: what the router gets in one piece it would take for one
    /// long packet.
    ///
    /// # Errors
    /// When nft or `ip` refuses.
    pub fn mtu_hole(&mut self, zone: &str, largest: Option<u16>) -> Result<()> {
        for zone in &self.zones {
            zone.gateway.ip(&["link", "set", "wan0", "gso_max_segs", "1"])?;
        }
        self.faults.set_mtu_hole(&self.router, zone, largest)
    }

    /// Limits a zone's WAN link to this rate, each way.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub fn limit(&self, zone: &str, mbit: Option<u32>) -> Result<()> {
        faults::set_rate(&self.router, zone, mbit)?;
        faults::set_rate(&self.zone(zone)?.gateway, "wan0", mbit)
    }

    /// Teaches the WAN the zones' LANs, as if they were public: for tests of the Lab itself.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn route_lans_over_wan(&self) -> Result<()> {
        for zone in &self.zones {
            let via = zone.wan_address.to_string();
            self.router.ip(&["route", "replace", &zone.prefix(), "via", &via])?;
        }
        Ok(())
    }

    /// Ends a scenario that went well: without this, dropping the Lab prints every log.
    ///
    /// # Errors
    /// When something panicked on the way: no scenario is good then.
    pub fn succeeded(&mut self) -> Result<()> {
        for path in self.logs()? {
            let log = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            anyhow::ensure!(!log.contains("panicked at"), "{} has a panic", path.display());
        }
        self.succeeded = true;
        Ok(())
    }

    fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs: Vec<PathBuf> = std::fs::read_dir(&self.folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
            .collect();
        logs.sort();
        Ok(logs)
    }

    fn print_logs(&self) -> Result<()> {
        use std::io::Write;
        let mut err = std::io::stderr().lock();
        for path in self.logs()? {
            let bytes = std::fs::read(&path)?;
            let text = process::without_colours(&String::from_utf8_lossy(&bytes));
            writeln!(err, "---- {} ----\n{}", path.display(), process::tail(&text))?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.succeeded {
            drop(self.print_logs());
        }
        if !self.kept {
            self.zones.clear();
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

fn connect_vm(zone: &LabZone, name: &str, namespace: Namespace, host: u8) -> Result<Vm> {
    without_ipv6(&namespace)?;
    let port = format!("vm{host}");
    let peer = ["type", "veth", "peer", "name", "eth0", "netns", namespace.name()];
    zone.gateway.ip(&[&["link", "add", &port][..], &peer[..]].concat())?;
    zone.gateway.ip(&["link", "set", &port, "master", "lan0", "up"])?;
    let [a, b, c, _] = zone.lan_address.octets();
    let address = Ipv4Addr::new(a, b, c, host);
    up_with_address(&namespace, "eth0", address)?;
    namespace.ip(&["route", "add", "default", "via", &zone.lan_address.to_string()])?;
    Ok(Vm { name: name.to_owned(), namespace, address })
}

fn up_with_address(namespace: &Namespace, interface: &str, address: Ipv4Addr) -> Result<()> {
    namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", interface])?;
    namespace.ip(&["link", "set", interface, "up"]).map(drop)
}

/// No router solicitations and no MLD on the links, so that a capture shows the binaries alone.
fn without_ipv6(namespace: &Namespace) -> Result<()> {
    let off = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
    namespace.run(&[&["sysctl", "-qw"][..], &off[..]].concat()).map(drop)
}

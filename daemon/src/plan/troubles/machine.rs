//! What is wrong with the machine, and with what it talks with beside the mesh.
//!
//! Promises: the same sights give the same findings. Refuses to know how they are seen
//! (`act::lookout`).

use std::collections::BTreeSet;
use std::time::Duration;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

/// Files that were set aside and are told by name.
const NAMED: usize = 3;

/// An etcd that is out of reach.
#[derive(Debug, Clone)]
pub(crate) struct EtcdSight {
    pub(crate) url: String,
    pub(crate) error: String,
}

/// IPv6 that is wanted and switched off.
#[derive(Debug, Clone)]
pub(crate) struct Ipv6Sight {
    /// The kernel's switch.
    pub(crate) switch: String,
    /// Addresses and networks of IPv6 that are left out.
    pub(crate) left_out: u64,
}

/// What is seen of the machine and of what it talks with.
#[derive(Debug, Clone, Default)]
pub(crate) struct MachineSight {
    pub(crate) clock_behind: Option<Duration>,
    /// The kernel's switches that are off and that the zone needs.
    pub(crate) not_forwarded: Vec<String>,
    /// In words, what is wrong with the interfaces of the zone's own network.
    pub(crate) lan_down: Vec<String>,
    /// In words, what is wrong with the interfaces that lead to other gateways.
    pub(crate) wan_down: BTreeSet<String>,
    /// What there is of IPv6 in this gateway's part of the mesh, where the machine has none.
    pub(crate) without_ipv6: Option<Ipv6Sight>,
    /// Bulk work that is not done: its kind and its state.
    pub(crate) bulk_work_missing: Vec<String>,
    /// What is tried to reach etcd, if it is not reached.
    pub(crate) etcd_lost: Option<EtcdSight>,
    pub(crate) state_folder: FolderSight,
}

/// What is seen of the state folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FolderSight {
    /// Where it is.
    pub(crate) path: String,
    /// Why nothing can be written there; empty if it can be.
    pub(crate) unwritable: String,
    /// Who else can open it; empty if nobody can.
    pub(crate) open_to: String,
    /// Files in it that could not be used.
    pub(crate) set_aside: Vec<String>,
}

/// Whether a file of the state folder may have said who is out of the mesh. Drafts are believed by nobody.
fn is_of_trust(file: &str) -> bool {
    file.strip_prefix("trust/").is_some_and(|name| !name.contains('/'))
}

/// What is wrong with the machine and with etcd.
pub(crate) fn of_machine(machine: &MachineSight) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(behind) = machine.clock_behind {
        let seconds = Evidence::Seconds(behind.as_secs());
        found.push(Finding::new(Code::ClockWentBack, Subject::Here).with(seconds));
    }
    if !machine.not_forwarded.is_empty() {
        let switches = machine.not_forwarded.iter().cloned().map(Evidence::Setting);
        let off = Finding::new(Code::ForwardingOff, Subject::Here);
        found.push(switches.fold(off, Finding::with));
    }
    if !machine.lan_down.is_empty() {
        let wrong = Evidence::Found(machine.lan_down.join(", "));
        found.push(Finding::new(Code::LanDown, Subject::Here).with(wrong));
    }
    if !machine.wan_down.is_empty() {
        let wrong = machine.wan_down.iter().cloned().map(Evidence::Found);
        let down = Finding::new(Code::WanDown, Subject::Here);
        found.push(wrong.fold(down, Finding::with));
    }
    if let Some(ipv6) = &machine.without_ipv6 {
        let off = Finding::new(Code::Ipv6Off, Subject::Here);
        let setting = Evidence::Setting(ipv6.switch.clone());
        found.push(off.with(setting).with(Evidence::Count(ipv6.left_out)));
    }
    if !machine.bulk_work_missing.is_empty() {
        let reason = Evidence::Reason(machine.bulk_work_missing.join(", "));
        found.push(Finding::new(Code::BulkWorkRefused, Subject::Here).with(reason));
    }
    if let Some(etcd) = &machine.etcd_lost {
        let lost = Finding::new(Code::EtcdOutOfReach, Subject::Here);
        let lost = lost.with(Evidence::Address(etcd.url.clone()));
        found.push(lost.with(Evidence::Reason(etcd.error.clone())));
    }
    let FolderSight { path, unwritable, open_to, set_aside } = &machine.state_folder;
    let about = |code| Finding::new(code, Subject::File(path.clone()));
    if !unwritable.is_empty() {
        let reason = Evidence::Reason(unwritable.clone());
        found.push(about(Code::StateFolderUnwritable).with(reason));
    }
    if !open_to.is_empty() {
        found.push(about(Code::StateFolderOpen).with(Evidence::Found(open_to.clone())));
    }
    let (trust, other): (Vec<_>, Vec<_>) = set_aside.iter().partition(|file| is_of_trust(file));
    for (code, files) in [(Code::TrustSetAside, trust), (Code::FileSetAside, other)] {
        if !files.is_empty() {
            let named = files.iter().take(NAMED).map(|file| Evidence::File((*file).clone()));
            let aside = about(code).with(Evidence::Count(files.len() as u64));
            found.push(named.fold(aside, Finding::with));
        }
    }
    found
}

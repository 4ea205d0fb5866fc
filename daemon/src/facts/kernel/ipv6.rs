//! Whether IPv6 is switched on for an interface of this machine.

use std::fs;
use std::path::Path;

use zonemesh_core::kernel::Ipv6State;

/// The kernel's switches; without IPv6 it has none.
const SWITCHES: &str = "/proc/sys/net/ipv6/conf";

/// What an interface has; one that is still to come has what the kernel gives new ones.
pub(crate) fn state(interface: &str) -> Ipv6State {
    state_below(Path::new(SWITCHES), interface)
}

fn state_below(switches: &Path, interface: &str) -> Ipv6State {
    let of = |interface: &str| fs::read_to_string(switches.join(interface).join("disable_ipv6"));
    match of(interface).or_else(|_none_yet| of("default")) {
        Err(_) => Ipv6State::Absent,
        Ok(switch) if switch.trim() == "0" => Ipv6State::On,
        Ok(_) => Ipv6State::Off,
    }
}

/// The switch of an interface, as `sysctl` knows it.
pub(crate) fn switch(interface: &str) -> String {
    // A dot in a name is a slash to sysctl.
    format!("net.ipv6.conf.{}.disable_ipv6", interface.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_still_to_come_has_what_new_ones_get() {
        let folder = tempfile::tempdir().unwrap();
        let set = |interface: &str, value: &str| {
            let at = folder.path().join(interface);
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join("disable_ipv6"), value).unwrap();
        };
        let state = |interface| state_below(folder.path(), interface);
        assert_eq!(state("zm0"), Ipv6State::Absent);
        set("default", "1\n");
        assert_eq!(state("zm0"), Ipv6State::Off);
        set("zm0", "0\n");
        assert_eq!((state("zm0"), state("wan0")), (Ipv6State::On, Ipv6State::Off));
        assert_eq!(switch("lan.7"), "net.ipv6.conf.lan/7.disable_ipv6");
    }
}

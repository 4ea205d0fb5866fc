//! Is the gateway a router? Says what to do if not; never changes the switches itself.

use std::iter;

use ipnet::IpNet;

/// Warns when the kernel does not forward packets of a family that the zone uses.
pub(crate) fn warn_if_off(prefixes: &[IpNet]) {
    for switch in switched_off(prefixes, iter::empty()) {
        tracing::warn!(
            "{switch} is off: this gateway carries only its own traffic; run: sysctl -w {switch}=1 (and keep it in /etc/sysctl.d/)"
        );
    }
}

/// The kernel's switches that are off and that the zone needs. Those of `interfaces` are IPv4's: of IPv6
/// there is only the one for all.
pub(crate) fn switched_off<'a>(
    prefixes: &[IpNet],
    interfaces: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let has = |is_one: fn(&IpNet) -> bool| prefixes.iter().any(is_one);
    let v4 = has(|prefix| matches!(prefix, IpNet::V4(_))).then_some("net/ipv4/ip_forward");
    let v6 = has(|prefix| matches!(prefix, IpNet::V6(_))).then_some("net/ipv6/conf/all/forwarding");
    let all_off = |switch: &&str| is_off(switch);
    let mut off: Vec<String> = v4.into_iter().chain(v6).filter(all_off).map(dotted).collect();
    // While the one for all of IPv4 is off, it is what is wrong.
    if v4.is_some_and(|switch| !is_off(switch)) {
        let of_each = interfaces.map(|name| format!("net/ipv4/conf/{name}/forwarding"));
        off.extend(of_each.filter(|switch| is_off(switch)).map(|switch| dotted(&switch)));
    }
    off
}

/// As `sysctl` takes it: a name of an interface with a dot only comes with slashes.
fn dotted(switch: &str) -> String {
    if switch.contains('.') { switch.to_owned() } else { switch.replace('/', ".") }
}

fn is_off(switch: &str) -> bool {
    let read = std::fs::read_to_string(format!("/proc/sys/{switch}"));
    read.is_ok_and(|text| text.trim() == "0")
}

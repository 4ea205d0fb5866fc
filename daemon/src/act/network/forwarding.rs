//! Is the gateway a router? Says what to do if not; never changes the switch itself.

use ipnet::IpNet;

/// Warns when the kernel does not forward packets of a family that the zone uses.
pub(crate) fn warn_if_off(prefixes: &[IpNet]) {
    for switch in switched_off(prefixes) {
        tracing::warn!(
            "{switch} is off: this gateway carries only its own traffic; run: sysctl -w {switch}=1 (and keep it in /etc/sysctl.d/)"
        );
    }
}

/// The kernel's switches that are off and that the zone needs.
pub(crate) fn switched_off(prefixes: &[IpNet]) -> Vec<&'static str> {
    let v4 = prefixes.iter().any(|prefix| matches!(prefix, IpNet::V4(_)));
    let v6 = prefixes.iter().any(|prefix| matches!(prefix, IpNet::V6(_)));
    let switches = [(v4, "net.ipv4.ip_forward"), (v6, "net.ipv6.conf.all.forwarding")];
    let used = switches.into_iter().filter(|(used, _)| *used).map(|(_, switch)| switch);
    used.filter(|switch| is_off(switch)).collect()
}

fn is_off(switch: &str) -> bool {
    let file = format!("/proc/sys/{}", switch.replace('.', "/"));
    std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "0")
}

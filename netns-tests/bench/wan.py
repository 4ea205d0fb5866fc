"""Checks that a WAN mode does to packets what it says.

Looks at the wire while one TCP stream runs: the size of what the sender hands to the link, and how
many packets of the link the receiver's IP layer gets as one. A mode that does something else makes
every figure of its run meaningless, so the benchmark refuses to go on.
"""

import pathlib

import machine
import measure

#: A datagram of a 1500-byte link with its Ethernet header; more is a super-packet.
ONE_PACKET = 1514


class WrongMode(Exception):
    """The WAN does not do what its mode says; the text holds what it does."""


def check(site):
    """Measures one second; returns {metric: number}, or raises WrongMode."""
    before, received_before = _link(site, "ga", "tx"), _received(site)
    arrived_before = _link(site, "gb", "rx")
    measure.tcp(site, "hb", 1, 4, "fwd", 1)
    after, received_after = _link(site, "ga", "tx"), _received(site)
    arrived_after = _link(site, "gb", "rx")
    packets = max(1, after[0] - before[0])
    size = (after[1] - before[1]) / packets
    merged = (arrived_after[0] - arrived_before[0]) / max(1, received_after - received_before)
    found = {"sent_bytes": round(size), "merged_packets": round(merged, 1)}
    wrong = _contradiction(site.wan_mode, size, merged)
    if wrong:
        raise WrongMode(f"WAN mode {site.wan_mode}: {wrong} ({found})")
    return found


def _contradiction(mode, size, merged):
    if mode == "on":
        return "" if size > 4 * ONE_PACKET else "super-packets are cut before they leave"
    if size > ONE_PACKET:
        return "super-packets leave uncut"
    if mode == "seg":
        return "" if merged > 2 else "nothing is merged on arrival"
    return "" if merged < 1.5 else "packets are merged on arrival"


def _link(site, place, direction):
    """Packets and bytes that crossed the WAN's end at a gateway."""
    folder = "/sys/class/net/wan/statistics"
    words = [f"{folder}/{direction}_{what}" for what in ("packets", "bytes")]
    return [int(word) for word in machine.run(*site.enter(place), "cat", *words).split()]


def _received(site):
    """Packets that the IP layer of gateway b got, merged ones counted once."""
    pid = pathlib.Path(f"/proc/{site.daemons['b'].process.pid}/net/snmp")
    names, values = [
        line.split()[1:]
        for line in pid.read_text(encoding="ascii").splitlines()
        if line.startswith("Ip:")
    ]
    return int(values[names.index("InReceives")])

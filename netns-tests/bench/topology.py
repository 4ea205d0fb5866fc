"""Two sites and the Internet between them, as four network namespaces per implementation:

    host a -- gateway a == WAN == gateway b -- host b
    .1.10     .1.1  10.99.0.1   10.99.0.2 .2.1     .2.10      (192.168.x and fd00:x::)

Owns the names `zb<pid>-<index>-<place>`. Promises that they go with the benchmark, and that those
of a killed one go at the next start. Every link is made inside these namespaces: the network of
the machine itself is never touched.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time

import machine
import peers

PREFIX = "zb"
PING_SECONDS = 15
#: Offloads of the WAN's two ends in each mode; what a mode does is checked by wan.py.
#:   on   super-packets pass whole, like a NIC with USO and hardware GRO
#:   seg  segmented in software on the way out, merged on the way in, like a NIC without USO
#:   off  neither: one packet each
WAN_MODES = {
    "on": [],
    "seg": ["tx-udp-segmentation", "off", "tso", "off", "gro", "on"],
    "off": ["tx-udp-segmentation", "off", "gso", "off", "tso", "off", "gro", "off"],
}


@dataclasses.dataclass(frozen=True)
class Side:
    """The addresses of one site."""

    name: str
    number: int

    @property
    def wan(self):
        """The gateway's address on the WAN."""
        return f"10.99.0.{self.number}"

    def tunnel(self, family):
        """The gateway's address in the tunnel."""
        return f"10.98.0.{self.number}" if family == 4 else f"fd00:98::{self.number}"

    def lan(self, family):
        """The site's network."""
        return f"192.168.{self.number}.0/24" if family == 4 else f"fd00:{self.number}::/64"

    def on_lan(self, family, last):
        """An address in the site's network: 1 is the gateway, 10 the host."""
        return f"192.168.{self.number}.{last}" if family == 4 else f"fd00:{self.number}::{last}"


A, B = Side("a", 1), Side("b", 2)


class Topology:
    """One implementation between two sites."""

    def __init__(self, index, peer, wan_mode, folder):
        self.peer = peer
        self.index = index
        self.wan_mode = wan_mode
        self.folder = pathlib.Path(folder) / peer.name
        self.folder.mkdir(parents=True, exist_ok=True)
        own = f"{PREFIX}{os.getpid()}-{index}"
        self.namespaces = {place: f"{own}-{place}" for place in ("ha", "ga", "gb", "hb")}
        self.keys = {"a": peers.new_keys(), "b": peers.new_keys()}
        self.daemons = {}
        self.servers = []

    def enter(self, place):
        """The command prefix that runs a command at a place."""
        return ["ip", "netns", "exec", self.namespaces[place]]

    def ip(self, place, *words):
        """Runs `ip` at a place."""
        machine.run("ip", "-n", self.namespaces[place], *words)

    def up(self):
        """Makes everything, and waits until the hosts reach each other."""
        for namespace in self.namespaces.values():
            machine.run("ip", "netns", "add", namespace)
            machine.run("ip", "-n", namespace, "link", "set", "lo", "up")
        self._cable("ha", "ga", "lan")
        self._cable("hb", "gb", "lan")
        self._cable("ga", "gb", "wan")
        for side in (A, B):
            self._address(side)
            if WAN_MODES[self.wan_mode]:
                enter = self.enter("g" + side.name)
                machine.run(*enter, "ethtool", "-K", "wan", *WAN_MODES[self.wan_mode])
        for side in (A, B):
            self.connect(side)
        for place in ("hb", "gb"):
            self._serve(place)
        for family in self.peer.families():
            self._wait_for_ping(family)

    def _cable(self, one, other, name):
        end = self.namespaces[other]
        mtu = ("mtu", "1500")
        self.ip(one, "link", "add", name, *mtu, "type", "veth", "peer", name, *mtu, "netns", end)
        self.ip(one, "link", "set", name, "up")
        self.ip(other, "link", "set", name, "up")

    def _address(self, side):
        host, gateway = "h" + side.name, "g" + side.name
        self.ip(gateway, "addr", "add", f"{side.wan}/24", "dev", "wan")
        for family, length in ((4, 24), (6, 64)):
            for place, last in ((host, 10), (gateway, 1)):
                address = f"{side.on_lan(family, last)}/{length}"
                nodad = ["nodad"] if family == 6 else []
                self.ip(place, "addr", "add", address, "dev", "lan", *nodad)
            via = side.on_lan(family, 1)
            self.ip(host, f"-{family}", "route", "add", "default", "via", via)
        forwarding = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        machine.run(*self.enter(gateway), "sysctl", "-qw", *forwarding)

    def connect(self, side):
        """Starts a side's daemon and routes the other site through it."""
        if self.peer.kind == "none":
            return self._route_plainly(side)
        far, gateway = other(side), "g" + side.name
        daemon = peers.Daemon(self.peer, self._words(side), self.enter(gateway))
        self.daemons[side.name] = daemon
        daemon.start()
        if self.peer.kind == "uapi":
            nets = [far.lan(4), f"{far.tunnel(4)}/32", far.lan(6), f"{far.tunnel(6)}/128"]
            private, public = self.keys[side.name][0], self.keys[far.name][1]
            daemon.configure(private, public, f"{far.wan}:{peers.PORT}", nets)
        interface = daemon.interface
        self.ip(gateway, "addr", "replace", f"{side.tunnel(4)}/24", "dev", interface)
        self.ip(gateway, "link", "set", interface, "mtu", str(self.peer.mtu), "up")
        self.ip(gateway, "route", "replace", far.lan(4), "dev", interface)
        if self.peer.inner_ipv6:
            v6 = f"{side.tunnel(6)}/64"
            self.ip(gateway, "addr", "replace", v6, "dev", interface, "nodad")
            self.ip(gateway, "-6", "route", "replace", far.lan(6), "dev", interface)

    def _route_plainly(self, side):
        far, gateway = other(side), "g" + side.name
        self.ip(gateway, "route", "add", far.lan(4), "via", far.wan)
        # IPv6 over the same cable.
        address = f"fd00:99::{side.number}/64"
        self.ip(gateway, "addr", "add", address, "dev", "wan", "nodad")
        self.ip(gateway, "-6", "route", "add", far.lan(6), "via", f"fd00:99::{far.number}")

    def _words(self, side):
        far = other(side)
        return {
            "if": f"{PREFIX}{os.getpid()}x{self.index}{side.name}",
            "side": side.name,
            "dir": self.folder,
            "port": peers.PORT,
            "wan_local": side.wan,
            "wan_remote": far.wan,
            "mtu": self.peer.mtu,
        }

    def _serve(self, place):
        command = [*self.enter(place), "iperf3", "-s"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.servers.append(machine.spawn(command, **quiet))

    def _wait_for_ping(self, family):
        deadline = time.monotonic() + PING_SECONDS
        target = B.on_lan(family, 10)
        while not machine.succeeds(*self.enter("ha"), "ping", "-qc1", "-W1", target):
            if time.monotonic() > deadline:
                text = f"{self.peer.name}: host a does not reach {target}, logs in {self.folder}"
                raise machine.CommandFailed(text)

    def target(self, place, family):
        """The address of a place of side b, as seen from side a."""
        if place == "hb":
            return B.on_lan(family, 10)
        if self.peer.kind == "none":
            return B.wan if family == 4 else f"fd00:99::{B.number}"
        return B.tunnel(family)

    def cpu_seconds(self):
        """CPU time of both daemons so far."""
        return sum(daemon.cpu_seconds() for daemon in self.daemons.values())

    def down(self):
        """Removes everything, whatever state it is in."""
        for daemon in self.daemons.values():
            daemon.stop()
        for server in self.servers:
            machine.end(server)
        for namespace in self.namespaces.values():
            _remove(namespace)


def other(side):
    """The far side."""
    return B if side is A else A


def remove_leftovers():
    """Removes the namespaces of benchmarks that were killed."""
    for line in machine.run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        owner = name.removeprefix(PREFIX).split("-")[0]
        if not name.startswith(PREFIX) or name.count("-") != 2 or not owner.isdigit():
            continue
        if not pathlib.Path(f"/proc/{owner}").exists():
            _remove(name)
            for socket in peers.SOCKETS.glob(f"{PREFIX}{owner}x*.sock"):
                socket.unlink(missing_ok=True)


def _remove(namespace):
    if not pathlib.Path(f"/run/netns/{namespace}").exists():
        return
    for pid in machine.run("ip", "netns", "pids", namespace, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    machine.run("ip", "netns", "del", namespace, check=False)

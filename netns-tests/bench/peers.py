"""The implementations that are compared, and one running instance of one.

Owns peers.json and how a daemon is started, configured and stopped. A peer is of one of three
kinds:
  uapi   `start` creates the TUN {if} and its WireGuard UAPI socket; configured here with `wg`
  cmd    `prepare` (optional) writes a configuration, `start` creates the TUN {if} with it
  none   no tunnel: plain routing over the WAN
Refuses to know namespaces and measurements; a gateway gives it a place to run in.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
PORT = 51820
START_SECONDS = 10
SOCKETS = pathlib.Path("/var/run/wireguard")


class NotInstalled(Exception):
    """The program of a peer is not there; the text says which."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """An implementation, as peers.json describes it."""

    name: str
    kind: str
    start: str = ""
    prepare: str = ""
    environment: dict = dataclasses.field(default_factory=dict)
    mtu: int = 1420
    #: Whether it carries IPv6 inside the tunnel.
    inner_ipv6: bool = True

    def families(self):
        """The IP versions that it carries."""
        return (4, 6) if self.inner_ipv6 else (4,)


def load(file, names=None):
    """The peers of a file, all or those named, in the order of the names."""
    peers = [Peer(**entry) for entry in json.loads(pathlib.Path(file).read_text(encoding="utf-8"))]
    if not names:
        return peers
    known = {peer.name: peer for peer in peers}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"{file}: no peer {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def places():
    """Words for the folders in which programs are looked for."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    target = os.environ.get("CARGO_TARGET_DIR") or machine.ROOT / "target"
    return {
        "release": f"{target}/release",
        "peers": f"{cache}/zonemesh/peers/bin",
        "bin": str(machine.OUTPUT / "bin"),
        "tools": str(HERE / "tools"),
    }


def fill(template, words):
    """Puts words in the place of their {names}."""
    for name, value in words.items():
        template = template.replace("{" + name + "}", str(value))
    return template


def new_keys():
    """A WireGuard key pair: private, public."""
    private = machine.run("wg", "genkey").strip()
    return private, machine.run("wg", "pubkey", stdin=private).strip()


class Daemon:
    """One peer's program on one gateway."""

    def __init__(self, peer, words, enter):
        """`words` fill its templates; `enter` is the command prefix that enters its gateway."""
        self.peer = peer
        self.words = {**places(), **words}
        self.enter = enter
        self.interface = words["if"]
        self.log = pathlib.Path(words["dir"]) / f"{words['side']}.log"
        self.process = None

    def start(self):
        """Starts the program and waits until its TUN, or its UAPI socket, is there."""
        if self.peer.prepare:
            machine.run(*shlex.split(fill(self.peer.prepare, self.words)))
        command = shlex.split(fill(self.peer.start, self.words))
        if shutil.which(command[0]) is None:
            raise NotInstalled(f"{command[0]} is missing")
        with open(self.log, "ab") as log:
            self.process = machine.spawn(
                [*self.enter, *command],
                env={**os.environ, **self.peer.environment},
                stdout=log,
                stderr=log,
            )
        self._wait_until_there()

    def _wait_until_there(self):
        probe = ["ip", "link", "show", self.interface]
        command = ["wg", "show", self.interface] if self.peer.kind == "uapi" else probe
        deadline = time.monotonic() + START_SECONDS
        while not machine.succeeds(*self.enter, *command):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise machine.CommandFailed(f"{self.peer.name} did not start, see {self.log}")
            time.sleep(0.002)

    def configure(self, private_key, peer_key, endpoint, allowed_ips):
        """Gives a UAPI daemon its key and its one peer."""
        text = (
            f"[Interface]\nPrivateKey={private_key}\nListenPort={PORT}\n"
            f"[Peer]\nPublicKey={peer_key}\nEndpoint={endpoint}\n"
            f"AllowedIPs={','.join(allowed_ips)}\nPersistentKeepalive=25\n"
        )
        machine.run("wg", "setconf", self.interface, "/dev/stdin", stdin=text)

    def add_strangers(self, numbers, keys):
        """Adds peers that never answer: what they cost is memory and timers."""
        text = "".join(
            f"[Peer]\nPublicKey={keys[n]}\nEndpoint=10.99.0.{3 + n % 200}:{PORT}\n"
            f"AllowedIPs=10.{100 + n // 250}.{n % 250}.0/24\n"
            for n in numbers
        )
        machine.run("wg", "addconf", self.interface, "/dev/stdin", stdin=text)

    def cpu_seconds(self):
        """CPU time so far."""
        return machine.cpu_seconds(self.process.pid)

    def resident_megabytes(self):
        """Memory now."""
        return machine.resident_megabytes(self.process.pid)

    def stop(self):
        """Ends the program and removes the socket that some leave behind."""
        if self.process is None:
            return
        machine.end(self.process)
        self.process = None
        with contextlib.suppress(OSError):
            (SOCKETS / f"{self.interface}.sock").unlink()

#!/usr/bin/env python3
"""What a look at a gateway costs it: `zonemesh status` and `zonemesh show` with many peers.

    status.py [--peers 100,1000] [--calls 40] [--bin-dir DIR]

Starts zonemeshd in a network namespace of its own with hand-written peers that nobody answers for,
and asks it again and again. Prints the daemon's CPU time for each call, what it does anyway taken
off, and the client's wall time: medians, and the ratio of the last to the first number of peers.
The numbers alternate in rounds, so that what else the machine does hits all of them. Compares
builds by --bin-dir or ZONEMESH_BIN_DIR. Needs root or user namespaces; reads /proc.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile
import time

import machine

INSIDE = "ZONEMESH_BENCH_NAMESPACE"
PATIENCE_S = 120
ROUNDS = 5
#: How long the daemon is left alone before each round, to see what it does anyway.
REST_S = 2
FIELD = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD


def main():
    """Arguments -> namespace -> gateways -> rounds -> table."""
    arguments = _arguments()
    _enter_namespace()
    sizes = [int(size) for size in arguments.peers.split(",")]
    costs = {}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zb-")))
        gateways = [
            stack.enter_context(Gateway(arguments.bin_dir, folder / str(size), place, size))
            for place, size in enumerate(sizes)
        ]
        for _round in range(ROUNDS):
            for gateway in gateways:
                idle = gateway.idle_rate()
                for what in ("status", "show"):
                    samples = costs.setdefault((what, gateway.size), [])
                    samples.append(gateway.cost(what, -(-arguments.calls // ROUNDS), idle))
    _print(sizes, costs, arguments)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default="100,1000")
    parser.add_argument("--calls", type=int, default=40)
    built = machine.ROOT / "target" / "release"
    parser.add_argument("--bin-dir", default=os.environ.get("ZONEMESH_BIN_DIR", built))
    return parser.parse_args()


def _enter_namespace():
    """Goes on in an empty network namespace."""
    if os.environ.get(INSIDE):
        machine.run("ip", "link", "set", "lo", "up")
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    words = ["unshare", *user, "--net", sys.executable, *sys.argv]
    os.execvpe(words[0], words, {**os.environ, INSIDE: "1"})


class Gateway:
    """A daemon with `size` peers, and what it costs to look at it."""

    def __init__(self, binaries, folder, place, size):
        folder.mkdir()
        self.size = size
        self._binaries = pathlib.Path(binaries)
        self._folder = folder
        self._place = place
        self._socket = folder / "admin.sock"
        self._daemon = None

    def __enter__(self):
        file = self._folder / "zonemesh.toml"
        file.write_text(_configuration(self._folder, self._place, self.size), encoding="utf-8")
        log = open(self._folder / "log", "wb")
        words = [self._binaries / "zonemeshd", "run", "--config", file]
        self._daemon = machine.spawn(words, stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *_error):
        machine.end(self._daemon)

    def _wait(self):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self._daemon.poll() is None:
            with contextlib.suppress(ValueError, subprocess.TimeoutExpired):
                if len(json.loads(self._ask("status", "-o", "json"))["peers"]) == self.size:
                    return
            time.sleep(0.2)
        log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        sys.exit(f"the gateway with {self.size} peers does not answer:\n{log[-4000:]}")

    def _ask(self, *words):
        words = [self._binaries / "zonemesh", "--socket", self._socket, *words]
        # Its exit code tells that the peers are down, as they are.
        return subprocess.run(words, capture_output=True, check=False, timeout=60).stdout

    def idle_rate(self):
        """CPU seconds a second while nobody asks."""
        before, began = self._cpu(), time.monotonic()
        time.sleep(REST_S)
        return (self._cpu() - before) / (time.monotonic() - began)

    def cost(self, what, calls, idle):
        """The daemon's CPU and the client's wall milliseconds for one call, of `calls`."""
        words = ["show", f"zone-{self.size // 2}"] if what == "show" else ["status"]
        before, began = self._cpu(), time.monotonic()
        for _call in range(calls):
            self._ask(*words)
        took = time.monotonic() - began
        cpu = self._cpu() - before - idle * took
        return 1e3 * cpu / calls, 1e3 * took / calls

    def _cpu(self):
        """CPU seconds so far: of all threads to the nanosecond, where the kernel tells."""
        tasks = pathlib.Path(f"/proc/{self._daemon.pid}/task").glob("*/schedstat")
        nanoseconds = [int(task.read_text(encoding="ascii").split()[0]) for task in tasks]
        return sum(nanoseconds) / 1e9 or machine.cpu_seconds(self._daemon.pid)


def _configuration(folder, place, size):
    """A gateway with `size` peers without endpoints: they cost nothing while nobody asks."""
    peers = "".join(
        f"""
[[peer]]
zone = "zone-{number}"
wireguard_key = "{_base64(secrets.token_bytes(32))}"
zone_key = "ed25519:{_base64(_zone_key())}"
prefixes = ["10.{100 + 20 * place + number // 256}.{number % 256}.0/24"]
tunnel_addresses = ["10.{210 + place}.{number // 256}.{number % 256}"]
"""
        for number in range(size)
    )
    return f"""
[zone]
name = "here"
prefixes = ["10.99.{place}.0/24"]
[gateway]
state_dir = "{folder}/state"
admin_socket = "{folder}/admin.sock"
[tunnel]
interface = "zb{place}"
addresses = ["10.201.0.{1 + place}"]
listen_port = {51820 + 100 * place}
lanes = 1
{peers}"""


def _base64(key):
    return base64.b64encode(key).decode("ascii")


def _zone_key():
    """A point of Ed25519 whose private half nobody has."""
    while True:
        y = secrets.randbelow(FIELD)
        square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, FIELD) % FIELD
        if pow(square, (FIELD - 1) // 2, FIELD) == 1:
            return y.to_bytes(32, "little")


def _print(sizes, costs, arguments):
    calls = ROUNDS * -(-arguments.calls // ROUNDS)
    print(f"{arguments.bin_dir}: {calls} calls in {ROUNDS} rounds, medians and spread of rounds\n")
    print(f"{'command':<10}{'peers':>7}{'daemon CPU ms':>16}{'':16}{'client wall ms':>16}")
    ratios = []
    for what in ("status", "show"):
        medians = {}
        for size in sizes:
            cpus, walls = zip(*costs[what, size])
            medians[size] = statistics.median(cpus)
            spread = f"({min(cpus):.3f} to {max(cpus):.3f})"
            wall = statistics.median(walls)
            print(f"{what:<10}{size:>7}{medians[size]:>16.3f} {spread:<15}{wall:>16.1f}")
        ratios.append(f"{what} {medians[sizes[-1]] / medians[sizes[0]]:.1f}")
    print(f"\ndaemon CPU with {sizes[-1]} peers over {sizes[0]}: {', '.join(ratios)}")


if __name__ == "__main__":
    main()

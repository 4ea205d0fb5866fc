"""A run: all implementations alive at once, measured in turn, round after round.

In a round each test goes over all peers before the next test begins, forwards in one round and
backwards in the next: two peers' samples of a round lie seconds apart, and what the machine does
beside hits none of them alone. Promises that namespaces and daemons are gone when it ends, however
it ends. Refuses to know what the tests do.
"""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import time

import goals
import machine
import measure
import peers as implementations
import topology
import wan

#: What a single failing peer may raise; the others go on.
FAILURES = (
    machine.CommandFailed,
    implementations.NotInstalled,
    subprocess.SubprocessError,
    OSError,
    ValueError,
    KeyError,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one WAN mode's part of a run measures."""

    mode: str
    peers: list
    tests: tuple
    rounds: int
    seconds: int
    memory_rounds: int = 0


class Samples:
    """The file of samples: one JSON object per line, written as they come."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self.folder / "samples.jsonl", "a", encoding="utf-8")

    def take(self, site, number, test, measurement):
        """Does one measurement and writes what it found, or why it found nothing."""
        sample = {"mode": site.wan_mode, "round": number, "peer": site.peer.name, "test": test}
        try:
            sample |= measurement(site)
        except FAILURES as error:
            sample["error"] = f"{type(error).__name__}: {error}"[:300]
            say(f"{site.peer.name} {test}: {sample['error']}")
        self._file.write(json.dumps(sample) + "\n")
        self._file.flush()

    def close(self):
        """No more samples."""
        self._file.close()


def say(line):
    """Tells the person at the terminal how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def run(plan, samples):
    """Carries out a plan."""
    with machine.alone(), contextlib.ExitStack() as stack:
        topology.remove_leftovers()
        sites = _build(plan, samples.folder, stack)
        _check_wan(plan, sites)
        for number in range(plan.rounds):
            _round(plan, sites if number % 2 == 0 else sites[::-1], number, samples)
            say(f"{plan.mode}: round {number + 1} of {plan.rounds} done")
        for site in sites:
            if site.daemons:
                samples.take(site, 0, "memory_after_load", measure.memory_after_load)
    if plan.memory_rounds:
        with machine.alone():
            _memory(plan, samples)


def _build(plan, folder, stack):
    sites = []
    for index, peer in enumerate(plan.peers):
        site = topology.Topology(index, peer, plan.mode, folder)
        # Before `up`, so that half a topology is removed too.
        stack.callback(site.down)
        try:
            site.up()
        except FAILURES as error:
            if peer.name == goals.OURS:
                raise machine.CommandFailed(f"{peer.name}: {error} -> run `make bench`") from error
            say(f"left out: {peer.name}: {error}")
            site.down()
            continue
        sites.append(site)
    say(f"{plan.mode}: up: {', '.join(site.peer.name for site in sites)}")
    return sites


def _check_wan(plan, sites):
    names = ("relay-gso-chacha", "relay-gso-none", "zonemesh")
    able = [site for name in names for site in sites if site.peer.name == name]
    if not able:
        say(f"{plan.mode}: the WAN mode is not checked: none of {', '.join(names)} is up")
        return
    say(f"{plan.mode}: the WAN does what it says: {wan.check(able[0])} ({able[0].peer.name})")


def _round(plan, sites, number, samples):
    known = measure.tests(plan.seconds)
    for test in plan.tests:
        for site in sites:
            if test.endswith("_v6") and 6 not in site.peer.families():
                continue
            samples.take(site, number, test, known[test])


def _memory(plan, samples):
    for number in range(plan.memory_rounds):
        for index, peer in enumerate(plan.peers):
            if peer.kind != "uapi":
                continue
            site = topology.Topology(100 + index, peer, plan.mode, samples.folder)
            try:
                site.up()
                samples.take(site, number, "memory", measure.memory)
            except FAILURES as error:
                say(f"memory: left out: {peer.name}: {error}")
            finally:
                site.down()
        say(f"memory: round {number + 1} of {plan.memory_rounds} done")

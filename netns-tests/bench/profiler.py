"""Where the time of the daemons goes: perf while one TCP stream runs, sender and receiver apart.

Needs `perf` (package linux-perf); samples the CPU clock, because virtual machines rarely have
hardware counters.
"""

import shutil
import subprocess
import time

import campaign
import machine
import topology

SECONDS = 3
LINES = 28


def profile(peer, mode, folder):
    """Prints the profile of both daemons of a peer."""
    if shutil.which("perf") is None:
        raise SystemExit("perf is missing -> apt-get install linux-perf")
    site = topology.Topology(90, peer, mode, folder)
    with machine.alone():
        try:
            site.up()
            _sample(site)
        finally:
            site.down()


def _sample(site):
    load = ["iperf3", "-c", site.target("hb", 4), "-t", str(SECONDS + 1)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stream = machine.spawn([*site.enter("ha"), *load], **quiet)
    time.sleep(0.5)
    recordings = {}
    for side, daemon in site.daemons.items():
        file = site.folder / f"perf.{side}"
        words = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", str(file)]
        words += ["-p", str(daemon.process.pid), "--", "sleep", str(SECONDS - 1)]
        recordings[side] = machine.spawn(words, **quiet)
    for recording in recordings.values():
        recording.wait()
    stream.wait()
    for side, role in (("a", "sender"), ("b", "receiver")):
        campaign.say(f"{site.peer.name}, {role}:")
        print(_read(site.folder / f"perf.{side}"))


def _read(file):
    words = ["perf", "report", "-i", str(file), "--no-children", "--stdio", "-g", "none"]
    said = machine.run(*words, "--sort", "dso,sym", check=False, timeout=120)
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines[:LINES])

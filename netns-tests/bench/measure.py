"""The measurements: each takes a topology and returns {metric: number}.

Metrics
  mbps          goodput that the receiver saw
  cpu_s_per_gb  CPU seconds of both daemons per gigabyte (10^9 bytes) delivered
  retransmits   TCP segments sent again
  pps           UDP packets per second with less than 1 % lost
  p50_us p99_us round trip
  rss_mb ...    resident memory of one daemon
Refuses to know rounds, goals and output.
"""

import base64
import json
import os
import re
import subprocess
import time

import machine
import topology

UDP_PORT = "7000"
#: Search for the highest rate: bounds in packets per second, steps, seconds of one step.
UDP_RATES = (2e4, 8e5)
UDP_STEPS = 6
#: A rate counts as carried if one of these many tries carries it: one hiccup of a shared machine
#: would send the search down for good.
UDP_TRIES = 2
UDP_SECONDS = 0.3
TOLERATED_LOSS = 0.01
#: Peers besides the one that is there, for memory.
CROWDS = (100, 1000)


#: What iperf3 is told for each direction: from side a to b, from b to a, and both at once.
DIRECTIONS = {"fwd": [], "rev": ["-R"], "both": ["--bidir"]}


def tcp(site, place, streams, family, direction, seconds):
    """iperf3 between the same places of side a and b, in one of DIRECTIONS; rates of both are added."""
    command = [
        *site.enter({"hb": "ha", "gb": "ga"}[place]),
        *("iperf3", "-J", "-c", site.target(place, family)),
        *("-t", str(seconds), "-P", str(streams)),
        *DIRECTIONS[direction],
    ]
    busy, cpu, start = machine.busy_seconds(), site.cpu_seconds(), time.monotonic()
    end = _iperf(command)
    wall = time.monotonic() - start
    busy, cpu = machine.busy_seconds() - busy, site.cpu_seconds() - cpu
    sent = [end[key] for key in end if key.startswith("sum_sent")]
    received = [end[key] for key in end if key.startswith("sum_received")]
    gigabytes = sum(way["bytes"] for way in received) / 1e9
    found = {
        "mbps": sum(way["bits_per_second"] for way in received) / 1e6,
        "retransmits": sum(way.get("retransmits", 0) for way in sent),
        "daemon_cores": cpu / wall,
        "machine_cores": busy / wall,
    }
    if site.daemons and gigabytes:
        found["cpu_s_per_gb"] = cpu / gigabytes
    return found


def _iperf(command):
    for attempt in (1, 2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        result = json.loads(done.stdout)
        if "error" not in result:
            return result["end"]
        if attempt == 2 or "busy" not in result["error"]:
            raise machine.CommandFailed(f"iperf3: {result['error']}")
        time.sleep(0.5)  # the server is still letting go of the run before
    raise AssertionError("the loop returns or raises")


def udp(site, size):
    """Looks for the highest rate of datagrams of `size` bytes, host to host, that gets through."""
    low, high = UDP_RATES
    best = 0.0
    for _ in range(UDP_STEPS):
        asked = (low * high) ** 0.5
        rate, kept_up = _carried(site, size, asked)
        best = max(best, rate)
        if rate and kept_up:
            low = asked
        else:  # too much lost, or the generator itself is the limit
            high = asked
    return {"pps": best}


def _carried(site, size, asked):
    """The rate that arrived with next to no loss, else 0; whether the generator kept up."""
    for _ in range(UDP_TRIES):
        sent, seconds, received = _blast(site, size, asked)
        if received > (1 - TOLERATED_LOSS) * sent:
            return received / seconds, sent / seconds > 0.9 * asked
    return 0.0, True


def _blast(site, size, rate):
    tool = str(machine.OUTPUT / "bin" / "udpblast")
    receiver = machine.spawn(
        [*site.enter("hb"), tool, "recv", UDP_PORT], stdout=subprocess.PIPE, text=True
    )
    try:
        receiver.stdout.readline()
        target = site.target("hb", 4)
        words = [tool, "send", target, UDP_PORT, str(size), str(int(rate)), str(UDP_SECONDS)]
        sent, seconds = machine.run(*site.enter("ha"), *words, timeout=30).split()
        time.sleep(0.06)  # what is still in the queues
    finally:
        receiver.terminate()
        received = receiver.stdout.read().split()[0]
        receiver.wait()
    return int(sent), float(seconds), int(received)


def ping(site, count, gap):
    """Round trips host to host, `gap` seconds apart."""
    words = ["ping", "-i", str(gap), "-c", str(count), "-W", "1", site.target("hb", 4)]
    said = machine.run(*site.enter("ha"), *words, check=False, timeout=60)
    times = sorted(1e3 * float(found) for found in re.findall(r"time=([\d.]+)", said))
    if not times:
        raise machine.CommandFailed("ping: nothing came back")
    p99 = times[max(0, int(len(times) * 0.99) - 1)]
    return {"p50_us": times[len(times) // 2], "p99_us": p99, "lost": count - len(times)}


def ping_under_load(site, seconds):
    """Round trips while one TCP stream fills the tunnel."""
    load = ["iperf3", "-J", "-c", site.target("hb", 4), "-t", str(int(seconds) + 1)]
    for attempt in (1, 2):
        stream = machine.spawn([*site.enter("ha"), *load], stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(0.5)
            found = ping(site, int(seconds / 0.005), 0.005)
        finally:
            said = stream.communicate()[0]
        error = json.loads(said).get("error")
        if error is None:
            return found
        if attempt == 2 or "busy" not in error:
            raise machine.CommandFailed(f"iperf3: {error}")
        time.sleep(0.5)
    raise AssertionError("the loop returns or raises")


def memory(site):
    """Memory of a freshly started daemon with 1, 100 and 1000 peers; time until it carries."""
    daemon = site.daemons["a"]
    daemon.stop()
    time.sleep(0.3)
    start = time.monotonic()
    site.connect(topology.A)
    ready = time.monotonic()
    probe = ["ping", "-n", "-i", "0.01", "-c", "1", "-w", "8", site.target("gb", 4)]
    machine.run(*site.enter("ga"), *probe)
    found = {"ready_ms": 1e3 * (ready - start), "first_ping_ms": 1e3 * (time.monotonic() - start)}
    daemon = site.daemons["a"]
    found["rss_mb"] = daemon.resident_megabytes()
    if site.peer.kind != "uapi":
        return found
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(max(CROWDS))]
    there = 1
    for crowd in CROWDS:
        start = time.monotonic()
        daemon.add_strangers(range(there, crowd), keys)
        found[f"add_{crowd}_ms"] = 1e3 * (time.monotonic() - start)
        there = crowd
        time.sleep(0.5)
        found[f"rss_{crowd}_mb"] = daemon.resident_megabytes()
        machine.run(*site.enter("ga"), "ping", "-qc1", "-W2", site.target("gb", 4))
        cpu = daemon.cpu_seconds()
        time.sleep(1)
        found[f"idle_{crowd}_cores"] = daemon.cpu_seconds() - cpu
    return found


def memory_after_load(site):
    """Memory of the two daemons after all that was carried before, the larger of both."""
    return {"rss_mb": max(daemon.resident_megabytes() for daemon in site.daemons.values())}


def tests(seconds):
    """Every test by name: tcp<streams>_<from>2<to>_<fwd|rev>[_v6], tcp1_h2h_both, udp<size>, ping_*."""
    found = {}
    for family, suffix in ((4, ""), (6, "_v6")):
        for way, place in (("h2h", "hb"), ("g2g", "gb")):
            for streams in (1, 4):
                for direction in ("fwd", "rev"):
                    name = f"tcp{streams}_{way}_{direction}{suffix}"
                    words = (place, streams, family, direction, seconds)
                    found[name] = lambda site, words=words: tcp(site, *words)
    found["tcp1_h2h_both"] = lambda site: tcp(site, "hb", 1, 4, "both", seconds)
    found["udp64"] = lambda site: udp(site, 64)
    found["udp512"] = lambda site: udp(site, 512)
    found["ping_idle"] = lambda site: ping(site, 1000, 0.001)
    found["ping_load"] = lambda site: ping_under_load(site, max(seconds, 2))
    return found

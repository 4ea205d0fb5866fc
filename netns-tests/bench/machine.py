"""This machine: commands, a process session of its own, CPU time, memory, a description.

Promises that every child dies with the benchmark, also when that is killed, and that only one
measurement runs at a time. Refuses to know what is measured. Linux only: reads /proc.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "bench"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_INSIDE = "ZONEMESH_BENCH_INSIDE"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A command ended with an error; the text holds the command and what it said."""


def run(*words, stdin=None, check=True, timeout=60):
    """Runs a command and returns what it printed."""
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise CommandFailed(f"{' '.join(words)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def succeeds(*words):
    """Whether a command ends without an error."""
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def spawn(words, **options):
    """Starts a child that is killed when the benchmark dies."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(words, preexec_fn=_die_with_parent, **options)


def end(process, patience=3):
    """Asks a child to end, and makes it after `patience` seconds."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def enter_own_session():
    """Goes on in a child with a process session of its own; the parent only hands on signals.

    With SCHED_AUTOGROUP the kernel shares the CPU between sessions first and looks at nice values
    only within one, so a benchmark started beside a compiler gets half of the machine however it
    is niced. A session of its own can be given more.
    """
    if os.environ.get(_INSIDE):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGTERM, _interrupt)
        _raise_priority()
        return
    child = subprocess.Popen(
        [sys.executable, *sys.argv], start_new_session=True, env={**os.environ, _INSIDE: "1"}
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: child.terminate())
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def _raise_priority():
    with contextlib.suppress(OSError):  # a kernel without SCHED_AUTOGROUP
        pathlib.Path("/proc/self/autogroup").write_text("-20", encoding="ascii")
    with contextlib.suppress(OSError):
        os.nice(-10)


@contextlib.contextmanager
def alone():
    """Holds the lock that keeps two benchmarks of this work tree from measuring at once."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with open(OUTPUT / "lock", "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cpu_seconds(pid):
    """CPU time of a process and all its threads so far, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_megabytes(pid):
    """Resident memory of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def busy_seconds():
    """CPU time of the whole machine so far, without idle, waiting and niced work."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, idle, wait, *rest = map(int, file.readline().split()[1:9])
    del nice, idle, wait
    return (user + system + sum(rest)) / TICKS_PER_SECOND


def describe():
    """The machine in words that name nobody: processor, cores, memory, kernel."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.+)", cpu)
    memory = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    kibibytes = int(re.search(r"MemTotal:\s+(\d+)", memory).group(1))
    flags = [flag for flag in ("avx2", "avx512f", "avx512ifma") if f" {flag}" in cpu]
    return {
        "processor": model.group(1) if model else platform.machine(),
        "vector_units": flags,
        "cores": os.cpu_count(),
        "memory_gib": round(kibibytes / 2**20, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "load_at_start": round(os.getloadavg()[0], 2),
    }

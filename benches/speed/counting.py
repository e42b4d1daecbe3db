"""Counts a tool's system calls, in a run of its own: by perf, which costs little, else by strace.

Two runs of different length, so that what a tool does at its start and its end
cancels out.
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import cases  # noqa: F401  (it makes the truth bench importable)
import tools
from meter import Meter

# perf's event, strace's name of the call.
EVENTS = {
    "all": ("raw_syscalls:sys_enter", None),
    "reads": ("syscalls:sys_enter_process_vm_readv", "process_vm_readv"),
    "writes": ("syscalls:sys_enter_process_vm_writev", "process_vm_writev"),
    "ptrace": ("syscalls:sys_enter_ptrace", "ptrace"),
    "sleeps": ("syscalls:sys_enter_clock_nanosleep", "clock_nanosleep"),
}
SECONDS = (1, 2)


def counter():
    """"perf", "strace", or None where neither works."""
    perf = ["perf", "stat", "-x,", "-e", EVENTS["all"][0], "true"]
    if shutil.which("perf") and subprocess.run(perf, capture_output=True).returncode == 0:
        return "perf"
    return "strace" if shutil.which("strace") else None


def from_perf(text):
    """Counts by the keys of EVENTS, from `perf stat -x,`."""
    found = {}
    for line in text.splitlines():
        parts = line.split(",")
        for key, (event, _) in EVENTS.items():
            if len(parts) > 2 and parts[2] == event and parts[0].isdigit():
                found[key] = int(parts[0])
    return found


def from_strace(text):
    """The same, from `strace -c`."""
    found = dict.fromkeys(EVENTS, 0)
    for line in text.splitlines():
        match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d*\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if not match:
            continue
        for key, (_, name) in EVENTS.items():
            if match[2] == name or name is None and match[2] == "total":
                found[key] += int(match[1])
    return found


def _counted(tool, target, rate, seconds, by):
    """(counts, looks) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counts"
        prefix = (["perf", "stat", "-x,", "-o", file, "-e", ",".join(event for event, _ in EVENTS.values()), "--"]
                  if by == "perf" else ["strace", "-c", "-f", "-qq", "-o", file])
        meter = Meter(interrupt=isinstance(tool, tools.PySpy))
        counted = []

        def run(command, *arguments, **more):
            # Only its first command samples; a converter of files may follow.
            first = not counted
            counted.append(command)
            return meter(prefix + command if first else command, *arguments, **more)

        tool.run = run
        recording = tool.record(target, rate, seconds)
        text = file.read_text(errors="replace")
    counts = from_perf(text) if by == "perf" else from_strace(text)
    return counts, recording


def per_look(tool, target, rate, looks, by):
    """System calls for each look, by the keys of EVENTS; `looks(recording)` tells how many there were."""
    short, long = (_counted(tool, target, rate, seconds, by) for seconds in SECONDS)
    more = looks(long[1]) - looks(short[1])
    if more <= 0:
        raise tools.Failed("no more looks in %d s than in %d s" % SECONDS[::-1])
    return {key: max(0, (long[0].get(key, 0) - short[0].get(key, 0)) / more) for key in EVENTS}


def bytes_per_look(tool, target, rate, looks):
    """Bytes that the tool's process_vm_readv brought for each look, or None where perf cannot tell."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace"
        prefix = ["perf", "record", "-q", "-o", file, "-e", "syscalls:sys_exit_process_vm_readv", "--"]
        meter = Meter()
        tool.run = lambda command, *arguments, **more: meter(prefix + command, *arguments, **more)
        try:
            recording = tool.record(target, rate, 1)
            script = subprocess.run(["perf", "script", "-i", file, "-F", "trace"], capture_output=True, text=True)
        except (tools.Failed, OSError):
            return None
    sizes = [int(size, 0) for size in re.findall(r"0x[0-9a-f]+|\b\d+\b", script.stdout)]
    sizes = sorted(size for size in sizes if 0 < size < 1 << 30)
    number = looks(recording)
    return sum(sizes) // number if sizes and number > 0 else None

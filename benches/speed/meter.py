"""Runs a tool on the sampler's core and watches what it uses."""
import os
import signal
import subprocess
import threading
import time
from typing import NamedTuple

import cases  # noqa: F401  (it makes the truth bench importable)
import pythons
import tools

# Between two looks at the tool, in s.
PAUSE = 0.05
# A tool that samples on until it has taken all it was asked for is told to end so long after its time, in s;
# any tool is killed so long after it.
GRACE, PATIENCE = 1.5, 40


class Poll(NamedTuple):
    """The tool at one moment: CLOCK_MONOTONIC ns, CPU time of its threads in ns, memory and its peak in KiB."""

    time: int
    cpu: int
    memory: int
    peak: int


class Run(NamedTuple):
    """One run of a tool: when (CLOCK_MONOTONIC, ns), what was seen, its lines with their times."""

    begin: int
    end: int
    polls: list
    lines: list


class Meter:
    """Runs commands as tools.py wants it (`Tool.run`) and keeps what it saw of each in `runs`."""

    def __init__(self, interrupt=False):
        self.runs = []
        self.interrupt = interrupt

    def __call__(self, command, seconds, env=None, any_status=False):
        core, _ = pythons.cores()
        begin = time.monotonic_ns()
        try:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, errors="replace", env={**os.environ, **(env or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        except OSError as error:
            raise tools.Failed(str(error)) from error
        lines = ([], [])
        readers = [threading.Thread(target=_collect, args=pair, daemon=True)
                   for pair in zip((process.stdout, process.stderr), lines)]
        for reader in readers:
            reader.start()
        polls = _watch(process, begin, seconds, self.interrupt)
        end = time.monotonic_ns()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
        out, err = ("".join(line for _, line in found) for found in lines)
        self.runs.append(Run(begin, end, polls, lines[0] + lines[1]))
        if process.returncode != 0 and not any_status:
            words = (err or out).strip().splitlines() or ["status %d" % process.returncode]
            raise tools.Failed(words[-1][:200])
        return begin, end, out, err


def nothing(begin, end):
    """A Run in which no tool ran."""
    return Run(begin, end, [], [])


def _watch(process, begin, seconds, interrupt):
    """Polls until the process has ended and been reaped."""
    polls, told = [], False
    while True:
        look = _look(process.pid)
        if look is not None:
            polls.append(look)
        try:
            process.wait(PAUSE)
            return polls
        except subprocess.TimeoutExpired:
            late = (time.monotonic_ns() - begin) / 1e9 - seconds
        if interrupt and late > GRACE and not told:
            process.send_signal(signal.SIGINT)
            told = True
        if late > PATIENCE:
            process.kill()
            process.wait()
            raise tools.Failed("still running after %.0f s" % (late + seconds))


def _collect(stream, lines):
    for line in stream:
        lines.append((time.monotonic_ns(), line))


def _look(pid):
    """A Poll, or None when the process has just ended."""
    cpu = 0
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as file:
                    cpu += int(file.read().split()[0])
            except (OSError, IndexError):
                pass
        with open("/proc/%d/status" % pid) as file:
            status = dict(line.split(":", 1) for line in file)
        memory, peak = (int(status[key].split()[0]) for key in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):
        return None
    return Poll(time.monotonic_ns(), cpu, memory, peak)

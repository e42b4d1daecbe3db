"""How long a user waits: to the first sample, and for a whole `dump`."""
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import cases  # noqa: F401  (it makes the truth bench importable)
import peers
import pythons
import tools
from meter import Meter

EVENTS = ("syscalls:sys_enter_process_vm_readv", "syscalls:sys_enter_clock_nanosleep",
          "syscalls:sys_enter_futex", "sched:sched_process_exec")
_EVENT = re.compile(r"^\s*(\d+)\s+(\d+\.\d+):\s+\w+:(\w+):")


def first_sample(trace, bursts):
    """Seconds from the tool's exec to the end of a burst of reads, from `perf script -F tid,time,event`.

    A burst is what one thread reads before it sleeps or waits. The first one
    may be the search for the interpreter only; `bursts` says which one brings
    the first sample.
    """
    begin, reading = None, {}
    for line in trace.splitlines():
        match = _EVENT.match(line)
        if not match:
            continue
        thread, at, event = match[1], float(match[2]), match[3]
        if event == "sched_process_exec":
            begin = at if begin is None else begin
        elif event == "sys_enter_process_vm_readv":
            ended, _ = reading.get(thread, (0, False))
            reading[thread] = (ended, True)
        elif reading.get(thread, (0, False))[1]:
            ended = reading[thread][0] + 1
            if ended == bursts:
                return at - begin
            reading[thread] = (ended, False)
    return None


def time_to_first_sample(tool, target, times):
    """Seconds, the middle of a few; None where perf cannot trace. Of ours, the look for the interpreter comes
    first; of the others the first burst is taken for the first sample, which may be too good for them."""
    bursts = 2 if tool.name.startswith("pyprof") else 1
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace"
            prefix = ["perf", "record", "-q", "-o", file, "-e", ",".join(EVENTS), "--"]
            meter, ran = Meter(), []

            def run(command, *arguments, **more):
                ran.append(command)
                return meter(prefix + command if len(ran) == 1 else command, *arguments, **more)

            tool.run = run
            try:
                tool.record(target, 100, 1)
            except tools.Failed:
                continue
            script = subprocess.run(["perf", "script", "-i", file, "-F", "tid,time,event"],
                                    capture_output=True, text=True)
            took = first_sample(script.stdout, bursts)
        if took is not None:
            found.append(took)
    return statistics.median(found) if found else None


def dump_commands(target):
    """By tool: the command that shows all stacks once."""
    pid = str(target.pid)
    commands = {"pyprof-cli": ["node", str(tools.OursCli().main), "dump", pid],
                "py-spy": [str(peers.PY_SPY), "dump", "--pid", pid],
                "py-spy-nb": [str(peers.PY_SPY), "dump", "--nonblocking", "--pid", pid]}
    if target.interpreter.version == (3, 15):
        commands["sampling"] = target.interpreter.command + [
            "-m", "profiling.sampling", "dump", "--all-threads", pid]
    if peers.AUSTIN.exists():
        commands["austin"] = tools.Austin().prepared(target)[0] + ["-w", pid]
    return commands


def time_of_dump(command, times):
    """Seconds from start to end, the middle of a few, or the last words of a failure."""
    core, _ = pythons.cores()
    took = []
    for _ in range(times):
        begin = time.monotonic()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, "RUST_BACKTRACE": "0"},
                              preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        if done.returncode != 0 and not done.stdout.strip():
            raise tools.Failed(((done.stderr or "no output").strip().splitlines() or ["no output"])[-1][:120])
        took.append(time.monotonic() - begin)
    return statistics.median(took)


def core_alone(target):
    """Seconds to the first sample and of one snapshot, of the crate without Node."""
    binary = tools.REPOSITORY / "target/release/examples/first_look"
    core, _ = pythons.cores()
    done = subprocess.run([str(binary), str(target.pid)], capture_output=True, text=True, timeout=60, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    told = json.loads(done.stdout)
    return tuple(statistics.median(told[key]) / 1e9 for key in ("sample", "snapshot"))

"""The profilers under test, each behind one small adapter.

An adapter has a `name`, `unfit(target)` (why it cannot run there, or None) and
`record(target, rate, seconds)`, which returns a Recording. What a tool drops in
silence shows as samples asked for that never came. `idle`, `threads` and
`subprocesses` can be set: waiting threads too, all threads, children too.
`run` runs its command; the speed bench sets one that measures it.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import frames
import peers
import pythons

REPOSITORY = Path(__file__).resolve().parents[2]


class Recording(NamedTuple):
    """Stacks, and the time (CLOCK_MONOTONIC, ns) in which the tool was sampling."""

    stacks: list
    begin: int
    end: int
    said: dict


class Failed(Exception):
    """The tool ended without a result; the text is its last words."""


def _run(command, seconds, env=None, any_status=False):
    """Runs a tool on the sampler's core: (begin, end, stdout, stderr)."""
    core, _ = pythons.cores()
    begin = time.monotonic_ns()
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=seconds + 40, env={**os.environ, **(env or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    except subprocess.TimeoutExpired as late:
        raise Failed("still running after %d s" % late.timeout) from late
    except OSError as error:
        raise Failed(str(error)) from error
    if done.returncode != 0 and not any_status:
        words = (done.stderr or done.stdout).strip().splitlines() or ["status %d" % done.returncode]
        raise Failed(words[-1][:200])
    return begin, time.monotonic_ns(), done.stdout, done.stderr


def _read(text):
    stacks = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            stack = frames.parse_line(line)
            if stack is not None:
                stacks.append(stack)
    return stacks


class Tool:
    """What all adapters share."""

    idle = threads = subprocesses = False
    run = staticmethod(_run)

    def options(self, **words):
        """The command line's words for those of `idle`, `threads` and `subprocesses` that are set."""
        return [word for name, word in words.items() if getattr(self, name)]


class Ours(Tool):
    """The sampler by itself: crates/pyprof-core/examples/stacks.rs."""

    name = "pyprof"

    def __init__(self):
        self.binary = Path(os.environ.get(
            "PYPROF_STACKS", REPOSITORY / "target/release/examples/stacks"))

    def unfit(self, _target):
        if not self.binary.exists():
            return "no %s: cargo build --release -p pyprof-core --example stacks" % self.binary
        return None

    def record(self, target, rate, seconds):
        begin, end, out, err = self.run(
            [self.binary, target.pid, "--rate", rate, "--seconds", seconds]
            + self.options(subprocesses="--subprocesses"), seconds)
        said = {}
        for line in reversed(err.strip().splitlines()):
            if line.startswith("{"):
                said = json.loads(line)
                break
        return Recording(_read(out), begin, end, said)


class OursCli(Tool):
    """The command, as a user runs it: node dist/cli/main.js record.

    Its collapsed weights are measured time, not samples: shares are exact, the
    number of samples is what its summary says.
    """

    name = "pyprof-cli"
    engine = []

    def __init__(self):
        self.main = Path(os.environ.get("PYPROF_CLI", REPOSITORY / "dist/cli/main.js"))

    def unfit(self, target):
        if not self.main.exists():
            return "no %s: npm run build" % self.main
        if target.name == "lines":
            return "its collapsed stacks name the line of a function, not that of a call"
        return None if shutil.which("node") else "no node"

    def record(self, target, rate, seconds):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.collapsed"
            begin, end, _, err = self.run(
                ["node", self.main, "record", "-p", target.pid, "-d", seconds, "-r", rate,
                 "-f", "collapsed", "-o", file]
                + self.engine + self.options(idle="--idle", subprocesses="--subprocesses"), seconds)
            stacks = _read(file.read_text(errors="replace"))
        found = re.search(r"([\d,]+) samples", err)
        if found:
            total = sum(stack.count for stack in stacks) or 1
            scale = int(found[1].replace(",", "")) / total
            stacks = [stack._replace(count=stack.count * scale) for stack in stacks]
        said = {"summary": err[-400:]}
        told = re.search(r"rate reached (\d+) of .*?failed ([\d,]+)", err, re.DOTALL)
        if told:
            said.update(rate_reached=int(told[1]), failed=int(told[2].replace(",", "")))
        return Recording(stacks, begin, end, said)


class OursExact(OursCli):
    """The same with the threads' own interrupts, which cannot tear a stack: the yardstick for looks from outside."""

    name = "pyprof-exact"
    engine = ["--engine", "exact"]

    def unfit(self, target):
        return super().unfit(target) or (None if os.geteuid() == 0 else "its engine is tried as root only")


class OursOffCpu(OursExact):
    """The same with every switch: time in which the program had no CPU is put where it lost it."""

    name = "pyprof-offcpu"
    engine = ["--engine", "exact", "--offcpu"]


class PySpy(Tool):
    """py-spy 0.4: stops the target for each sample, or reads on with --nonblocking."""

    def __init__(self, halting):
        self.name = "py-spy" if halting else "py-spy-nb"
        self.halting = halting

    def unfit(self, _target):
        return None if peers.PY_SPY.exists() else "no py-spy: python3 benches/truth/peers.py"

    def record(self, target, rate, seconds):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.raw"
            command = [peers.PY_SPY, "record", "-p", target.pid, "-r", rate, "-d", seconds,
                       "-f", "raw", "-o", file] + ([] if self.halting else ["--nonblocking"])
            command += self.options(idle="--idle", subprocesses="--subprocesses")
            for attempt in (1, 2, 3):
                try:
                    begin, end, out, err = self.run(command, seconds, {"RUST_BACKTRACE": "0"})
                    break
                except Failed as failed:
                    # A known weakness: at times it does not find the interpreter.
                    if attempt == 3 or "Failed to find a python interpreter" not in str(failed):
                        raise
            said = re.search(r"Samples: (\d+) Errors: (\d+)", out + err)
            stacks = _read(file.read_text(errors="replace"))
        return Recording(stacks, begin, end, {"samples": int(said[1]), "errors": int(said[2])} if said else {})


class Austin(Tool):
    """Austin 4. Needs a newer C library than many hosts have: the chroot's."""

    name = "austin"

    def unfit(self, _target):
        if not (peers.AUSTIN.exists() and peers.MOJO.exists()):
            return "no Austin: python3 benches/truth/peers.py"
        return None

    def prepared(self, target):
        """(command, folder as Austin sees it, the same as we see it)."""
        root = target.interpreter.root
        if root is not None:
            inside = Path(root) / "tmp/pyprof-truth"
            shutil.copy(peers.AUSTIN, inside / "austin")
            return ["chroot", root, "/tmp/pyprof-truth/austin"], "/tmp/pyprof-truth", inside
        plain = subprocess.run([peers.AUSTIN, "--version"], capture_output=True)
        folder = peers.FOLDER
        if plain.returncode == 0:
            return [peers.AUSTIN], folder, folder
        # The chroot's loader and C library, but our own view of the files.
        libraries = ":".join(str(Path(pythons.CHROOT) / part) for part in
                             ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
        loader = Path(pythons.CHROOT) / "lib64/ld-linux-x86-64.so.2"
        return [loader, "--library-path", libraries, peers.AUSTIN], folder, folder

    def record(self, target, rate, seconds):
        command, there, here = self.prepared(target)
        mojo = "truth-%d.mojo" % os.getpid()
        # Its status is not 0 even after a good run: the file tells.
        begin, end, _, err = self.run(
            command + self.options(subprocesses="-C") + ["-i", max(1, 1000000 // rate), "-x", seconds, "-p", target.pid,
                       "-o", "%s/%s" % (there, mojo)], seconds, any_status=True)
        if not (Path(here) / mojo).exists():
            raise Failed((err.strip().splitlines() or ["no output"])[-1][:200])
        text = Path(here) / (mojo + ".austin")
        try:
            _run([peers.MOJO, Path(here) / mojo, text], seconds)
            lines = text.read_text(errors="replace").splitlines()
        finally:
            for file in (Path(here) / mojo, text):
                file.unlink(missing_ok=True)
        said = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
        # A line a sample; its number is the time since the last one.
        stacks = [stack._replace(count=1) for stack in _read("\n".join(lines))]
        return Recording(stacks, begin, end, said)


class Sampling(Tool):
    """python3.15 -m profiling.sampling: its own minor version only."""

    def __init__(self, halting):
        self.name = "sampling-blocking" if halting else "sampling"
        self.halting = halting

    def unfit(self, target):
        if target.interpreter.version != (3, 15):
            return "profiling.sampling reads Python 3.15 only"
        return None

    def record(self, target, rate, seconds):
        root = target.interpreter.root or ""
        file = "/tmp/pyprof-truth-%d.collapsed" % os.getpid()
        begin, end, out, _ = self.run(
            target.interpreter.command
            + ["-m", "profiling.sampling", "attach", "-r", rate, "-d", seconds, "--no-gc",
               "--collapsed", "-o", file] + (["--blocking"] if self.halting else [])
            + self.options(threads="--all-threads", subprocesses="--subprocesses")
            + [target.pid], seconds)
        # With --subprocesses there is one file a process.
        found = list(Path(root + "/tmp").glob("*pyprof-truth-%d*.collapsed" % os.getpid()))
        try:
            stacks = [stack for path in found for stack in _read(path.read_text(errors="replace"))]
        finally:
            for path in found:
                path.unlink(missing_ok=True)
        return Recording(stacks, begin, end, {"words": out.strip()[:300]})


class Control(Tool):
    """Nobody looks: what the machine's other programs do to the slowdown's figure."""

    name = "(control)"

    def unfit(self, target):
        return None if target.name == "slowdown" else "it serves the slowdown only"

    def record(self, _target, _rate, seconds):
        begin = time.monotonic_ns()
        time.sleep(seconds + 0.7)
        return Recording([], begin, time.monotonic_ns(), {})


def every():
    return [Control(), Ours(), OursCli(), OursExact(), OursOffCpu(), PySpy(True), PySpy(False), Austin(), Sampling(True), Sampling(False)]


# Tools that stop the target for each sample: the reference for depth and levels.
HALTING = ("py-spy", "sampling-blocking")

"""Finds the interpreters to judge on, and runs a target on one of them."""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, Optional

TARGETS = Path(__file__).resolve().parent / "targets"
# A Debian folder with Pythons that are stripped and static, and newer than the
# host's. Its pythons run by chroot, so it needs root.
CHROOT = os.environ.get("PYPROF_TEST_CHROOT", "/opt/pyprof-sid")
# Where scripts/free-threaded.mjs puts what it compiles.
FREE_THREADED = ["/opt/pyprof-python-3.%dt/bin/python3.%dt" % (minor, minor) for minor in (13, 14, 15)]
JIT = ["env", "PYTHON_JIT=1"]
WANTED = [(3, minor) for minor in range(8, 16)]


class Interpreter(NamedTuple):
    """How to run one, and in which root it sees its files (None: in ours)."""

    label: str
    version: tuple
    command: list
    root: Optional[str]
    # Not the usual build: without the GIL, with debug checks, with a JIT at work.
    special: bool

    def folder(self):
        """Where this interpreter sees the targets, after copying them if it must."""
        if self.root is None:
            return str(TARGETS)
        inside = "/tmp/pyprof-truth"
        copy = Path(self.root + inside)
        copy.mkdir(parents=True, exist_ok=True)
        for file in TARGETS.glob("*.py"):
            shutil.copy(file, copy / file.name)
        return inside


def _said(command, script):
    try:
        done = subprocess.run(command + ["-c", script], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _interpreter(label, command, root):
    said = _said(command, "import sys; print(*sys.version_info[:2], getattr(sys, 'abiflags', ''))").split()
    if len(said) < 2:
        return None
    version = (int(said[0]), int(said[1]))
    special = "".join(said[2:]) != "" or command[:len(JIT)] == JIT
    return Interpreter(label, version, command, root, special)


def _candidates():
    """(label, command, root) of what may be a Python."""
    given = os.environ.get("PYPROF_TEST_PYTHONS")
    if given:
        yield from _listed(given)
        return
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in sorted(pyenv.glob("3.*/bin/python")):
        yield path.parts[-3], [str(path)], None
    for abi in ("", "d"):
        for _, minor in WANTED:
            path = "/usr/bin/python3.%d%s" % (minor, abi)
            if os.path.exists(path):
                yield path, [path], None
            if os.geteuid() == 0 and os.path.exists(CHROOT + path):
                command = ["chroot", CHROOT, path]
                yield "3.%d%s chroot" % (minor, abi), command, CHROOT
                enabled = "import sys; print(sys._jit.is_enabled())"
                if not abi and minor >= 14 and _said(JIT + command, enabled) == "True\n":
                    yield "3.%d jit" % minor, JIT + command, CHROOT
    for path in filter(os.path.exists, FREE_THREADED):
        yield os.path.basename(path), [path], None
    yield from _listed(os.environ.get("PYPROF_PYTHONS", ""))


def _listed(paths):
    for path in re.split(r"[:,\s]+", paths.strip()):
        if path:
            yield path, [path], None


def find(builds="all"):
    """(interpreters, what none was found for), both sorted by version.

    `builds`: "usual" ones, "special" ones (without the GIL, debug, JIT; and all of PYPROF_PYTHONS), or "all".
    """
    own = _listed(os.environ.get("PYPROF_PYTHONS", ""))
    named = {label for label, _, _ in own}
    found = [one for one in (_interpreter(*candidate) for candidate in _candidates())
             if one and one.version in WANTED]
    found.sort(key=lambda one: one.version)
    usual = {one.version for one in found if not one.special}
    absent = ["3.%d" % minor for _, minor in WANTED if (3, minor) not in usual]
    if builds == "special":
        absent = []
    if builds != "usual":
        flags = "".join(one.label + " " for one in found if one.special)
        absent += ["3.%d %s" % (minor, what) for what, sign, minors in (
            ("without the GIL", "3.%dt", (13, 14, 15)), ("with debug checks", "3.%dd", range(8, 16)),
            ("with a JIT", "3.%d jit", (13, 14, 15))) for minor in minors if sign % minor not in flags]
    wanted = {"all": lambda one: True, "usual": lambda one: not one.special and one.label not in named,
              "special": lambda one: one.special or one.label in named}[builds]
    return list(filter(wanted, found)), absent


def cores():
    """(the sampler's core, the target's): apart, for on one nothing tears."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def unwatched_leaf_share(interpreter, leaf):
    """(low, high) of the leaf level's share of tree.py's time with nobody looking."""
    _, core = cores()
    done = subprocess.run(
        interpreter.command + [interpreter.folder() + "/tree.py", "--truth", "1", "--leaf", leaf],
        capture_output=True, text=True, timeout=60, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    told = json.loads(done.stdout)
    return told["leaf_low"], told["leaf_high"]


class Target:
    """A running target. Use as a context: it is ended and reaped on any way out."""

    def __init__(self, interpreter, target, leaf):
        self.interpreter, self.name, self.leaf = interpreter, target, leaf

    def command(self):
        return self.interpreter.command + [
            "%s/%s.py" % (self.interpreter.folder(), self.name), "--leaf", self.leaf]

    def __enter__(self):
        _, core = cores()
        command = self.command()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            if not select.select([self.process.stdout], [], [], 60)[0]:
                raise RuntimeError("%s: not ready after 60 s" % command)
            word, pid = (self.process.stdout.readline().split() + ["", ""])[:2]
            if word != "ready":
                raise RuntimeError("%s: no ready line" % command)
            self.pid = int(pid)
        except BaseException:
            self.__exit__()
            raise
        return self

    def reset(self):
        """Sets the target's own counts to zero (selftime.py)."""
        os.kill(self.pid, signal.SIGUSR1)
        time.sleep(0.05)

    def result(self):
        """Ends the target; what it printed last, as read from JSON, or None."""
        os.kill(self.pid, signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        lines = out.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

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
WANTED = [(3, minor) for minor in range(8, 16)]


class Interpreter(NamedTuple):
    label: str
    version: tuple
    command: list
    root: Optional[str]

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


def _version(command):
    try:
        out = subprocess.run(command + ["-c", "import sys; print(sys.version_info[:2])"],
                             capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = re.findall(r"\d+", out.stdout)
    return (int(numbers[0]), int(numbers[1])) if out.returncode == 0 and numbers else None


def _candidates():
    given = os.environ.get("PYPROF_TEST_PYTHONS")
    if given:
        yield from _listed(given)
        return
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in sorted(pyenv.glob("3.*/bin/python")):
        yield path.parts[-3], [str(path)], None
    for path in ["/usr/bin/python3.%d" % minor for _, minor in WANTED]:
        if os.path.exists(path):
            yield path, [path], None
    if os.geteuid() == 0 and os.path.isdir(CHROOT):
        for _, minor in WANTED:
            inside = "/usr/bin/python3.%d" % minor
            if os.path.exists(CHROOT + inside):
                yield "3.%d chroot" % minor, ["chroot", CHROOT, inside], CHROOT
    for path in filter(os.path.exists, FREE_THREADED):
        yield os.path.basename(path), [path], None
    yield from _listed(os.environ.get("PYPROF_PYTHONS", ""))


def _listed(paths):
    for path in re.split(r"[:,\s]+", paths.strip()):
        if path:
            yield path, [path], None


def find():
    """(interpreters, names of the versions which none was found for)."""
    found = []
    for label, command, root in _candidates():
        version = _version(command)
        if version in WANTED:
            found.append(Interpreter(label, version, command, root))
    found.sort(key=lambda one: one.version)
    have = {one.version for one in found}
    return found, ["3.%d" % minor for _, minor in WANTED if (3, minor) not in have]


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

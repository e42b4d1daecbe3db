"""What is measured: a program each, with its options and the rates to look at it."""
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

TRUTH = Path(__file__).resolve().parents[1] / "truth"
sys.path.append(str(TRUTH))

import pythons  # noqa: E402

TARGETS = Path(__file__).resolve().parent / "targets"
# As often as the tool can. Each tool is asked for more than it reaches.
FLAT_OUT = 1_000_000


class Case(NamedTuple):
    """One row of targets: its name, the program in targets/, its options, and how it is looked at."""

    name: str
    program: str
    options: tuple
    rates: tuple
    # Waiting threads count too; several threads; children of the first process.
    idle: bool = False
    threads: bool = False
    processes: int = 1


ALL = (
    Case("depth-5", "depth", ("--depth", 5), (1000,)),
    Case("depth-50", "depth", ("--depth", 50), (1000, 10_000, FLAT_OUT)),
    Case("depth-500", "depth", ("--depth", 500), (1000,)),
    Case("depth-5000", "depth", ("--depth", 5000), (1000,)),
    Case("threads-10", "threads", ("--threads", 10, "--busy", 3), (1000,), idle=True, threads=True),
    Case("threads-200", "threads", ("--threads", 200, "--busy", 1), (1000,), idle=True, threads=True),
    Case("fib", "fib", (), (1000,)),
    Case("generators", "pipelines", ("--leaf", "empty"), (1000,)),
    Case("processes-20", "processes", ("--processes", 20), (100,), idle=True, processes=20),
)
NAMES = tuple(case.name for case in ALL)
QUICK = ("depth-50", "threads-200", "generators")


class CaseTarget(pythons.Target):
    """A running program of a case."""

    def __init__(self, interpreter, case):
        super().__init__(interpreter, case.name, "work")
        self.case = case

    def command(self):
        folder = self.interpreter.folder()
        if self.interpreter.root is None:
            folder = str(TARGETS)
        else:
            # The truth bench's programs are there already; these need them.
            for file in TARGETS.glob("*.py"):
                shutil.copy(file, self.interpreter.root + folder + "/" + file.name)
        options = [str(option) for option in self.case.options]
        return self.interpreter.command + ["%s/%s.py" % (folder, self.case.program)] + options

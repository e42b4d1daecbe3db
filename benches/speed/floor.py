"""The physical floor: sleeps to absolute times and one read of as many bytes, nothing else."""
import json
from pathlib import Path

import cases  # noqa: F401  (it makes the truth bench importable)
import tools

# Where it cannot be told how much ours reads.
BYTES = 8192


class Floor(tools.Tool):
    """crates/pyprof-core/examples/floor.rs"""

    name = "(floor)"

    def __init__(self):
        self.binary = tools.REPOSITORY / "target/release/examples/floor"
        self.bytes = BYTES

    def unfit(self, _target):
        if not Path(self.binary).exists():
            return "no %s: cargo build --release -p pyprof-core --examples" % self.binary
        return None

    def record(self, target, rate, seconds):
        begin, end, _, err = self.run(
            [self.binary, target.pid, "--rate", rate, "--seconds", seconds, "--bytes", self.bytes], seconds)
        return tools.Recording([], begin, end, json.loads(err.strip().splitlines()[-1]))

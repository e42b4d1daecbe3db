"""Gets the profilers to compare with: `python3 benches/truth/peers.py`.

They go into .cache/peers (or PYPROF_PEERS) and nowhere else: py-spy and the
converter of Austin's files in a virtual environment, Austin's binary beside it.
Nothing of them is part of this package.
"""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

FOLDER = Path(os.environ.get(
    "PYPROF_PEERS", Path(__file__).resolve().parents[2] / ".cache" / "peers"))
PY_SPY = FOLDER / "venv/bin/py-spy"
MOJO = FOLDER / "venv/bin/mojo2austin"
AUSTIN = FOLDER / "austin"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    python = FOLDER / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "py-spy==0.4.3", "austin-python"], check=True)
    subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "-d", FOLDER, "austin-dist==4.0.0"],
                   check=True)
    wheel = next(FOLDER.glob("austin_dist-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        inside = next(n for n in archive.namelist() if n.endswith("/scripts/austin"))
        AUSTIN.write_bytes(archive.read(inside))
    AUSTIN.chmod(0o755)
    print("peers are in", FOLDER)


if __name__ == "__main__":
    main()

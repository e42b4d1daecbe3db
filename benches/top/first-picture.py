"""How long it takes until `top` shows something: from the command's start to the frame, and to the first function.

    python3 benches/top/first-picture.py [runs]        (after npm run build)
"""
import fcntl
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time

MAIN = os.path.join(os.path.dirname(__file__), "../../dist/cli/main.js")
TARGET = "print('ready', flush=True)\ndef hot():\n    for _ in range(10**7): pass\nwhile True: hot()\n"


def node():
    """Node alone, for comparison: what no command can be faster than."""
    started = time.perf_counter()
    subprocess.run(["node", "-e", "console.log(1)"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1e3


def run(pid):
    started = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("node", ["node", MAIN, "top", str(pid)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen, times = b"", []
    for mark in (b"functions", b" hot "):
        while mark not in seen:
            seen += os.read(terminal, 65536)
        times.append((time.perf_counter() - started) * 1e3)
    os.kill(child, signal.SIGTERM)
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass
    os.waitpid(child, 0)
    return times


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE) as target:
        target.stdout.readline()
        times = [(node(), *run(target.pid)) for _ in range(runs)]
        target.kill()
    for name, column in zip(("node alone", "first picture", "first function"), zip(*times)):
        print("%s: median %.0f ms, worst %.0f ms" % (name, statistics.median(column), max(column)))


main()

"""How long the exact engine's interrupts last, seen from inside the program.

    cargo build --release -p pyprof-native --example clock
    sudo python3 benches/exact/pause.py --rate 1000 --seconds 4

The program reads its clock without pause and notes every gap above 4 us: the
machine's own interrupts, and ours. What comes more often with the engine than
without is ours. The modes take turns, the engine runs on a core of its own:

- nobody: no engine; bare: a perf event whose record holds no stack;
- stack: with registers and stack bytes; walk: with Python's frames walked;
- all: stack, walk and the kernel's frames, what `record -nk` does;
- py-spy: `py-spy record --native`, which stops the program, where benches/truth/peers.py has put it.

`pause` is the median of the gaps in that mode, `p25` a quarter of the way: on a
machine that is not quiet it is the better one, because what others do makes gaps
longer. `slowdown` is the time that fixed work takes, over that of the turns in
which nobody looked.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CLOCK = REPOSITORY / "target/release/examples/clock"
PY_SPY = pathlib.Path(os.environ.get("PYPROF_PEERS", REPOSITORY / ".cache/peers")) / "venv/bin/py-spy"
MODES = ["nobody", "bare", "stack", "walk", "all", "py-spy"]

TARGET = """
import sys, time
def leaf(seconds):
    clock = time.perf_counter_ns
    gaps, rounds = [], 0
    now = clock()
    end = now + int(seconds * 1e9)
    while now < end:
        then, now = now, clock()
        rounds += 1
        if now - then > 4000: gaps.append(now - then)
    return rounds, gaps
def deep(depth, seconds):
    return deep(depth - 1, seconds) if depth else leaf(seconds)
print("ready", flush=True)
for line in sys.stdin:
    rounds, gaps = deep(20, float(line))
    print(rounds, *gaps, flush=True)
"""


def turn(python, mode, rate, seconds):
    target = subprocess.Popen([python, "-c", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(target.pid, {0})
    engine = None
    try:
        target.stdout.readline()
        if mode == "py-spy":
            command = [str(PY_SPY), "record", "--native", "-p", str(target.pid), "-r", str(rate),
                       "-d", str(int(seconds + 3)), "-f", "raw", "-o", os.devnull]
            wait = 1.5
        else:
            command = [str(CLOCK), str(target.pid), str(rate), str(seconds + 2), mode]
            wait = 0.5
        if mode != "nobody":
            engine = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, env={**os.environ, "RUST_BACKTRACE": "0"})
            time.sleep(wait)
        target.stdin.write("%s\n" % seconds)
        target.stdin.flush()
        rounds, *gaps = map(int, target.stdout.readline().split())
    finally:
        target.kill()
        target.wait()
        if engine:
            engine.kill()
            engine.wait()
    return rounds, sorted(gaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--python", default=sys.executable)
    args = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("one core: the engine would take the program's")
    modes = [mode for mode in MODES if mode != "py-spy" or PY_SPY.exists()]
    if "py-spy" not in modes:
        print("skipped: py-spy (python3 benches/truth/peers.py gets it)")
    seen = {mode: [] for mode in modes}
    for number in range(args.turns):
        for mode in modes[number % len(modes):] + modes[:number % len(modes)]:
            seen[mode].append(turn(args.python, mode, args.rate, args.seconds))
    base = statistics.median(rounds for rounds, _ in seen["nobody"])
    print("%-8s %10s %10s %10s %10s %10s" % ("mode", "gaps/s", "p25 us", "pause us", "p90 us", "slowdown"))
    for mode in modes:
        rounds = statistics.median(rounds for rounds, _ in seen[mode])
        gaps = sorted(gap for _, gaps in seen[mode] for gap in gaps)
        a_second = len(gaps) / (args.turns * args.seconds)
        low, middle, high = (gaps[len(gaps) * percent // 100] / 1e3 if gaps else 0 for percent in (25, 50, 90))
        print("%-8s %10.0f %10.1f %10.1f %10.1f %10.3f" % (mode, a_second, low, middle, high, base / rounds))


main()

"""The generators and coroutines of the truth bench (gens.py, steps of 50 ns), in timed rounds."""
import time

import worker

import common
import gens


def main():
    args = common.options(__doc__)
    common.renamed(gens.gc_drive, {"<genexpr>": "gc_genexp", "<listcomp>": "gc_listcomp"})
    life = common.Lifetime(args.seconds)
    rounds = []
    drives = [gens.ga_drive, gens.gb_drive, gens.gc_drive] * 100
    common.ready()
    while life.keep_running():
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        for drive in drives:
            drive()
        worker.noted(rounds, begin, cpu)
    worker.tell(rounds)


if __name__ == "__main__":
    main()

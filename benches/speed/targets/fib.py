"""fib: nothing but calls of 50 to 100 ns, 20 deep."""
import time

import worker

import common


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def f_round():
    for _ in range(5):
        fib(18)


def main():
    args = common.options(__doc__)
    life = common.Lifetime(args.seconds)
    rounds = []
    common.ready()
    while life.keep_running():
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        f_round()
        worker.noted(rounds, begin, cpu)
    worker.tell(rounds)


if __name__ == "__main__":
    main()

"""--processes processes, children of the first by fork, all of them busy 20 frames deep."""
import os
import signal
import time

import worker

import common


def c_leaf(n):
    while n:
        n -= 1


def c_step(depth):
    if depth:
        c_step(depth - 1)
    else:
        c_leaf(20000)


def c_work(parent):
    while os.getppid() == parent:
        for _ in range(10):
            c_step(15)


def main():
    args = common.options(__doc__, processes=20)
    life = common.Lifetime(args.seconds)
    children = []
    for _ in range(args.processes - 1):
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            c_work(parent)
            os._exit(0)
        children.append(child)
    rounds = []
    common.ready()
    while life.keep_running():
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        c_step(15)
        worker.noted(rounds, begin, cpu)
    for child in children:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    worker.tell(rounds)


if __name__ == "__main__":
    main()

"""--threads threads, of which --busy work (the main one counts its time) and the rest wait."""
import threading
import time

import worker

import common


def i_wait(event):
    event.wait()


def i_step(depth, event):
    if depth:
        i_step(depth - 1, event)
    else:
        i_wait(event)


def b_leaf(n):
    while n:
        n -= 1


def b_work(event):
    while not event.is_set():
        for _ in range(100):
            b_leaf(300)


def m_work(keep_running, work):
    while keep_running():
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        for function in work.schedule:
            function()
        work.note(begin, cpu)


def main():
    args = common.options(__doc__, threads=10, busy=1)
    work = worker.Worker()
    end = threading.Event()
    waiting = [threading.Thread(target=i_step, args=(5, end)) for _ in range(args.threads - args.busy)]
    working = [threading.Thread(target=b_work, args=(end,)) for _ in range(args.busy - 1)]
    life = common.Lifetime(args.seconds)
    for thread in waiting + working:
        thread.start()
    common.ready()
    m_work(life.keep_running, work)
    end.set()
    for thread in waiting + working:
        thread.join()
    work.tell("m_work")


if __name__ == "__main__":
    main()

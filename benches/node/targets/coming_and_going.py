"""Threads and children come and go, each for a fraction of a second, about thirty threads and ten children a second."""
import multiprocessing
import select
import sys
import threading
import time


def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(1000):
            pass


def child():
    busy(0.02)
    time.sleep(0.2)


def main():
    multiprocessing.set_start_method("fork")
    children = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        threads = [threading.Thread(target=busy, args=(0.01,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        children.append(multiprocessing.Process(target=child))
        children[-1].start()
        for thread in threads:
            thread.join()
        time.sleep(0.05)
        while len(children) > 3:
            children.pop(0).join()
    for process in children:
        process.join()


if __name__ == "__main__":
    main()

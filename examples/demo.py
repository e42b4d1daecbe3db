"""A small web shop that talks to itself for about ten seconds. Standard library only, Python 3.8 or newer.

Two customer threads send requests; the shop parses them with regular expressions, looks prices up, makes JSON
and signs it. Beside it a planner moves delivery trucks like planets (an n-body loop). Record it:

    pyprof-rs record -- python3 examples/demo.py
"""
import hashlib
import json
import queue
import re
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0

REQUEST = re.compile(r"(?P<verb>GET|POST) /(?P<shelf>\w+)/(?P<item>\d+)\?(?P<query>[^ ]*) HTTP/1\.[01]")
PAIR = re.compile(r"(\w+)=([^&]*)")
CATALOGUE = {
    shelf: {item: {"name": "%s no. %d" % (shelf, item), "cents": item * 37 % 9900 + 99} for item in range(400)}
    for shelf in ("books", "tools", "toys")
}


class Shop:
    """Answers requests."""

    def __init__(self):
        self.inbox = queue.Queue(maxsize=64)
        self.answered = 0

    def serve(self, until):
        while time.monotonic() < until:
            try:
                line, reply = self.inbox.get(timeout=0.1)
            except queue.Empty:
                continue
            reply.put(self.answer(line))
            self.answered += 1

    def answer(self, line):
        shelf, item, options = self.parse(line)
        return self.render(shelf, item, self.price(shelf, item, options))

    def parse(self, line):
        match = REQUEST.match(line)
        options = {key: value for key, value in PAIR.findall(match.group("query"))}
        return match.group("shelf"), int(match.group("item")), options

    def price(self, shelf, item, options):
        cents = CATALOGUE[shelf][item]["cents"] * int(options["amount"])
        return cents - discount(cents, len(options["coupon"]))

    def render(self, shelf, item, cents):
        neighbours = [CATALOGUE[shelf][(item + i) % 400] for i in range(40)]
        body = json.dumps({"item": CATALOGUE[shelf][item], "total": cents, "also": neighbours}, indent=1)
        return body, self.sign(body)

    def sign(self, body):
        digest = body.encode()
        for _ in range(40):
            digest = hashlib.sha256(digest).digest()
        return digest.hex()


def discount(cents, depth):
    """Recursive on purpose: a coupon of a coupon."""
    return 0 if depth == 0 else cents // 100 + discount(cents - cents // 100, depth - 1)


def customer(shop, name, until):
    reply = queue.Queue()
    number = 0
    while time.monotonic() < until:
        number += 1
        shelf = ("books", "tools", "toys")[number % 3]
        shop.inbox.put(
            ("GET /%s/%d?amount=%d&coupon=%s HTTP/1.1" % (shelf, number % 400, number % 5 + 1, name * 3), reply)
        )
        body, _ = reply.get()
        json.loads(body)


class Planner:
    """Trucks that attract each other."""

    def __init__(self, trucks):
        self.trucks = [[i * 7 % 11, i * 5 % 13, 0.0, 0.0] for i in range(trucks)]

    def plan(self, until):
        steps = 0
        while time.monotonic() < until:
            self.pull()
            self.move()
            steps += 1
        return steps

    def pull(self):
        for a in self.trucks:
            for b in self.trucks:
                dx, dy = b[0] - a[0], b[1] - a[1]
                force = 0.001 / (dx * dx + dy * dy + 1.0) ** 1.5
                a[2] += dx * force
                a[3] += dy * force

    def move(self):
        for truck in self.trucks:
            truck[0] += truck[2]
            truck[1] += truck[3]


def main():
    until = time.monotonic() + SECONDS
    shop = Shop()
    threads = [
        threading.Thread(target=shop.serve, args=(until + 0.5,), name="shop"),
        threading.Thread(target=customer, args=(shop, "anna", until), name="customer anna"),
        threading.Thread(target=customer, args=(shop, "emil", until), name="customer emil"),
    ]
    for thread in threads:
        thread.start()
    steps = Planner(14).plan(until)
    for thread in threads:
        thread.join()
    print("%d requests answered, %d steps planned" % (shop.answered, steps))


if __name__ == "__main__":
    main()

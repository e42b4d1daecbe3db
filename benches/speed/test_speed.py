"""The bench's own arithmetic: `python3 -m unittest discover -s benches/speed`."""
import unittest

import cases
import counting
import figures
import first
import oracle
import run
import table
import tools
from frames import Frame, Stack
from meter import Poll, Run

SECOND = 1_000_000_000


def case(name):
    return next(one for one in cases.ALL if one.name == name)


def judged(name, *names, version=(3, 14)):
    script = case(name).program + ".py"
    return oracle.judge(case(name), version, [Frame(one, script, 1) for one in names])


class Oracle(unittest.TestCase):
    def test_depth(self):
        chain = ["d_%d" % k for k in range(2)]
        self.assertEqual(judged("depth-5", "<module>", "main", *chain, "s_3000"), "true")
        self.assertEqual(judged("depth-5", "<module>", "main", *chain, "s_over_5000", "s_under_5000"), "true")
        for wrong in (["d_0", "s_3000"], ["d_1"], ["d_0", "d_0"], [*chain, "s_under_5000"],
                      [*chain, "s_over_5000", "s_under_10000"], [*chain, "d_2"]):
            self.assertEqual(judged("depth-5", "<module>", "main", *wrong), "impossible", wrong)
        self.assertEqual(judged("depth-5", *chain, "s_3000"), "rootless")
        self.assertEqual(judged("depth-5"), "rootless")

    def test_threads(self):
        begin = ["_bootstrap", "_bootstrap_inner", "run"]
        self.assertEqual(judged("threads-10", *begin, "i_step", "i_step", "i_wait", "wait", "wait"), "true")
        self.assertEqual(judged("threads-10", *begin, "b_work", "b_leaf"), "true")
        self.assertEqual(judged("threads-10", "<module>", "main", "m_work", "s_3000"), "true")
        self.assertEqual(judged("threads-10", *begin, "b_work", "s_3000"), "impossible")
        self.assertEqual(judged("threads-10", *begin, "m_work"), "impossible")

    def test_others(self):
        self.assertEqual(judged("fib", "<module>", "main", "f_round", "fib", "fib"), "true")
        self.assertEqual(judged("fib", "<module>", "main", "fib"), "impossible")
        self.assertEqual(judged("processes-20", "<module>", "main", "c_work", "c_step", "c_leaf"), "true")
        self.assertEqual(judged("processes-20", "<module>", "main", "c_leaf"), "impossible")
        self.assertEqual(judged("generators", "<module>", "main", "ga_drive", "ga_sum"), "true")
        self.assertEqual(judged("generators", "<module>", "main", "ga_drive", "gc_genexp"), "impossible")


def ten_polls():
    """A run of 10 s: half a core and 100 KiB a second between its first and its last second."""
    polls = []
    for k in range(101):
        sampling = min(max(k - 10, 0), 80)
        polls.append(Poll(k * SECOND // 10, sampling * SECOND // 20, 1000 + 10 * sampling, 5000))
    return polls


class Figures(unittest.TestCase):
    def test_steady(self):
        polls = ten_polls()
        self.assertAlmostEqual(figures.steady_cpu(polls, 0, 10 * SECOND), 0.5)
        self.assertAlmostEqual(figures.memory_growth(polls, 0, 10 * SECOND), 100)
        self.assertIsNone(figures.steady_cpu(polls[:2], 0, 10 * SECOND))
        self.assertIsNone(figures.memory_growth([], 0, 10 * SECOND))

    def test_true_self(self):
        told = {"names": ["a", "b"], "segments": [3, 1], "loop": "main", "calls": 10, "per_call": 1.0,
                "rounds": [[0, 100, 100, 30, 40], [200, 100, 100, 30, 40], [900, 100, 100, 100, 0]]}
        # 200 ns in the two rounds: 20 of the loop, 140 counted, 40 unseen, shared 3 to 1.
        self.assertEqual(figures.true_self(told, 0, 400), {"a": 90, "b": 90, "main": 20})
        self.assertIsNone(figures.true_self(told, 2000, 3000))
        self.assertIsNone(figures.true_self({"rounds": told["rounds"]}, 0, 400))

    def test_slowdown(self):
        mine, other = (3 * SECOND, 6 * SECOND), (0, 2 * SECOND)
        rounds = []
        for k in range(0, 800):
            begin = k * SECOND // 100
            slow = any(run[0] - SECOND // 50 <= begin <= run[1] for run in (mine, other))
            rounds.append((begin, 9_000_000 if slow else 6_000_000, 0))
        self.assertAlmostEqual(figures.slowdown(rounds, mine, [mine, other]), 1.5)
        self.assertIsNone(figures.slowdown(rounds[:3], mine, [mine, other]))

    def test_looks_are_the_main_threads(self):
        stacks = [Stack((Frame("<module>", "x.py", 1),), 60, False), Stack((Frame("_bootstrap", "t.py", 1),), 9, False)]
        recording = tools.Recording(stacks, 0, 1, {})
        self.assertEqual(figures.looks(recording), 60)
        self.assertEqual(figures.looks(recording, 20), 3)
        self.assertEqual(figures.looks(tools.Recording([], 0, 1, {"rounds": 7})), 7)

    def test_time_of_sampling(self):
        lines = Run(0, 0, [], [(SECOND, "py-spy> Sampling process 1000 times a second for 2 seconds")])
        def seconds(tool, **said):
            return figures.sampling_seconds(tool, tools.Recording([], 0, 3 * SECOND, said), lines)
        self.assertEqual(seconds("pyprof", elapsed_ns=2 * SECOND), 2)
        self.assertEqual(seconds("py-spy"), 2)
        self.assertEqual(seconds("austin", duration="1500000"), 1.5)
        self.assertEqual(seconds("sampling", words="Captured 1,998 samples in 2.01 seconds"), 2.01)
        self.assertIsNone(seconds("sampling"))

    def test_failed(self):
        def share(number, **said):
            return figures.failed(tools.Recording([], 0, 1, said), number)
        self.assertEqual(share(0, rounds=200, failed=1), 0.005)
        self.assertEqual(share(99, errors=1), 0.01)
        self.assertEqual(share(0, errors="5/100"), 1)
        self.assertAlmostEqual(share(0, words="Error rate: 0.85"), 0.0085)
        self.assertIsNone(share(5))

    def test_middle(self):
        turns = [{"cpu": cpu, "cut": cut, "impossible": None, "rootless": 0, "samples": samples}
                 for cpu, cut, samples in ((1, 0, 100), (9, 0.1, 300), (2, 0, 100))]
        for one in turns:
            one["impossible"] = 0
        row = figures.middle(turns)
        self.assertEqual((row["cpu"], row["samples"], row["turns"]), (2, 500, 3))
        self.assertAlmostEqual(row["cut"], 0.06)

    def test_ratio_to_the_floor(self):
        rows = [{"tool": "(floor)", "cpu_per_look_us": 40}, {"tool": "a", "cpu_per_look_us": 60}, {"tool": "b"}]
        figures.add_ratios(rows)
        self.assertEqual([row["times_floor"] for row in rows], [1, 1.5, None])


class Counting(unittest.TestCase):
    def test_perf(self):
        text = "# started\n\n1234,,raw_syscalls:sys_enter,5,100.00,,\n" \
               "56,,syscalls:sys_enter_process_vm_readv,5,100.00,,\n<not counted>,,syscalls:sys_enter_ptrace,0,0,,\n"
        self.assertEqual(counting.from_perf(text), {"all": 1234, "reads": 56})

    def test_strace(self):
        text = "% time     seconds  usecs/call     calls    errors syscall\n" \
               "------ ----------- ----------- --------- --------- ----------------\n" \
               " 98.00    1.000000          10      2000           process_vm_readv\n" \
               "  2.00    0.100000          10        30         4 futex\n" \
               "100.00    1.100000          10      2030         4 total\n"
        counts = counting.from_strace(text)
        self.assertEqual((counts["all"], counts["reads"], counts["ptrace"]), (2030, 2000, 0))


class Waiting(unittest.TestCase):
    TRACE = """ 7 10.000000: sched:sched_process_exec:
 7 10.001000: syscalls:sys_enter_futex:
 8 10.002000: syscalls:sys_enter_process_vm_readv:
 7 10.002500: syscalls:sys_enter_futex:
 8 10.003000: syscalls:sys_enter_clock_nanosleep:
 8 10.004000: syscalls:sys_enter_process_vm_readv:
 8 10.005000: syscalls:sys_enter_process_vm_readv:
 8 10.006000: syscalls:sys_enter_futex:
"""

    def test_first_sample(self):
        self.assertAlmostEqual(first.first_sample(self.TRACE, 1), 0.003)
        self.assertAlmostEqual(first.first_sample(self.TRACE, 2), 0.006)
        self.assertIsNone(first.first_sample(self.TRACE, 3))
        self.assertIsNone(first.first_sample("", 1))


class Table(unittest.TestCase):
    def test_lines(self):
        lines = [["a", "1"], ["longer", "no stack"], ["b"]]
        self.assertEqual(table.text(lines, ("tool", "x"), False).splitlines(),
                         ["tool           x", "a              1", "longer  no stack", "b"])
        self.assertEqual(table.text(lines[:1], ("tool", "MiB"), True).splitlines(),
                         ["| tool | MiB |", "| ---- | --: |", "| a    |   1 |"])

    def test_brief(self):
        rows = [{"tool": "(floor)", "target": "fib", "rate": 1000, "python": "3.14", "rate_reached": 999.6,
                 "cpu_per_look_us": 40.2},
                {"tool": "b", "target": "fib", "rate": 1000, "python": "3.14", "failed_with": "no stack"}]
        self.assertEqual(table.brief({"rows": rows}).splitlines()[1].split("  "),
                         ["fib, 1000 Hz, Python 3.14", "1000, 40 us", "-"])

    def test_rows_are_replaced(self):
        old = [{"tool": "a", "x": 1}, {"tool": "b", "x": 1}]
        new = [{"tool": "b", "x": 2}, {"tool": "c", "x": 2}]
        self.assertEqual([(row["tool"], row["x"]) for row in run.merged(old, new, ("tool",))],
                         [("a", 1), ("b", 2), ("c", 2)])


if __name__ == "__main__":
    unittest.main()

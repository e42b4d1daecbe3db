"""The oracle must blame what cannot be and nothing else: `python3 -m unittest`."""
import unittest

import frames
import graphs
import metrics
import tools
from frames import Frame


def stack(target, *names, version=(3, 13)):
    """Judges <module>, main and `names`, all from the target's own file."""
    listed = [Frame(n, target + ".py", None) if isinstance(n, str) else n
              for n in ("<module>", "main") + names]
    return graphs.judge(target, version, listed)[0]


PLAIN = tuple("p_%02d" % k for k in range(20))


class Tree(unittest.TestCase):
    def test_paths(self):
        for depth in range(20):
            self.assertEqual(stack("tree", *PLAIN[:depth]), "true")
        self.assertEqual(stack("tree", *PLAIN, "t_", "t_1", "t_10", "t_101"), "true")
        self.assertEqual(stack("tree", *PLAIN, "keep_running"), "true")

    def test_torn(self):
        for wrong in [("t_", "t_1", "t_00"), ("t_", "t_10"), ("t_1",), ("t_", "t_1", "t_"),
                      ("t_", "keep_running"), ("t_", "p_03")]:
            self.assertEqual(stack("tree", *PLAIN, *wrong), "impossible", wrong)
        self.assertEqual(stack("tree", *PLAIN[:5], *PLAIN[6:]), "impossible")
        self.assertEqual(stack("tree", "t_"), "impossible")

    def test_root(self):
        rootless = [Frame("t_1", "<tree>", 1), Frame("t_10", "<tree>", 1)]
        self.assertEqual(graphs.judge("tree", (3, 13), rootless)[0], "rootless")
        self.assertEqual(graphs.judge("tree", (3, 13), [])[0], "rootless")
        # A wrong pair is the worse of the two, and hides behind no missing root.
        self.assertEqual(graphs.judge("tree", (3, 13), rootless[::-1])[0], "impossible")


class Chains(unittest.TestCase):
    def test_one_chain(self):
        for letter, end in graphs.CHAIN_ENDS.items():
            self.assertEqual(stack("chains", *["%s_%02d" % (letter, k) for k in range(end + 1)]), "true")

    def test_mixed(self):
        self.assertEqual(stack("chains", "a_00", "b_01"), "impossible")
        self.assertEqual(stack("chains", "a_00", "a_02"), "impossible")
        self.assertEqual(stack("chains", "a_01"), "impossible")


class Generators(unittest.TestCase):
    def test_pipelines(self):
        self.assertEqual(stack("gens", "ga_drive", "ga_sum", "ga_pass", "ga_source", "ga_leaf"), "true")
        self.assertEqual(stack("gens", "gb_drive", "gb_outer", "gb_mid", "gb_inner", "gb_pause"), "true")
        self.assertEqual(stack("gens", "gc_drive", "gc_genexp", "gc_numbers", "gc_leaf"), "true")
        self.assertEqual(stack("gens", "gc_drive", "gc_listcomp", "gc_genexp", version=(3, 11)), "true")

    def test_versions(self):
        self.assertEqual(stack("gens", "gc_drive", "gc_listcomp"), "impossible")
        self.assertEqual(stack("gens", "gc_drive", "gc_genexp", version=(3, 10)), "impossible")

    def test_mixed(self):
        for wrong in [("ga_drive", "gc_genexp"), ("ga_drive", "ga_pass"), ("gc_drive", "gc_numbers"),
                      ("ga_source",), ("gb_drive", "gb_mid"), ("gc_drive", "gc_genexp", "gb_leaf")]:
            self.assertEqual(stack("gens", *wrong), "impossible", wrong)


class Others(unittest.TestCase):
    def test_recursion(self):
        self.assertEqual(stack("recursion", "ra_root", "ra_0", "ra_1", "ra_2", "ra_0", "ra_leaf"), "true")
        for wrong in [("ra_root", "ra_0", "ra_2"), ("ra_0",), ("ra_root", "rb_0"),
                      ("rb_root", "rb_0", "rb_1", "ra_2"), ("rb_root", "rb_leaf")]:
            self.assertEqual(stack("recursion", *wrong), "impossible", wrong)

    def test_selftime(self):
        self.assertEqual(stack("selftime", "s_over_5000", "s_under_5000"), "true")
        self.assertEqual(stack("selftime", "s_under_5000"), "impossible")
        self.assertEqual(stack("selftime", "s_over_5000", "s_under_10000"), "impossible")

    def test_names(self):
        def made(name, number, line):
            return Frame(name, "<gen-%d>" % number, line)
        line = graphs.first_line(17)
        good = [made("f_17", 17, line + 2), made("g_17", 17, line + 7)]
        self.assertEqual(stack("names", *good), "true")
        self.assertEqual(stack("names", "make", made("<module>", 17, 1)), "true")
        self.assertEqual(stack("names", good[0], made("g_18", 18, graphs.first_line(18) + 7)), "impossible")
        self.assertEqual(stack("names", made("f_17", 18, line)), "impossible")
        self.assertEqual(stack("names", made("f_17", 17, line + 5)), "impossible")
        self.assertEqual(stack("names", good[1]), "impossible")

    def test_lines(self):
        def called(caller_line, name, line):
            return stack("lines", Frame("l_caller", "<lines>", caller_line), Frame(name, "<lines>", line))
        self.assertEqual(called(12, "l_12", 1048), "true")
        self.assertEqual(called(13, "l_12", 1048), "misplaced")
        self.assertEqual(called(12, "l_12", 1052), "impossible")
        self.assertEqual(called(12, "l_12", None), "true")

    def test_lines_further_up(self):
        def called(number, line, name, inner_line):
            return stack("lines", Frame("l_caller", "<lines>", number), Frame("l_%d" % number, "<lines>", line),
                         Frame(name, "<lines>", inner_line))
        self.assertEqual(called(13, 1054, "m_13", 2054), "true")
        self.assertEqual(called(14, 1058, "g_14", 2059), "true")
        self.assertEqual(called(13, 1055, "m_13", 2054), "misplaced")
        self.assertEqual(called(14, 1057, "g_14", 2058), "misplaced")
        self.assertEqual(called(13, 1054, "g_13", 2054), "impossible")
        self.assertEqual(called(12, 1050, "m_12", 2050), "impossible")
        self.assertEqual(called(13, 1054, "m_13", 2056 + 2), "impossible")

    def test_lines_of_calls_that_are_written_out(self):
        source = graphs._source("gens")
        line = next(k for k, text in enumerate(source, 1) if "return await gb_pause(" in text)
        def called(line):
            return stack("gens", "gb_drive", "gb_outer", "gb_mid", Frame("gb_inner", "gens.py", line), "gb_pause")
        self.assertEqual(called(line), "true")
        self.assertEqual(called(line - 1), "misplaced")
        self.assertEqual(called(10000), "misplaced")


class Formats(unittest.TestCase):
    def test_ours_and_py_spy(self):
        read = frames.parse_line("<module> (tree.py:60);Life.keep_running (common.py:9) 12\n")
        self.assertEqual(read.frames, (Frame("<module>", "tree.py", 60), Frame("keep_running", "common.py", 9)))
        self.assertEqual((read.count, read.cut), (12, False))
        self.assertEqual(frames.parse_frame("f (/a b/x.py)"), Frame("f", "x.py", None))
        self.assertEqual(frames.parse_frame("f (<gen-17>:3)"), Frame("f", "<gen-17>", 3))

    def test_cut(self):
        read = frames.parse_line("<module> (tree.py:60);[missing: stack cut] 3")
        self.assertTrue(read.cut)
        self.assertEqual(len(read.frames), 1)

    def test_austin_and_profiling_sampling(self):
        read = frames.parse_line("P12;T0:12;/t/gens.py:<module>:123;/t/gens.py:ga_drive:4 1174")
        self.assertEqual(read.frames, (Frame("<module>", "gens.py", 123), Frame("ga_drive", "gens.py", 4)))
        self.assertIsNone(frames.parse_line("P12;T0:12 1149"))
        read = frames.parse_line("tid:7;gens.py:<module>:123;<gen-17>:f_17:4 9")
        self.assertEqual(read.frames[1], Frame("f_17", "<gen-17>", 4))
        # A line that the tool does not know.
        self.assertEqual(frames.parse_frame("names.py:make.<locals>.<genexpr>:-1"),
                         Frame("<genexpr>", "names.py", None))

    def test_processes_are_no_frames(self):
        for root in ("process 12:python3 x.py (a.py:1)", "process python3 x.py (12)", "process x (ended)"):
            read = frames.parse_line(root + ";<module> (x.py:60) 1")
            self.assertEqual([frame.name for frame in read.frames], ["<module>"], root)

    def test_unknown_is_kept(self):
        read = frames.parse_line("<module> (tree.py:60);what is this 1")
        self.assertEqual(stack("tree", read.frames[1]), "impossible")


class Metrics(unittest.TestCase):
    def test_variation(self):
        self.assertEqual(metrics.variation({"a": 3, "b": 1}, {"a": 30, "b": 10}), 0)
        self.assertEqual(metrics.variation({"a": 1}, {"b": 1}), 1)
        self.assertAlmostEqual(metrics.variation({"a": 1, "b": 1}, {"a": 3, "b": 1}), 0.25)

    def test_slowdown(self):
        second = 1_000_000_000
        halted = [tools.Recording([], 2 * second, 5 * second, {}), tools.Recording([], 7 * second, 10 * second, {})]
        rounds = []
        for k in range(1200):
            begin = k * second // 100
            slow = any(r.begin <= begin <= r.end for r in halted)
            rounds.append((begin, 9_000_000 if slow else 6_000_000, 6_000_000))
        told = metrics.slowdown(rounds, halted)
        self.assertAlmostEqual(told["slowdown_wall"], 1.5)
        self.assertAlmostEqual(told["slowdown_cpu"], 1.0)

    def test_chance(self):
        self.assertEqual(metrics.chance_of_at_least(0, 1), 1)
        self.assertAlmostEqual(metrics.chance_of_at_least(1, 1), 1 - 1 / 2.718281828459045)
        self.assertLess(metrics.chance_of_at_least(9, 0.8), 1e-5)


if __name__ == "__main__":
    unittest.main()

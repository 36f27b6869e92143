"""Measure how much room the assertions of notebooks and tests have, over seeds and processors.

usage: margins.py [--runs N] [--all] NOTEBOOK_OR_TEST...

Runs each file N times, in a process of its own, with another seed and another of PROCESSORS each time; the first run is
the published one. The two sides of every comparison in an `assert` are recorded, and of `assert_close` the largest share of
the tolerance that is used; nothing stops at a failure. The table gives the mean margin, its standard deviation, their
ratio, and how often the assertion failed; without --all only where the ratio is below 4 or one failed. Such an assertion
fails on somebody's machine: average more runs, or design a better experiment; a looser bound only says less. The data are
those of the environment: PIXELCNN_EDU_DATA, or PIXELCNN_EDU_OFFLINE=1 for made-up images.
"""

import argparse
import ast
import builtins
import collections
import json
import operator
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

AVX2, ATEN2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"ATEN_CPU_CAPABILITY": "avx2"}
PROCESSORS = ({}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, AVX2, ATEN2, AVX2 | ATEN2, {"OMP_NUM_THREADS": "2"})
OPERATORS = {"Lt": ("<", operator.lt), "LtE": ("<=", operator.le), "Gt": (">", operator.gt), "GtE": (">=", operator.ge)}
ROOT = Path(__file__).resolve().parent.parent


class Rewriter(ast.NodeTransformer):
    """Makes assertions report to `record` instead of stopping, and shifts every seed."""

    def __init__(self, place, shift):
        self.place, self.shift, self.inside = place, shift, False

    def call(self, name, *arguments):
        return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])

    def visit_Assert(self, node):
        words, self.inside = f"{self.place} {ast.unparse(node.test)}", True
        held = self.call("held_", ast.Constant(words), self.visit(node.test))
        self.inside = False
        return ast.Expr(held)

    def visit_Compare(self, node):
        sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
        self.generic_visit(node)
        names = [type(op).__name__ for op in node.ops]
        if not self.inside or not set(names) <= set(OPERATORS):
            return node
        links = [f"{self.place} {a} {OPERATORS[n][0]} {b}" for a, n, b in zip(sides, names, sides[1:])]
        values = ast.List([node.left, *node.comparators], ast.Load())
        return self.call("compared_", ast.Constant("\n".join(links)), ast.Constant(" ".join(names)), values)

    def shifted(self, node):
        """The seed that stands here, each just once: where a name stands, its value was shifted before."""
        if isinstance(node, ast.Tuple):
            return ast.Tuple([self.shifted(part) for part in node.elts], ast.Load())
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and len(node.args) == 1:
            shift = ast.Constant(self.shift)
            return ast.Call(node.func, [shift, ast.BinOp(node.args[0], ast.Add(), shift)], [])
        return ast.Constant(node.value + self.shift) if isinstance(node, ast.Constant) else node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        after = node.args.args[len(node.args.args) - len(node.args.defaults) :]
        pairs = zip(after, node.args.defaults)
        node.args.defaults = [self.shifted(value) if name.arg == "seed" else value for name, value in pairs]
        return node

    def visit_For(self, node):
        self.generic_visit(node)
        if getattr(node.target, "id", "") == "seed":
            node.iter = self.shifted(node.iter)
        return node

    def visit_Subscript(self, node):
        return node if self.inside else self.generic_visit(node)  # a mask is no assertion

    def visit_Call(self, node):
        words = f"{self.place} {ast.unparse(node)}"
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "assert_close":
            node.func, node.args = ast.Name("close_", ast.Load()), [ast.Constant(words), *node.args]
        elif name in ("manual_seed", "default_rng"):
            node.args = [self.shifted(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg == "seed":
                keyword.value = self.shifted(keyword.value)
        if name == "Training" and all(keyword.arg != "seed" for keyword in node.keywords):
            node.keywords.append(ast.keyword("seed", ast.Constant(self.shift)))
        return node


def instrument(rows):
    """Define what rewritten code calls; each appends to `rows` an assertion, its margin or None, and whether it held."""
    import numpy as np
    import torch

    def compared(links, names, sides):
        names = names.split()
        for words, name, left, right in zip(links.split("\n"), names, sides, sides[1:]):
            truth = OPERATORS[name][1](left, right)
            if not isinstance(left, str):
                less, more = (np.asarray(getattr(x, "detach", lambda x=x: x)(), dtype=float) for x in (left, right))
                margin = more - less
                rows.append((words, float((margin if name[0] == "L" else -margin).min(initial=np.inf)), True))
            if len(names) > 1 and not truth:
                return False
        return truth

    def close(words, ours, theirs, rtol=None, atol=None, **options):
        def holds(share):
            double = getattr(ours, "dtype", torch.float32) == torch.float64
            usual = (1e-7, 1e-7) if double else (1.3e-6, 1e-5)  # of torch.testing
            r, a = usual if rtol is None else (rtol, atol)
            try:
                check(ours, theirs, rtol=share * r, atol=share * a, **options)
            except AssertionError:
                return False
            return True

        used = next((share for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1) if holds(share)), 2)
        rows.append((words, 1 - used, used <= 1))

    check = torch.testing.assert_close
    builtins.held_ = lambda words, truth: rows.append((words, None, bool(truth)))
    builtins.compared_, builtins.close_ = compared, close


def run_cells(path, shift, rows):
    import matplotlib
    import torch

    matplotlib.use("Agg")
    if os.environ["OMP_NUM_THREADS"] != "1":
        torch.set_num_threads = lambda count: None  # a chapter would go back to one thread
    os.chdir(path.parent)
    scope = {"__name__": "__main__"}
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        place = f"{path.stem[:6]} [{number}]"
        source = "".join(cell["source"]).replace("%pip", "pass  # ")
        tree = Rewriter(place, shift).visit(ast.parse(source))
        try:
            exec(compile(ast.fix_missing_locations(tree), place, "exec"), scope)
        except Exception as error:  # the cells after it may do without
            if "raises-exception" not in cell["metadata"].get("tags", []):
                rows.append((f"{place} {type(error).__name__}: {error}", None, False))


def run_tests(path, shift):
    import pytest

    tree = ast.fix_missing_locations(Rewriter(path.name, shift).visit(ast.parse(path.read_text())))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_text(ast.unparse(tree).replace("__file__", repr(str(path))))
        pytest.main(["-q", "--assert=plain", "-p", "conftest", "-p", "no:cacheprovider", str(copy)])


def run_once(path, shift, out):
    rows = []
    instrument(rows)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    run_cells(path, shift, rows) if path.suffix == ".ipynb" else run_tests(path, shift)
    found = collections.defaultdict(lambda: (None, True))
    for words, margin, held in rows:  # an assertion in a loop counts with its worst
        known = [m for m in (margin, found[words][0]) if m is not None]
        found[words] = (min(known, default=None), held and found[words][1])
    out.write_text(json.dumps(found))


def measure(path, runs):
    """Return assertion -> list of (margin or None, held), one for each run of the file at `path`."""
    found = collections.defaultdict(list)
    for number in range(runs):
        shift, processor = 1000 * number, PROCESSORS[number % len(PROCESSORS)]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "margins.json")
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0", **processor}
            command = [sys.executable, __file__, "--once", str(out), str(shift), str(path.resolve())]
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if not out.exists():
                sys.exit(f"{path} with seed {shift}, {processor}: {result.stderr[-2000:]}")
            for words, row in json.loads(out.read_text()).items():
                found[words].append(row)
    return found


def main():
    if sys.argv[1:2] == ["--once"]:
        return run_once(Path(sys.argv[4]), int(sys.argv[3]), Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    print("| assertion | mean margin | sd | margin/sd | failed |\n|---|---|---|---|---|")
    for path in options.files:
        for words, results in measure(path, options.runs).items():
            numbers = [margin for margin, _ in results if margin is not None]
            mean, sd = (statistics.mean(numbers), statistics.pstdev(numbers)) if numbers else (float("nan"),) * 2
            ratio = mean / sd if sd else float("inf")
            failed = sum(not held for _, held in results)
            if options.all or failed or ratio < 4:
                print(f"| `{words}` | {mean:.3g} | {sd:.2g} | {ratio:.1f} | {failed} of {len(results)} |", flush=True)


if __name__ == "__main__":
    main()

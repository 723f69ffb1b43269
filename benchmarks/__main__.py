"""`python -m benchmarks [NAME ...] [--json] [--small]`: print a table, or one JSON line per row."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import benchmarks
from benchmarks.harness import Row

HEADER = f"{'benchmark':16} {'what':44} {'ours':>10} {'other':>10} {'unit':8} {'ratio':>6} {'goal':>5}  met  beside"


def names() -> list[str]:
    """Return the benchmarks there are, without importing them, which takes long."""
    folder = Path(benchmarks.__path__[0])
    return sorted(path.stem for path in folder.glob("*.py") if "\ndef run(small: bool)" in path.read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks and print what they measured; 1 where a goal is missed."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(known)}; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON line per row")
    parser.add_argument("--small", action="store_true", help="little data: for trying a benchmark, not for its figures")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(known):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    all_met = True
    if not options.json:
        print(HEADER)
    for row in _run(options.names or known, options.small):
        all_met &= row.met
        show(row, as_json=options.json)
    return 0 if all_met else 1


def _run(chosen: Sequence[str], small: bool) -> Iterator[Row]:
    for name in chosen:
        yield from import_module(f"benchmarks.{name}").run(small)


def show(row: Row, *, as_json: bool) -> None:
    """Print a row, as part of the table or as a line of JSON."""
    if as_json:
        print(json.dumps(row.to_dict()), flush=True)
        return
    if row.failure:
        print(f"{row.benchmark:16} {row.what:44} not measured beside {row.other_name}: {row.failure}", flush=True)
        return
    figures = f"{row.ours:10.4g} {row.other:10.4g} {row.unit:8} {row.ratio:6.2f} {row.goal:5.2f}"
    beside = f"{row.kind}: {row.other_name}"
    print(f"{row.benchmark:16} {row.what:44} {figures}  {'yes' if row.met else 'NO ':3}  {beside}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

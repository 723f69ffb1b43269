"""The harness of the benchmarks, and each benchmark on little data: do they run, and add up?"""

import json

import pytest

from benchmarks.__main__ import main, names
from benchmarks.harness import Row, pairs


@pytest.mark.parametrize("name", names())
def test_it_runs_on_little_data(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--small", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    assert all(row["ours"] > 0 and row["other"] > 0 for row in rows)


def test_a_ratio_above_one_is_always_better() -> None:
    faster = Row("b", "w", "MB/s", 200, 100, "peer", "peer", 1.5)
    smaller = Row("b", "w", "s", 1, 2, "peer", "peer", 1.5, lower_is_better=True)
    assert faster.ratio == smaller.ratio == 2
    assert faster.met
    assert smaller.met


def test_pairs_take_turns() -> None:
    order: list[str] = []
    pairs(lambda: order.append("ours"), lambda: order.append("other"), repeats=2)
    assert order == ["ours", "other"] * 3


def test_an_unknown_benchmark_is_a_usage_error() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nothing"])

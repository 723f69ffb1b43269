"""The harness of the benchmarks, and each benchmark on little data: do they run, and add up?

Only tests import benchmarks: they import all that they measure.
"""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main, names, show
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


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import nothing_of_this_name"])
def test_a_peer_that_does_not_start_is_a_row(program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.peers.servers import Peer
    from benchmarks.serving import beside_peer

    peer = Peer("broken", None, lambda place, _: [str(place.python), "-c", program])
    [row] = beside_peer(peer, tmp_path, tmp_path, [], port=0)
    assert not row.met
    assert row.ratio == 0
    assert "before it was ready" in row.failure
    show(row, as_json=False)
    assert "not measured beside broken" in capsys.readouterr().out


def test_a_peer_whose_program_is_missing_is_a_row(tmp_path: Path) -> None:
    from benchmarks.peers.servers import Peer
    from benchmarks.serving import beside_peer

    peer = Peer("missing", None, lambda place, _: [place.script("no-such-program")])
    [row] = beside_peer(peer, tmp_path, tmp_path, [], port=0)
    assert "no-such-program" in row.failure

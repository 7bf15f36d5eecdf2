"""When a run stops by itself: it stays stopped, and counts on over an interruption."""

from __future__ import annotations

import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import torch

from training.checkpoints import BEST

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
FAST, SHORT, A_PASS, CONTRARY = itemgetter("FAST", "SHORT", "A_PASS", "CONTRARY")(SMALL)
network, run, assert_same, logged, steps, run_until = itemgetter(
    "network", "run", "assert_same", "logged", "steps", "run_until"
)(SMALL)


def test_it_stops_when_the_development_error_no_longer_falls_and_stays_stopped(tmp_path: Path, steps: list) -> None:
    loop = replace(SHORT, epochs=60, patience=3)
    stopped = run(tmp_path, loop, **CONTRARY)
    lines = logged(tmp_path)
    best = min(range(len(lines)), key=lambda k: (lines[k]["dev_error"], lines[k]["dev_loss"]))
    assert len(lines) == best + 1 + 3 < 60
    assert torch.load(tmp_path / BEST, weights_only=True)["global_step"] == (best + 1) * A_PASS
    taken = len(steps)
    assert_same(run(tmp_path, loop, start=network(seed=4), **CONTRARY), stopped)
    assert len(steps) == taken
    assert logged(tmp_path) == lines


def test_patience_begins_when_something_is_recognised(tmp_path: Path) -> None:
    """A network that does not learn says nothing but blanks, as every CTC network does at first."""
    mute = network()
    with torch.no_grad():
        mute.head.linear.bias[0] = 50.0
    run(tmp_path, replace(SHORT, epochs=6, patience=2), start=mute, optimizer=replace(FAST, learning_rate=1e-9))
    assert [line["dev_error"] for line in logged(tmp_path)] == [100.0] * 6


def test_patience_counts_on_over_an_interruption(tmp_path: Path) -> None:
    loop = replace(SHORT, epochs=60, patience=3)
    expected = run(tmp_path / "whole", loop, **CONTRARY)
    last = (len(logged(tmp_path / "whole")) - 1) * A_PASS + 1  # in the interval after which it stops
    run_until(last, tmp_path / "resumed", loop, **CONTRARY)
    assert_same(run(tmp_path / "resumed", loop, **CONTRARY), expected)
    assert logged(tmp_path / "resumed") == logged(tmp_path / "whole")

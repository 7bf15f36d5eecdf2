"""The experiment `long_time_lag`: what is learned and when it is solved, the report, and going on where it stopped."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from encoders.layers import make_layer
from recipes import cli
from recipes.long_time_lag.experiment import PLOT, RUNS, TABLE
from recipes.long_time_lag.learner import MEMBERS, Learner, Settings, errors_of, learn, start_with
from recipes.long_time_lag.report import draw, needed, summary, table
from recipes.long_time_lag.settings import read_settings, settings_of
from recipes.long_time_lag.tasks import TASKS, Batch, Criterion


@pytest.fixture(autouse=True)
def threads_are_given_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(name: str, lag: int, *, count: int) -> Batch:
    return TASKS[name].draw(np.random.default_rng(0), count, lag)


def test_criterion() -> None:
    criterion = Criterion(window=4, tolerance=0.1, wrong=1, mean=0.06)
    assert not criterion.met(np.zeros(3)), "too few"
    assert criterion.met(np.array([9, 0, 0, 0, 0.1]))
    assert not criterion.met(np.array([0, 0.1, 0.1, 0]))
    assert not criterion.met(np.array([0.05, 0.05, 0.05, 0.09])), "mean"
    assert not criterion.met(np.array([np.nan, np.nan, 0, 0]))


def test_error_is_the_largest_of_all_that_is_judged() -> None:
    batch = drawn("no_regularities", 4, count=5)
    learner = Learner("lstm", TASKS["no_regularities"], 4, Settings())
    answers = learner(batch)
    probabilities = answers.detach().double().softmax(-1).numpy().reshape(5, 4, 5)
    wanted = np.eye(5)[batch.targets_N.reshape(5, 4)]
    assert errors_of(learner, answers, batch) == pytest.approx(
        np.abs(probabilities - wanted)[:, -1].max(axis=1), abs=1e-6
    )


@pytest.mark.parametrize("cell", ["lstm", "cifg", "gru", "lstm_1997", "rnn"])
def test_gates_remember_for_as_long_as_asked(cell: str) -> None:
    layer = make_layer(cell, 3, 400)
    before = {name: value.clone() for name, value in layer.stored().items()}
    start_with(layer, remember=1000, scale=0.5)
    after = layer.stored()
    assert torch.equal(after["W"], before["W"])
    assert torch.allclose(after["R"], 0.5 * before["R"])
    bias_GH = sum(after["B"].chunk(2)).unflatten(0, (-1, 400))
    kept = {"lstm": ("f", 1), "cifg": ("i", -1), "gru": ("z", 1), "lstm_1997": ("i", -1), "rnn": None}[cell]
    if kept is None:
        assert not bias_GH.any()
        return
    gate, sign = kept
    times = (sign * bias_GH[layer.cell.gates.index(gate)]).exp()
    assert times.min() >= 0.999
    assert times.max() < 1000
    assert times.mean().item() == pytest.approx(500, rel=0.1)
    if cell == "lstm":
        assert torch.equal(bias_GH[layer.cell.gates.index("i")], -bias_GH[layer.cell.gates.index("f")])


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_learns_every_kind_of_task(member: str) -> None:
    for name in ("adding", "very_long", "noise_free"):
        outcome = learn(name, 10, member, 0, settings=Settings(batch=10, remember=1), budget=30)
        assert not outcome.solved
        assert outcome.sequences == 30
        assert np.isfinite(outcome.error)


def test_truncated_gradient_is_another_one() -> None:
    settings = Settings(remember=1)
    full, truncated = (
        learn("adding", 10, member, 0, settings=settings, budget=200).error
        for member in ("lstm_1997", "lstm_1997_truncated")
    )
    assert full != truncated


def solve(**changes: Any) -> Any:
    arguments = {"settings": Settings(batch=20, learning_rate=0.02, remember=1), "budget": 20_000, **changes}
    return learn("two_sequences", 10, "lstm", 0, **arguments)


def test_short_lag_is_solved_the_same_way_each_time() -> None:
    outcome = solve()
    assert outcome.solved
    assert outcome.wrong <= 10
    assert outcome.error < TASKS["two_sequences"].criterion.mean
    told: list[int] = []
    assert solve(tell=told.append) == outcome
    assert told == list(range(20, outcome.sequences, 20))


def test_loss_that_is_no_number_is_not_solved() -> None:
    outcome = solve(settings=Settings(learning_rate=float("inf")))
    assert not outcome.solved
    assert outcome.sequences < 200
    assert outcome.error is None


def test_settings_are_there_for_every_task_and_cell() -> None:
    read = read_settings()
    assert all(isinstance(settings_of(read, task, cell), Settings) for task in TASKS for cell in MEMBERS)
    assert set(read["full"]["tasks"]) == set(TASKS)
    assert set(read["full"]["cells"]) == set(MEMBERS)


def line(seed: int, sequences: int, *, solved: bool = True, cell: str = "lstm") -> dict[str, Any]:
    return {"task": "adding", "lag": 100, "cell": cell, "seed": seed, "budget": 5000, "settings": {}, "seconds": 1.0,
            "solved": solved, "sequences": sequences, "error": 0.01, "wrong": seed if solved else None}  # fmt: skip


def test_runs_that_were_not_solved_count_as_needing_more_than_their_budget(tmp_path: Path) -> None:
    runs = [line(0, 1000), line(1, 3000), line(2, 2000), line(3, 5000, solved=False), line(4, 5000, solved=False)]
    assert needed(runs) == [2000, 3000, float("inf")]
    assert needed(runs[:2]) == [1500, 2000, 2500]
    runs += [line(seed, 5000, solved=False, cell="rnn") for seed in range(2)]
    shown = table(runs).splitlines()
    assert "| 4, adding | 100 | lstm | 3 of 5 | 3,000 | 2,000 to > 5,000 | 2 |" in shown
    assert "| 4, adding | 100 | rnn | 0 of 2 | > 5,000 | > 5,000 to > 5,000 | - |" in shown
    assert summary(runs) == "adding, lag 100, solved: rnn 0 of 2, lstm 3 of 5"
    draw(runs, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


COMMAND = [
    "--tasks",
    "two_sequences",
    "noisy_signal",
    "--cells",
    "lstm",
    "rnn",
    "--lags",
    "4",
    "--seeds",
    "2",
    "--jobs",
    "1",
]


def experiment(out: Path, *more: str) -> int:
    return cli.main(["long_time_lag", "--out", str(out), *COMMAND, "--budget", "300", *more])


def lines_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(text) for text in (out / RUNS).read_text(encoding="utf-8").splitlines()]
    return sorted(({**line, "seconds": 0} for line in lines), key=str)


def test_interrupted_experiment_goes_on_to_the_same_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert experiment(whole) == 0
    result = capsys.readouterr().out
    assert re.search(r"^two_sequences, lag 4, solved: rnn \d of 2, lstm \d of 2$", result, re.MULTILINE)
    assert len(lines_of(whole)) == 8
    assert (whole / PLOT).read_bytes().startswith(b"\x89PNG")

    # Stopped after three runs; the fourth had not ended, and so left nothing.
    shutil.copytree(whole, parts)
    kept = (parts / RUNS).read_text(encoding="utf-8").splitlines(keepends=True)[:3]
    (parts / RUNS).write_text("".join(kept), encoding="utf-8")
    assert experiment(parts) == 0
    assert (parts / RUNS).read_text(encoding="utf-8").startswith("".join(kept)), "done runs are not done again"
    assert lines_of(parts) == lines_of(whole)
    assert (parts / TABLE).read_text(encoding="utf-8") == (whole / TABLE).read_text(encoding="utf-8")


@pytest.mark.slow
def test_processes_are_stopped_and_go_on_to_the_end_of_one_process(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    longer = ["--seeds", "4", "--budget", "2000"]
    assert experiment(one, *longer) == 0
    options = ["--out", str(two), *COMMAND, *longer, "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "recipes", "long_time_lag", *options], stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            while not (two / RUNS).exists():
                assert program.poll() is None, program.stderr.read()
                time.sleep(0.01)
            program.send_signal(signal.SIGINT)
            said = program.communicate(timeout=120)[1]
        finally:
            program.kill()
    assert said == "recipes long_time_lag: stopped; the same command goes on from here\n"
    assert program.returncode == 130
    before = lines_of(two)
    assert 0 < len(before) < 16
    assert (two / TABLE).read_text(encoding="utf-8") == table(before)
    assert (two / PLOT).read_bytes().startswith(b"\x89PNG")
    assert experiment(two, *longer, "--jobs", "2") == 0
    assert lines_of(two) == lines_of(one)


def test_runs_of_others_stay_in_the_table(tmp_path: Path) -> None:
    assert experiment(tmp_path, "--tasks", "two_sequences") == 0
    assert experiment(tmp_path, "--tasks", "noisy_signal") == 0
    assert {line["task"] for line in lines_of(tmp_path)} == {"two_sequences", "noisy_signal"}
    assert "3a" in (tmp_path / TABLE).read_text(encoding="utf-8")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    return error[0]


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, why in [
        (["--budget", "20"], "--budget: two_sequences is solved over 256 sequences; give no fewer"),
        (["--budget", "0"], "--budget: two_sequences is solved over 256 sequences; give no fewer"),
        (["--tasks", "adding", "--budget", "9000"], "--lags: adding is not defined for less than 10 steps"),
        (["--seeds", "0"], "--seeds is 0"),
    ]:
        assert experiment(tmp_path, *wrong) == 2
        assert why in said(capsys)
    for wrong in (["--cells", "lstn"], ["--lags", "many"], ["--epochs", "3"]):
        with pytest.raises(SystemExit) as ended:
            experiment(tmp_path, *wrong)
        assert ended.value.code == 2
        assert wrong[-1] in said(capsys) or wrong[0] in said(capsys)


def test_folder_of_another_experiment_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiment(tmp_path, "--seeds", "1") == 0
    capsys.readouterr()
    before = (tmp_path / RUNS).read_text(encoding="utf-8")
    assert experiment(tmp_path, "--budget", "400") == 2
    assert f"{tmp_path / RUNS}: line 1 is of other settings or another budget; take another --out" in said(capsys)
    # Of other seeds too: what one row of the table counts has one budget.
    assert experiment(tmp_path, "--budget", "400", "--seeds", "1", "--first-seed", "1") == 2
    assert "line 1 is of other settings or another budget" in said(capsys)
    (tmp_path / RUNS).write_text(before[:-20], encoding="utf-8")
    assert experiment(tmp_path) == 2
    assert "line 4 is no run; remove it, and the run is done again" in said(capsys)


def test_what_would_run_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["long_time_lag", "--out", "absent", "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["cells"] == ["lstm", "rnn"]
    assert max(shown["lags"]) >= 1000
    assert shown["seeds"] == 10
    assert set(shown["learning"]) == set(shown["tasks"])
    assert not Path("absent").exists()


def test_other_settings_and_seeds_may_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = read_settings()
    read["tasks"]["two_sequences"]["lstm"] = {"learning_rate": 0.125}
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(read), encoding="utf-8")
    assert experiment(tmp_path, "--config", str(own), "--first-seed", "100", "--print_config") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["learning"]["two_sequences"]["lstm"]["learning_rate"] == 0.125
    assert shown["first_seed"] == 100
    assert experiment(tmp_path, "--tasks", "two_sequences", "--seeds", "1", "--first-seed", "100") == 0
    assert {line["seed"] for line in lines_of(tmp_path)} == {100}
    read["tasks"]["two_sequences"]["lstm"] = {"batch": 301}
    own.write_text(yaml.safe_dump(read), encoding="utf-8")
    capsys.readouterr()
    assert experiment(tmp_path, "--config", str(own)) == 2
    assert "two_sequences: a batch of 301 is more than its budget of 300" in said(capsys)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("tasks: [", "while parsing"),
        ("default: {}", "missing"),
        ({"default": {"tasks": ["subtracting"], "cells": [], "lags": [], "seeds": 1}}, "subtracting"),
        ({"tasks": {}}, "'noise_free'"),
        ({"tasks": {name: {"budget": 1, "all": {"batches": 2}} for name in TASKS}}, "batches"),
        ({"tasks": {name: {"budget": 1, "all": {"clip": 0}} for name in TASKS}}, "clip is 0"),
        ({"tasks": {name: {"budget": 1, "all": {}, "lstn": {}} for name in TASKS}}, "lstn"),
    ],
)
def test_wrong_settings_are_named(wrong: Any, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(wrong if isinstance(wrong, str) else yaml.safe_dump({**read_settings(), **wrong}), encoding="utf-8")
    assert experiment(tmp_path, "--config", str(own)) == 2
    error = said(capsys)
    assert error.startswith(f"recipes long_time_lag: {own}: wrong or missing in these settings: ")
    assert why in error


def test_help_names_every_task_cell_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["long_time_lag", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: python -m recipes long_time_lag --out FOLDER [OPTION ...]\n")
    for word in (*TASKS, *MEMBERS):
        assert re.search(rf"\b{word}\b", shown)
    for option in ("--out", "--full", "--lags", "--seeds", "--first-seed", "--config", "--budget", "--jobs"):
        assert re.search(rf"^  {option}\b", shown, re.MULTILINE)

"""What cannot be trained on: it is named, and either left out or the end of the run, in one line."""

from __future__ import annotations

import multiprocessing
import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoints import CheckpointError
from training.data import Example
from training.loop import DivergedError
from training.manifests import Item

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
DEV, TRAIN, SHORT = itemgetter("DEV", "TRAIN", "SHORT")(SMALL)
load, network, run, logged, steps = itemgetter("load", "network", "run", "logged", "steps")(SMALL)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_too_short_for_its_words_is_named_and_counted_and_left_out(workers: int, tmp_path, steps) -> None:
    # 18 words in 3 frames; 2 equal words in 2 frames; and one that just fits: 3 words in 3 frames.
    short = [
        Item("too-many", "", 0.0, 0.03, " ".join("123" * 6)),
        Item("twice", "", 0.0, 0.02, "2 2"),
        Item("just", "", 0.0, 0.03, "1 2 3"),
    ]
    loop = replace(SHORT, epochs=2, workers=workers, batch_frames=20)
    run(tmp_path, loop, train=[*TRAIN, *short])
    log = (tmp_path / "train.log").read_text()
    assert log.count("2 items are too short and were left out") == 1
    assert "too-many: needs 18 frames, has 3" in log
    assert "twice: needs 3 frames, has 2" in log
    assert "just:" not in log
    # The mean of the log is over those that could be aligned.
    half = len(steps) // 2
    counted = [(loss, len(set(ids) - {"too-many", "twice"})) for _, loss, ids in steps[:half]]
    assert any(count < len(ids) for (_, count), (_, _, ids) in zip(counted, steps, strict=False))
    mean = sum(loss * count for loss, count in counted) / sum(count for _, count in counted)
    assert logged(tmp_path)[0]["loss"] == pytest.approx(mean, abs=1e-4)


def test_development_data_that_cannot_be_aligned_counts_as_errors(tmp_path: Path) -> None:
    dev = [Item("short", "", 0.0, 0.01, "1 2 3")]
    run(tmp_path, replace(SHORT, epochs=2, patience=1), dev=dev)
    assert logged(tmp_path)[0]["dev_error"] >= 2 / 3 * 100


def test_utterances_without_words_are_learnt_as_silence(tmp_path: Path) -> None:
    silence = [Item(f"silence{k}", "", 0.0, 0.2, "") for k in range(4)]
    trained = run(tmp_path, replace(SHORT, epochs=10), train=[*TRAIN, *silence], dev=[*DEV, silence[0]])
    scores, _ = trained(torch.from_numpy(load(silence[1], None).frames_TF)[None], torch.tensor([20]))
    assert not scores.argmax(-1).any()


class Broken:
    """A load that fails for one utterance, as a damaged file does. It travels to workers."""

    def __init__(self, name: str, error: type[Exception]):
        self._name, self._error = name, error

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Example:
        if item.id == self._name:
            raise self._error(f"{item.id}.wav: is cut short: copy it again")
        return load(item, rng)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", ["t7", "d3"])
def test_a_recording_that_cannot_be_read_is_one_line_out_of_a_worker_too(workers: int, name: str, tmp_path) -> None:
    with pytest.raises(CheckpointError) as caught:
        run(tmp_path, replace(SHORT, workers=workers), load=Broken(name, CheckpointError))
    assert str(caught.value) == f"{name}.wav: is cut short: copy it again"
    assert not multiprocessing.active_children()


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_utterances(tmp_path: Path) -> None:
    def poisoned(item: Item, rng: np.random.Generator | None) -> Example:
        example = load(item, rng)
        return Example(example.frames_TF * np.float32(np.nan if item.id == "t5" else 1), example.targets_L)

    with pytest.raises(DivergedError, match=r"loss is nan at step \d+, in .*t5"):
        run(tmp_path, replace(SHORT, batch_frames=18), load=poisoned)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("at_fault", ["the frames", "the output of layer1.backward"])
def test_anomaly_checks_say_where_the_first_nan_is(tmp_path: Path, at_fault: str) -> None:
    start = network()
    if at_fault == "the frames":
        broken = np.float32(np.nan)
    else:
        broken = np.float32(1)
        with torch.no_grad():
            next(start.encoder.backwards[1].parameters())[0, 0] = float("nan")

    def poisoned(item: Item, rng: np.random.Generator | None) -> Example:
        example = load(item, rng)
        return Example(example.frames_TF * (broken if item.id == "t5" else 1), example.targets_L)

    with pytest.raises(
        DivergedError, match=rf"step \d+: NaN or infinity in {at_fault}: first in item \d+ .* which is t"
    ):
        run(tmp_path, replace(SHORT, detect_anomaly=True), start=start, load=poisoned)

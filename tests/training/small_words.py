"""A training that takes a second, for `runpy.run_path`, and what tests ask of it.

What is learnt needs no sound: a "word" is a stretch of frames in which one feature is up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.network import Network
from training.config import LoopConfig, OptimizerConfig
from training.data import Buckets, Example
from training.latency import LatencyConfig
from training.loop import Training, fit
from training.manifests import Item
from training.metrics import ErrorCounts, align_tokens
from training.objectives import CtcObjective

WORDS = 3
FRAME_SECONDS = 0.01
WORD_FRAMES = 6


def utterances(count: int, *, seed: int, kind: str) -> list[Item]:
    rng = np.random.default_rng(seed)
    texts = [rng.integers(1, WORDS + 1, size=rng.integers(1, 4)) for _ in range(count)]
    return [
        Item(
            f"{kind}{k}", "", 0.0, len(words) * WORD_FRAMES * FRAME_SECONDS, " ".join(map(str, words)), f"{kind}{k % 3}"
        )
        for k, words in enumerate(texts)
    ]


TRAIN, DEV = utterances(24, seed=1, kind="t"), utterances(8, seed=2, kind="d")


def load(item: Item, rng: np.random.Generator | None) -> Example:
    """A feature is up for each word, under noise of the utterance's own, and in training under drawn noise too."""
    words = [int(word) for word in item.text.split()]
    own = np.random.default_rng(len(item.id) + sum(item.id.encode()))
    frames_TF = 0.1 * own.standard_normal((round(item.duration / FRAME_SECONDS), WORDS + 1))
    for k, word in enumerate(words):
        frames_TF[k * WORD_FRAMES + 1 : (k + 1) * WORD_FRAMES - 1, word] += 1.0
    if rng is not None:
        frames_TF += 0.2 * rng.standard_normal(frames_TF.shape)
    return Example(frames_TF.astype(np.float32), np.array(words, dtype=np.int64))


def count_errors(hypothesis: list[int], reference: list[int]) -> ErrorCounts:
    return align_tokens([str(label) for label in reference], [str(label) for label in hypothesis])[0]


def network(seed: int = 0, dropout: float = 0.3) -> Network:
    torch.manual_seed(seed)
    config = EncoderConfig(layers=2, hidden_size=12, dropout=dropout, subsampling=[1])
    return Network(WORDS + 1, WORDS + 1, config)


FAST = OptimizerConfig(learning_rate=0.03, warmup_steps=4)
SHORT = LoopConfig(epochs=4, batch_frames=60, workers=0, threads=1, patience=0)
A_PASS = Buckets([item.duration for item in TRAIN], SHORT.batch_frames * FRAME_SECONDS).batches_a_pass


def run(out: Path, loop: LoopConfig = SHORT, *, start: Network | None = None, **changes) -> Network:
    settings = {"train": TRAIN, "dev": DEV, "load": load, "optimizer": FAST, "latency": LatencyConfig()} | changes
    return fit(
        start or network(),
        settings["train"],
        settings["dev"],
        settings["load"],
        frame_seconds=FRAME_SECONDS,
        objective=CtcObjective(count_errors),
        optimizer=settings["optimizer"],
        loop=loop,
        latency=settings["latency"],
        intermediate=settings.get("intermediate"),
        consistency=settings.get("consistency"),
        out=out,
    )


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def assert_same(one: Network, other: Network) -> None:
    """Equal to the bit."""
    assert weights(one).keys() == weights(other).keys()
    for name, value in weights(one).items():
        assert value.equal(weights(other)[name]), name


def logged(out: Path) -> list[dict[str, float]]:
    """The numbers of each interval's line in `train.log`."""
    pattern = (
        r"interval +(?P<interval>\d+)  step +(?P<step>\d+)  loss (?P<loss>\S+)  dev loss (?P<dev_loss>\S+)  "
        r"dev error (?P<dev_error>\S+) %  rate (?P<rate>\S+)  "
        r"gradient (?P<gradient>\S+), (?P<clipped>\d+) % of steps clipped  \d+ s"
    )
    found = re.finditer(pattern, (out / "train.log").read_text(encoding="utf-8"))
    return [{name: float(value) for name, value in line.groupdict().items()} for line in found]


Steps = list[tuple[int, float, tuple[str, ...]]]


def record_steps(patch: Callable, seen: Callable) -> None:
    """Let `seen` have every training step from now on: its number, its loss to the last bit, and its utterances."""
    step = Training.training_step

    def recording(self: Training, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        seen((self.global_step, loss.item(), batch.ids))
        return loss

    patch(Training, "training_step", recording)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Every training step of the test; see `record_steps`."""
    seen: Steps = []
    record_steps(monkeypatch.setattr, seen.append)
    return seen


def by_hand() -> None:
    """What Ctrl-C does in the process that is asked to stop."""
    raise KeyboardInterrupt


def run_until(number: int, *arguments, stop: Callable[[], None] = by_hand, **changes) -> None:
    """A run that is stopped at this step; see `run`."""
    step = Training.training_step

    def stopping(self: Training, batch, batch_idx):
        if self.global_step == number:
            stop()
        return step(self, batch, batch_idx)

    Training.training_step = stopping
    try:
        run(*arguments, **changes)
    except KeyboardInterrupt:
        return
    finally:
        Training.training_step = step
    raise AssertionError(f"the run was over before step {number}")


# --- development data that training makes worse -----------------------------------------------------------------------


def contrary(items: list[Item]) -> list[Item]:
    """The same sound with other words: the better the training, the worse these are understood."""
    return [replace(item, id=item.id, text=item.text.translate(str.maketrans("123", "231"))) for item in items]


def load_contrary(item: Item, rng: np.random.Generator | None) -> Example:
    if rng is not None:
        return load(item, rng)
    spoken = load(replace(item, text=item.text.translate(str.maketrans("231", "123"))), None)
    return Example(spoken.frames_TF, np.array([int(word) for word in item.text.split()]))


CONTRARY = {"dev": contrary(DEV), "load": load_contrary}

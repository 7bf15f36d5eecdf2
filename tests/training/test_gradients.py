"""The norms of gradients that a run logs, what clipping makes of them, and runs with truncated gradients."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asr.language.train import TrainLanguageConfig
from asr.train import TrainConfig as TrainSpeech
from encoders.blstm import EncoderConfig
from encoders.language import LanguageConfig, LanguageNetwork
from encoders.network import Network
from gestures.train import TrainConfig as TrainGestures
from training.checkpoints import LAST
from training.config import LoopConfig, OptimizerConfig
from training.data import Batch, Example, collate
from training.gradients import gradient_norm
from training.latency import LatencyConfig
from training.loop import Training, fit
from training.manifests import Item
from training.metrics import ErrorCounts, align_tokens
from training.objectives import CtcObjective

FRAMES = 20  # of every item, so that all of them are one batch or two of two
ITEMS = [Item(f"u{k}", "", 0.0, FRAMES / 100, "", "s") for k in range(4)]
LOOP = LoopConfig(epochs=3, batch_frames=8 * FRAMES, workers=0, threads=1, patience=0)


def load(item: Item, rng: np.random.Generator | None) -> Example:
    own = np.random.default_rng(int(item.id[1:]))
    return Example(own.standard_normal((FRAMES, 3)).astype(np.float32), own.integers(1, 4, size=2))


def network(**shape: object) -> Network:
    torch.manual_seed(0)
    settings = {"layers": 2, "hidden_size": 8, "dropout": 0.0, "subsampling": [1]} | shape
    return Network(3, 4, EncoderConfig(**settings))


def count_errors(hypothesis: list[int], reference: list[int]) -> ErrorCounts:
    return align_tokens([str(label) for label in reference], [str(label) for label in hypothesis])[0]


def run(out: Path, loop: LoopConfig, start: Network, latency: LatencyConfig | None = None) -> Network:
    return fit(
        start,
        ITEMS,
        ITEMS,
        load,
        frame_seconds=0.01,
        objective=CtcObjective(count_errors),
        optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=0),
        loop=loop,
        latency=latency or LatencyConfig(),
        out=out,
    )


def by_hand(started: Network, order: list[int] | None = None) -> Network:
    """The same network with the gradient of its first step."""
    batch = collate([(ITEMS[k].id, load(ITEMS[k], None)) for k in order or range(len(ITEMS))])
    scores, lengths = started(batch.frames_BTF, batch.lengths_B)
    CtcObjective(count_errors).loss(scores, lengths, batch).loss.backward()
    return started


def logged(out: Path) -> list[tuple[float, int]]:
    lines = (out / "train.log").read_text()
    return [(float(norm), int(share)) for norm, share in re.findall(r"gradient (\S+), (\d+) % of steps clipped", lines)]


def events(out: Path) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    return {tag: [point.value for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def norm_of(gradients: list[Tensor]) -> float:
    return float(torch.cat([gradient.detach().double().flatten() for gradient in gradients]).norm())


def test_norms_are_those_before_clipping_and_go_to_the_log_and_tensorboard(tmp_path: Path) -> None:
    wanted = by_hand(network())
    encoder = wanted.encoder
    parts = {f"layer{k}.forward": encoder.forwards[k] for k in range(2)}
    parts |= {f"layer{k}.backward": encoder.backwards[k] for k in range(2)} | {"head": wanted.head}
    norms = {f"gradient/{name}": norm_of([p.grad for p in part.parameters()]) for name, part in parts.items()}
    norms["gradient/all"] = sum(norm**2 for norm in norms.values()) ** 0.5
    for number, clip in enumerate((0.5, 1e-3 * norms["gradient/all"])):
        folder = tmp_path / str(number)
        run(folder, replace(LOOP, clip_norm=clip), network())
        shown = events(folder)
        assert {tag for tag in shown if tag.startswith("gradient/")} == set(norms)
        for tag, norm in norms.items():
            assert shown[tag][0] == pytest.approx(norm, rel=1e-5), tag
        assert len(shown["gradient/all"]) == LOOP.epochs
        assert shown["gradient_norm"] == pytest.approx(shown["gradient/all"], rel=1e-6)
        assert [norm for norm, _ in logged(folder)] == pytest.approx(shown["gradient_norm"], rel=5e-3)
        assert [share for _, share in logged(folder)] == [100 * (norm > clip) for norm in shown["gradient/all"]]


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"clip_norm": 1e-6}, 100),
        ({"clip_norm": 1e6}, 0),
        ({"clip_norm": 0.0}, 0),
        ({"clip_norm": 0.0, "clip_value": 1e-6}, 100),
        # Less than the norm and more than any number of the gradient.
        ({"clip_norm": 0.0, "clip_value": "largest"}, 0),
    ],
)
def test_the_share_of_clipped_steps(settings: dict, share: int, tmp_path: Path) -> None:
    started = by_hand(network())
    largest = max(float(p.grad.abs().max()) for p in started.parameters())
    assert 1.5 * largest < gradient_norm(started)
    settings = {name: 1.01 * largest if value == "largest" else value for name, value in settings.items()}
    run(tmp_path, replace(LOOP, epochs=1, **settings), network())
    ((norm, clipped),) = logged(tmp_path)
    assert clipped == share
    assert norm == pytest.approx(float(gradient_norm(started)), rel=5e-3)


def test_every_weight_belongs_to_a_part() -> None:
    language = LanguageConfig(layers=2, hidden_size=6, embedding_size=4)
    networks = [network(), network(bidirectional=False, cell="peephole")]
    networks += [LanguageNetwork(np.zeros(5), replace(language, tied=tied)) for tied in (True, False)]
    for one in networks:
        in_parts = {id(weight) for part in one.parts().values() for weight in part.parameters()}
        assert in_parts == {id(weight) for weight in one.parameters()}


ONE_BATCH = replace(LOOP, epochs=1, batch_frames=8 * FRAMES, truncate_ms=60, clip_norm=0.5)
SHAPE = {"bidirectional": False}


@pytest.mark.slow
def test_two_processes_clip_and_log_the_gradient_of_their_batch(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, __file__, tmp_path / "two"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    one = run(tmp_path / "one", ONE_BATCH, network(**SHAPE))
    assert logged(tmp_path / "two") == logged(tmp_path / "one")
    assert logged(tmp_path / "one")[0][1] == 100
    two = torch.load(tmp_path / "two" / LAST, weights_only=True)["state_dict"]
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two[f"network.{name}"], value, rtol=0, atol=1e-6)


# --- truncated gradients ----------------------------------------------------------------------------------------------

ONE_WAY = {"bidirectional": False, "dropout": 0.3}
CUT = {
    "one way": (replace(LOOP, truncate_ms=60), ONE_WAY, LatencyConfig()),
    "both ways": (
        replace(LOOP, truncate_ms=60),
        {"dropout": 0.3},
        LatencyConfig(chunk_ms=(20, 60), full_context=0.0),
    ),
}


@pytest.mark.parametrize("name", CUT)
def test_a_truncated_run_resumed_is_the_run_uninterrupted(name: str, tmp_path: Path, monkeypatch) -> None:
    loop, shape, latency = CUT[name]
    whole = run(tmp_path / "whole", loop, network(**shape), latency)
    step = Training.training_step

    def interrupted(self: Training, batch: Batch, batch_idx: int):
        if self.global_step == 2:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", loop, network(**shape), latency)
    resumed = run(tmp_path / "resumed", loop, network(**shape), latency)
    true = run(tmp_path / "true", replace(loop, truncate_ms=0), network(**shape), latency)
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(one.equal(other) for one, other in pairs)
    assert not all(a.equal(b) for a, b in zip(whole.state_dict().values(), true.state_dict().values(), strict=True))


def test_pieces_longer_than_every_item_change_nothing(tmp_path: Path) -> None:
    shape = {"bidirectional": False}
    cut = run(tmp_path / "cut", replace(LOOP, truncate_ms=1000), network(**shape))
    whole = run(tmp_path / "whole", LOOP, network(**shape))
    assert all(a.equal(b) for a, b in zip(cut.state_dict().values(), whole.state_dict().values(), strict=True))
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")


def test_settings_that_cannot_be_cut_are_refused_by_name() -> None:
    both = {"loop": LoopConfig(truncate_ms=500)}
    for latency in (LatencyConfig(), LatencyConfig(chunk_ms=(100, 400)), LatencyConfig(full_context=0.0)):
        for settings in (TrainGestures, TrainSpeech):
            with pytest.raises(ValueError, match=r"truncate_ms is 500, but .* set encoder.bidirectional to false"):
                settings(**both, latency=latency)
    TrainGestures(**both, latency=LatencyConfig(chunk_ms=(100, 400), full_context=0.0))
    TrainGestures(**both, encoder=EncoderConfig(bidirectional=False))
    with pytest.raises(ValueError, match=r"text\.longest says"):
        TrainLanguageConfig(**both)
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"loop.truncate_ms is"):
            LoopConfig(truncate_ms=wrong)


if __name__ == "__main__":
    run(Path(sys.argv[1]), replace(ONE_BATCH, devices=2, strategy="ddp"), network(**SHAPE))

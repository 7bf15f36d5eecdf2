"""The run: it learns, steps are what the settings say, and what comes out is what was measured."""

from __future__ import annotations

import math
import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from encoders.heads import ctc_loss
from training import loop as training_loop
from training.config import LoopConfig, OptimizerConfig
from training.data import Buckets, collate
from training.latency import Latencies, LatencyConfig
from training.loop import Training

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
DEV, FRAME_SECONDS, TRAIN, FAST, SHORT, A_PASS, CONTRARY = itemgetter(
    "DEV", "FRAME_SECONDS", "TRAIN", "FAST", "SHORT", "A_PASS", "CONTRARY"
)(SMALL)
load, count_errors, network, run, weights, assert_same, logged, steps, load_contrary = itemgetter(
    "load", "count_errors", "network", "run", "weights", "assert_same", "logged", "steps", "load_contrary"
)(SMALL)
FULL_CONTEXT = Latencies(LatencyConfig(), frame_seconds=FRAME_SECONDS, subsampling=1, seed=0)


def test_it_learns_and_gives_back_its_best(tmp_path: Path) -> None:
    trained = run(tmp_path, replace(SHORT, epochs=25), start=network(dropout=0.0))
    lines = logged(tmp_path)
    assert [line["interval"] for line in lines] == list(range(1, 26))
    assert lines[0]["dev_error"] > 50
    best = min(lines, key=lambda line: (line["dev_error"], line["dev_loss"]))
    assert best["dev_error"] == 0
    # The numbers of its line, found again without the loop.
    assert not trained.training
    batch = collate([(item.id, load(item, None)) for item in DEV])
    with torch.no_grad():
        scores, lengths = trained(batch.frames_BTF, batch.lengths_B)
    assert float(ctc_loss(scores, lengths, batch.targets_BL, batch.target_lengths_B).loss) == pytest.approx(
        best["dev_loss"], abs=6e-5
    )
    for item, row, length in zip(DEV, scores, lengths, strict=True):
        labels = [label for label in torch.unique_consecutive(row[:length].argmax(-1)).tolist() if label]
        assert " ".join(map(str, labels)) == item.text


def test_it_gives_back_its_last_where_the_settings_say_so(tmp_path: Path) -> None:
    """The best comes early (contrary development data)."""
    best = run(tmp_path / "best", replace(SHORT, epochs=5), **CONTRARY)
    last = run(tmp_path / "last", replace(SHORT, epochs=5, keep="last"), **CONTRARY)
    lines = logged(tmp_path / "last")
    assert min(line["dev_loss"] for line in lines) < lines[-1]["dev_loss"]
    assert lines == logged(tmp_path / "best")  # what is kept changes nothing of the run
    batch = collate([(item.id, load_contrary(item, None)) for item in CONTRARY["dev"]])
    for trained, line in (
        (best, min(lines, key=lambda line: (line["dev_error"], line["dev_loss"]))),
        (last, lines[-1]),
    ):
        with torch.no_grad():
            scores, lengths = trained(batch.frames_BTF, batch.lengths_B)
        loss = float(ctc_loss(scores, lengths, batch.targets_BL, batch.target_lengths_B).loss)
        assert loss == pytest.approx(line["dev_loss"], abs=6e-5)


def test_workers_and_threads_change_nothing(tmp_path: Path, steps: list) -> None:
    one = run(tmp_path / "none", replace(SHORT, epochs=2))
    alone = steps.copy()
    steps.clear()
    other = run(tmp_path / "two", replace(SHORT, epochs=2, workers=2))
    assert steps == alone
    assert_same(one, other)


def test_another_seed_is_another_run(tmp_path: Path, steps: list) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), replace(SHORT, epochs=2, seed=seed))
    half = len(steps) // 2
    assert [ids for _, _, ids in steps[:half]] != [ids for _, _, ids in steps[half:]]


def test_a_run_that_is_finished_does_not_go_on(tmp_path: Path, steps: list) -> None:
    first = run(tmp_path)
    taken = len(steps)
    assert_same(run(tmp_path, start=network(seed=5)), first)
    assert len(steps) == taken
    assert len(logged(tmp_path)) == SHORT.epochs


@pytest.mark.parametrize("interval", [None, 1, 3, A_PASS + 3])
def test_intervals_shorter_and_longer_than_a_pass(interval: int | None, tmp_path: Path, steps: list) -> None:
    run(tmp_path, replace(SHORT, epochs=3, interval_batches=interval))
    length = interval or A_PASS
    whole = math.ceil(3 * A_PASS / length)
    assert [line["step"] for line in logged(tmp_path)] == [(k + 1) * length for k in range(whole)]
    assert len(steps) == whole * length
    for number in range(3):
        ids = [name for _, _, names in steps[number * A_PASS : (number + 1) * A_PASS] for name in names]
        assert sorted(ids) == sorted(item.id for item in TRAIN), "every utterance once a pass"


@pytest.mark.parametrize(
    "loop",
    [
        replace(SHORT, clip_norm=0.0),
        replace(SHORT, clip_norm=0.5),
        replace(SHORT, clip_norm=1e9),
        replace(SHORT, clip_norm=0.0, clip_value=0.01),
    ],
    ids=["not", "by norm", "by a norm that is never reached", "by value"],
)
def test_gradients_are_clipped(loop: LoopConfig, tmp_path: Path, monkeypatch) -> None:
    taken: list[list[torch.Tensor]] = []
    step = torch.optim.AdamW.step

    def recording(self, closure):
        loss = closure()
        taken.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        return step(self, lambda: loss)

    monkeypatch.setattr(torch.optim.AdamW, "step", recording)
    run(tmp_path, replace(loop, epochs=1), start=network(dropout=0.0))

    # The first step by hand.
    started = network(dropout=0.0)
    first = next(iter(Buckets([i.duration for i in TRAIN], loop.batch_frames * FRAME_SECONDS, seed=loop.seed)))
    batch = collate(
        [(TRAIN[k].id, load(TRAIN[k], np.random.default_rng([loop.seed, number, k]))) for number, k in first]
    )
    scores, lengths = started(batch.frames_BTF, batch.lengths_B)
    ctc_loss(scores, lengths, batch.targets_BL, batch.target_lengths_B).loss.backward()
    raw = [parameter.grad for parameter in started.parameters()]
    norm = torch.cat([gradient.flatten() for gradient in raw]).norm()
    assert norm > 1
    if loop.clip_value:
        expected = [gradient.clamp(-loop.clip_value, loop.clip_value) for gradient in raw]
    else:
        expected = [gradient * min(1.0, (loop.clip_norm or math.inf) / norm) for gradient in raw]
    for got, wanted in zip(taken[0], expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    settings = OptimizerConfig(learning_rate=0.5, warmup_steps=10, final_rate=0.1)
    module = Training(network(), count_errors, settings, SHORT, 110, FULL_CONTEXT)
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(130):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(1, 11))
    np.testing.assert_allclose(rates[10:111], 0.05 + 0.45 * (1 + np.cos(np.pi * np.arange(101) / 100)) / 2)
    np.testing.assert_allclose(rates[110:], 0.05)


def test_the_average_of_the_weights_is_what_is_measured_and_given_back(tmp_path: Path, monkeypatch) -> None:
    taken: list[dict[str, torch.Tensor]] = []
    end = Training.on_train_batch_end

    def recording(self: Training, outputs, batch, batch_idx):
        taken.append(weights(self.network))
        end(self, outputs, batch, batch_idx)

    monkeypatch.setattr(Training, "on_train_batch_end", recording)
    start = network(dropout=0.0)
    expected = weights(start)
    averaged = run(tmp_path, replace(SHORT, epochs=3, interval_batches=3 * A_PASS, average=0.8), start=start)
    for number, now in enumerate(taken, start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        expected = {name: decay * value + (1 - decay) * now[name] for name, value in expected.items()}
    assert len(taken) == 3 * A_PASS
    for name, value in weights(averaged).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    assert not torch.allclose(weights(averaged)["head.linear.weight"], taken[-1]["head.linear.weight"])


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_it_learns_in_other_precisions(precision: str, tmp_path: Path) -> None:
    run(tmp_path, replace(SHORT, epochs=20, precision=precision), start=network(dropout=0.0))
    assert logged(tmp_path)[-1]["dev_error"] < 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["auto", "16-mixed"])
def test_it_learns_on_a_gpu(precision: str, tmp_path: Path) -> None:
    loop = replace(SHORT, epochs=20, average=0.5, workers=1, precision=precision)
    trained = run(tmp_path, loop, start=network(dropout=0.0))
    assert logged(tmp_path)[-1]["dev_error"] < 20
    assert {value.device.type for value in trained.state_dict().values()} == {"cpu"}


@pytest.mark.slow
def test_tensorboard_has_the_losses(tmp_path: Path, steps: list) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, replace(SHORT, interval_batches=1, epochs=1))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = [point.value for point in events.Scalars("loss_step")]
    np.testing.assert_allclose(shown, [loss for _, loss, _ in steps], rtol=1e-6)
    assert [point.value * 100 for point in events.Scalars("dev_error")] == pytest.approx(
        [line["dev_error"] for line in logged(tmp_path)], abs=0.01
    )


def test_precision_is_float32_where_there_is_no_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_loop._precision("auto") == "32-true"
    assert training_loop._precision("64-true") == "64-true"
    with pytest.raises(ValueError, match="which needs a GPU, and there is none"):
        training_loop._precision("16-mixed")


def test_only_the_network_that_is_trained_has_gradients() -> None:
    module = Training(network(), count_errors, FAST, replace(SHORT, average=0.9), 10, FULL_CONTEXT)
    assert module.evaluated is not module.network
    optimized = {id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]}
    assert optimized == {id(parameter) for parameter in module.network.parameters()}
    assert not any(parameter.requires_grad for parameter in module.evaluated.parameters())
    assert isinstance(module.network, nn.Module)

"""The run: it learns, it stops, it says what it cannot use, and resumed it is the run that was never interrupted.

What is learnt here needs no sound: a "word" is a stretch of frames in which one feature is up. Run as a program, this
file trains in a child process that is killed (see `killed_and_resumed`).
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from encoders.blstm import EncoderConfig
from encoders.heads import ctc_loss
from encoders.network import Network
from training import loop as training_loop
from training.checkpoints import BEST, LAST, CheckpointError, Checkpoints
from training.config import LoopConfig, OptimizerConfig
from training.data import Buckets, Example, collate
from training.latency import Latencies, LatencyConfig
from training.loop import DivergedError, Training, fit
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
FULL_CONTEXT = Latencies(LatencyConfig(), frame_seconds=FRAME_SECONDS, subsampling=1, seed=0)
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


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Every training step of the test: its number, its loss to the last bit, and its utterances."""
    seen: Steps = []
    record_steps(monkeypatch.setattr, seen.append)
    return seen


def record_steps(patch, seen) -> None:
    step = Training.training_step

    def recording(self: Training, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        seen((self.global_step, loss.item(), batch.ids))
        return loss

    patch(Training, "training_step", recording)


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
    settings = {"dev": contrary(DEV), "load": load_contrary}
    best = run(tmp_path / "best", replace(SHORT, epochs=10), **settings)
    last = run(tmp_path / "last", replace(SHORT, epochs=10, keep="last"), **settings)
    lines = logged(tmp_path / "last")
    assert lines == logged(tmp_path / "best")  # what is kept changes nothing of the run
    batch = collate([(item.id, load_contrary(item, None)) for item in contrary(DEV)])
    for trained, line in (
        (best, min(lines, key=lambda line: (line["dev_error"], line["dev_loss"]))),
        (last, lines[-1]),
    ):
        with torch.no_grad():
            scores, lengths = trained(batch.frames_BTF, batch.lengths_B)
        loss = float(ctc_loss(scores, lengths, batch.targets_BL, batch.target_lengths_B).loss)
        assert loss == pytest.approx(line["dev_loss"], abs=6e-5)


INTERRUPTED = {
    "a pass": SHORT,
    "less than a pass": replace(SHORT, interval_batches=A_PASS - 2),
    "more than a pass, a worker": replace(SHORT, interval_batches=A_PASS + 3, workers=1),
    "averaged, a worker": replace(SHORT, average=0.9, workers=1),
    "drawn latencies, a worker": replace(SHORT, workers=1),
    "averaged, clipped by value": replace(SHORT, average=0.9, clip_norm=0.0, clip_value=0.05, interval_batches=5),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_resumed_is_as_if_never_interrupted(name: str, tmp_path: Path, steps: Steps, monkeypatch) -> None:
    loop = INTERRUPTED[name]
    frames = 1000 * FRAME_SECONDS
    latency = LatencyConfig((2 * frames, 12 * frames)) if "latencies" in name else LatencyConfig()
    uninterrupted = run(tmp_path / "whole", loop, latency=latency)
    expected = steps.copy()
    assert [number for number, _, _ in expected] == list(range(len(expected)))
    assert len(expected) >= 4 * A_PASS
    steps.clear()

    # Ctrl-C in the middle of an interval, twice, and each time another start, which must not matter.
    interval = loop.interval_batches or A_PASS
    step = Training.training_step
    for attempt, last in enumerate((interval + 2, 2 * interval + interval // 2)):

        def interrupted(self: Training, batch, batch_idx, last: int = last):
            if self.global_step == last:
                os.kill(os.getpid(), signal.SIGINT)
            return step(self, batch, batch_idx)

        monkeypatch.setattr(Training, "training_step", interrupted)
        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", loop, start=network(seed=attempt), latency=latency)
        assert signal.getsignal(signal.SIGINT) is handler, "the next Ctrl-C is heard"
        assert steps[-1][0] in (last, last - 1)
    monkeypatch.setattr(Training, "training_step", step)
    torch.manual_seed(987)
    resumed = run(tmp_path / "resumed", loop, start=network(seed=9), latency=latency)

    # Steps were repeated from the last checkpoint on; all of them are those of the uninterrupted run.
    assert len(steps) > len(expected)
    assert set(steps) == set(expected)
    assert steps[-1] == expected[-1]
    assert_same(resumed, uninterrupted)
    assert logged(tmp_path / "resumed") == logged(tmp_path / "whole")
    for file in (BEST, LAST):
        one, other = (torch.load(tmp_path / folder / file, weights_only=True) for folder in ("whole", "resumed"))
        assert one["global_step"] == other["global_step"]
        for key, value in one["state_dict"].items():
            assert value.equal(other["state_dict"][key]), (file, key)
        states, others = (checkpoint["optimizer_states"][0]["state"] for checkpoint in (one, other))
        for key, state in states.items():
            assert all(value.equal(others[key][name]) for name, value in state.items())


def test_workers_and_threads_change_nothing(tmp_path: Path, steps: Steps) -> None:
    one = run(tmp_path / "none", replace(SHORT, epochs=2))
    alone = steps.copy()
    steps.clear()
    other = run(tmp_path / "two", replace(SHORT, epochs=2, workers=2))
    assert steps == alone
    assert_same(one, other)


def test_another_seed_is_another_run(tmp_path: Path, steps: Steps) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), replace(SHORT, epochs=2, seed=seed))
    half = len(steps) // 2
    assert [ids for _, _, ids in steps[:half]] != [ids for _, _, ids in steps[half:]]


def test_a_run_that_is_finished_does_not_go_on(tmp_path: Path, steps: Steps) -> None:
    first = run(tmp_path)
    taken = len(steps)
    assert_same(run(tmp_path, start=network(seed=5)), first)
    assert len(steps) == taken
    assert len(logged(tmp_path)) == SHORT.epochs


# --- killed -----------------------------------------------------------------------------------------------------------

# What is under way when the process is killed (a step in the middle of the third interval, the writing of a checkpoint
# when its file is open and empty, the moment before it takes its place) and the step that it goes on from.
KILLS = {"at step 12": 10, "while writing best.ckpt": 5, "while writing last.ckpt": 5, "before last.ckpt": 5}
KILLED = replace(SHORT, average=0.9, interval_batches=5)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(kill: str) -> None:
    """Arrange the end of this process."""
    if kill == "at step 12":
        step = Training.training_step

        def last_step(self: Training, batch, batch_idx):
            return die() if self.global_step == 12 else step(self, batch, batch_idx)

        Training.training_step = last_step
        return
    name = kill.split()[-1]
    written = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal written
        if event == ("os.rename" if kill.startswith("before") else "open") and f".partial.{name}" in str(arguments[0]):
            written += 1
            if written == 2:
                die()

    sys.addaudithook(hook)


def killed_and_resumed(out: Path) -> None:
    """For each way to die: a child that trains and dies, one that goes on, and what came of it, to `result.json`."""
    results = {}
    for kill in ("never", *KILLS):
        folder = out / kill.replace(" ", "_")
        for life in ("first", "second"):
            child = os.fork()
            if not child:
                if life == "first" and kill != "never":
                    die_at(kill)
                seen: Steps = []
                record_steps(setattr, seen.append)
                trained = run(folder, KILLED, start=network(seed=len(life)))
                digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights(trained).values()))
                (folder / "result.json").write_text(json.dumps({"weights": digest.hexdigest(), "steps": seen}))
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            results.setdefault(kill, []).append(status)
            if kill == "never":
                break
    (out / "statuses.json").write_text(json.dumps(results))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_it_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, __file__, tmp_path], check=True, timeout=240)
    statuses = json.loads((tmp_path / "statuses.json").read_text())
    assert statuses == {"never": [0]} | {kill: [-signal.SIGKILL, 0] for kill in KILLS}
    results = {kill: json.loads((tmp_path / kill.replace(" ", "_") / "result.json").read_text()) for kill in statuses}
    for kill, first in KILLS.items():
        assert results[kill]["steps"] == results["never"]["steps"][first:]
        assert results[kill]["weights"] == results["never"]["weights"]
        # An interval whose checkpoint was not written any more is there twice, with the same numbers.
        lines = {line["interval"]: line for line in logged(tmp_path / kill.replace(" ", "_"))}
        assert list(lines.values()) == logged(tmp_path / "never")


# --- stopping, choosing, checkpoints ----------------------------------------------------------------------------------


def contrary(items: list[Item]) -> list[Item]:
    """The same sound with other words: the better the training, the worse these are understood."""
    return [replace(item, id=item.id, text=item.text.translate(str.maketrans("123", "231"))) for item in items]


def load_contrary(item: Item, rng: np.random.Generator | None) -> Example:
    if rng is not None:
        return load(item, rng)
    spoken = load(replace(item, text=item.text.translate(str.maketrans("231", "123"))), None)
    return Example(spoken.frames_TF, np.array([int(word) for word in item.text.split()]))


def test_it_stops_when_the_development_error_no_longer_falls_and_stays_stopped(tmp_path: Path, steps: Steps) -> None:
    loop = replace(SHORT, epochs=60, patience=3)
    settings = {"dev": contrary(DEV), "load": load_contrary}
    stopped = run(tmp_path, loop, **settings)
    lines = logged(tmp_path)
    best = min(range(len(lines)), key=lambda k: (lines[k]["dev_error"], lines[k]["dev_loss"]))
    assert len(lines) == best + 1 + 3 < 60
    assert torch.load(tmp_path / BEST, weights_only=True)["global_step"] == (best + 1) * A_PASS
    taken = len(steps)
    assert_same(run(tmp_path, loop, start=network(seed=4), **settings), stopped)
    assert len(steps) == taken
    assert logged(tmp_path) == lines


def test_patience_begins_when_something_is_recognised(tmp_path: Path) -> None:
    """A network that does not learn says nothing but blanks, as every CTC network does at first."""
    mute = network()
    with torch.no_grad():
        mute.head.linear.bias[0] = 50.0
    run(tmp_path, replace(SHORT, epochs=6, patience=2), start=mute, optimizer=replace(FAST, learning_rate=1e-9))
    assert [line["dev_error"] for line in logged(tmp_path)] == [100.0] * 6


def test_patience_counts_on_over_an_interruption(tmp_path: Path, monkeypatch) -> None:
    loop = replace(SHORT, epochs=60, patience=3)
    settings = {"dev": contrary(DEV), "load": load_contrary}
    expected = run(tmp_path / "whole", loop, **settings)
    last = (len(logged(tmp_path / "whole")) - 1) * A_PASS + 1  # in the interval after which it stops
    step = Training.training_step

    def interrupted(self: Training, batch, batch_idx):
        if self.global_step == last:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", loop, **settings)
    monkeypatch.setattr(Training, "training_step", step)
    assert_same(run(tmp_path / "resumed", loop, **settings), expected)
    assert logged(tmp_path / "resumed") == logged(tmp_path / "whole")


def test_a_folder_that_was_moved_is_gone_on_from_and_its_best_is_remembered(tmp_path: Path, monkeypatch) -> None:
    """The best comes early (contrary development data) and must survive the later intervals."""
    settings = {"dev": contrary(DEV), "load": load_contrary}
    loop = replace(SHORT, epochs=10)
    expected = run(tmp_path / "whole", loop, **settings)
    lines = logged(tmp_path / "whole")
    assert min(lines, key=lambda line: (line["dev_error"], line["dev_loss"]))["interval"] < 8
    step = Training.training_step

    def interrupted(self: Training, batch, batch_idx):
        if self.global_step == 8 * A_PASS + 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "before", loop, **settings)
    monkeypatch.setattr(Training, "training_step", step)
    (tmp_path / "before").rename(tmp_path / "after")
    assert_same(run(tmp_path / "after", loop, **settings), expected)


def test_a_best_checkpoint_that_is_gone_is_written_again(tmp_path: Path, monkeypatch) -> None:
    settings = {"dev": contrary(DEV), "load": load_contrary}
    step = Training.training_step

    def interrupted(self: Training, batch, batch_idx):
        if self.global_step == 8 * A_PASS + 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, replace(SHORT, epochs=10), **settings)
    (tmp_path / BEST).unlink()
    run(tmp_path, replace(SHORT, epochs=10), **settings)
    assert torch.load(tmp_path / BEST, weights_only=True)["global_step"] > 8 * A_PASS


@pytest.mark.parametrize("name", [LAST, BEST])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_checkpoint_cut_short_is_one_line_that_names_it(name: str, damage: str, tmp_path: Path) -> None:
    run(tmp_path, replace(SHORT, epochs=1))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no checkpoint"}[damage])
    with pytest.raises(CheckpointError, match=re.escape(f"{tmp_path / name}: is damaged")) as caught:
        run(tmp_path, replace(SHORT, epochs=1))
    assert len(str(caught.value).splitlines()) == 1


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path: Path, monkeypatch) -> None:
    expected = run(tmp_path / "whole")
    save = Checkpoints.on_train_epoch_end

    def on_a_full_disk(self, trainer, module):
        if trainer.current_epoch == 2:
            monkeypatch.setattr("training.checkpoints.os.fsync", full)
        save(self, trainer, module)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_end", on_a_full_disk)
        with pytest.raises(CheckpointError, match=r"\(No space left on device\); make room"):
            run(tmp_path / "resumed")
    monkeypatch.undo()
    assert not list((tmp_path / "resumed").glob(".partial*"))
    assert_same(run(tmp_path / "resumed"), expected)


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [None, 1, 3, A_PASS + 3])
def test_intervals_shorter_and_longer_than_a_pass(interval: int | None, tmp_path: Path, steps: Steps) -> None:
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
    run(tmp_path, replace(SHORT, epochs=40, precision=precision), start=network(dropout=0.0))
    assert logged(tmp_path)[-1]["dev_error"] < 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_learns_on_a_gpu(tmp_path: Path) -> None:
    trained = run(tmp_path, replace(SHORT, epochs=20, average=0.5, workers=1), start=network(dropout=0.0))
    assert logged(tmp_path)[-1]["dev_error"] < 20
    assert {value.device.type for value in trained.state_dict().values()} == {"cpu"}


# --- what cannot be used ----------------------------------------------------------------------------------------------


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
    assert log.count("2 items are too short for their labels and were left out") == 1
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


@pytest.mark.slow
def test_tensorboard_has_the_losses(tmp_path: Path, steps: Steps) -> None:
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


def test_only_the_network_that_is_trained_has_gradients() -> None:
    module = Training(network(), count_errors, FAST, replace(SHORT, average=0.9), 10, FULL_CONTEXT)
    assert module.evaluated is not module.network
    optimized = {id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]}
    assert optimized == {id(parameter) for parameter in module.network.parameters()}
    assert not any(parameter.requires_grad for parameter in module.evaluated.parameters())
    assert isinstance(module.network, nn.Module)


if __name__ == "__main__":
    killed_and_resumed(Path(sys.argv[1]))

"""A run that was stopped, by hand or by SIGKILL, goes on as if it had never been.

Run as a program, this file trains in a child process that is killed (see `killed_and_resumed`).
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
import torch

from training.checkpoints import BEST, LAST
from training.latency import LatencyConfig
from training.loop import Training

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
FRAME_SECONDS, SHORT, A_PASS = itemgetter("FRAME_SECONDS", "SHORT", "A_PASS")(SMALL)
network, run, weights, assert_same, logged, record_steps, steps, run_until = itemgetter(
    "network", "run", "weights", "assert_same", "logged", "record_steps", "steps", "run_until"
)(SMALL)


INTERRUPTED = {
    "a pass": SHORT,
    "less than a pass, averaged, clipped by value": replace(
        SHORT, interval_batches=A_PASS - 2, average=0.9, clip_norm=0.0, clip_value=0.05
    ),
    "more than a pass, a worker": replace(SHORT, interval_batches=A_PASS + 3, workers=1),
    "averaged, drawn latencies, a worker": replace(SHORT, average=0.9, workers=1),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_resumed_is_as_if_never_interrupted(name: str, tmp_path: Path, steps: list) -> None:
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
    for attempt, last in enumerate((interval + 2, 2 * interval + interval // 2)):
        handler = signal.getsignal(signal.SIGINT)
        run_until(
            last,
            tmp_path / "resumed",
            loop,
            start=network(seed=attempt),
            latency=latency,
            stop=lambda: os.kill(os.getpid(), signal.SIGINT),
        )
        assert signal.getsignal(signal.SIGINT) is handler, "the next Ctrl-C is heard"
        assert steps[-1][0] in (last, last - 1)
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


# --- killed -----------------------------------------------------------------------------------------------------------

# What is under way when the process is killed (a step in the middle of the third interval, the writing of a checkpoint
# when its file is open and empty, the moment before it takes its place) and the step that it goes on from.
KILLS = {"at step 12": 10, "while writing best.ckpt": 5, "while writing last.ckpt": 5, "before last.ckpt": 5}
KILLED = replace(SHORT, epochs=2, average=0.9, interval_batches=5)


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


def trained_in(folder: Path, *, seed: int) -> None:
    """A run with the steps that it took and its weights, to `result.json`."""
    seen: list = []
    record_steps(setattr, seen.append)
    trained = run(folder, KILLED, start=network(seed=seed))
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights(trained).values()))
    (folder / "result.json").write_text(json.dumps({"weights": digest.hexdigest(), "steps": seen}))


def killed_and_resumed(out: Path) -> None:
    """One run here and, for each way to die, a child that trains and dies and one that goes on."""
    step = Training.training_step
    trained_in(out / "never", seed=0)
    Training.training_step = step
    statuses = {}
    for kill in KILLS:
        for seed in (0, 1):  # where it goes on, another start must not matter
            child = os.fork()
            if not child:
                if seed == 0:
                    die_at(kill)
                trained_in(out / kill.replace(" ", "_"), seed=seed)
                os._exit(0)
            statuses.setdefault(kill, []).append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    (out / "statuses.json").write_text(json.dumps(statuses))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_it_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, __file__, tmp_path], check=True, timeout=240)
    statuses = json.loads((tmp_path / "statuses.json").read_text())
    assert statuses == {kill: [-signal.SIGKILL, 0] for kill in KILLS}
    results = {
        kill: json.loads((tmp_path / kill.replace(" ", "_") / "result.json").read_text()) for kill in ("never", *KILLS)
    }
    for kill, first in KILLS.items():
        assert results[kill]["steps"] == results["never"]["steps"][first:]
        assert results[kill]["weights"] == results["never"]["weights"]
        # An interval whose checkpoint was not written any more is there twice, with the same numbers.
        lines = {line["interval"]: line for line in logged(tmp_path / kill.replace(" ", "_"))}
        assert list(lines.values()) == logged(tmp_path / "never")


if __name__ == "__main__":
    killed_and_resumed(Path(sys.argv[1]))

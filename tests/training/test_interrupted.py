"""A run that is killed at any moment, or whose disk is full, goes on to the weights that it would have had.

Run as a program, this file trains in child processes (see `killed_ten_times` and `on_a_full_disk`).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import runpy
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoints import LAST, CheckpointError, read
from training.loop import Training

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
run, network, weights, logged, record_steps = itemgetter("run", "network", "weights", "logged", "record_steps")(SMALL)
KILLS = 10
# A checkpoint after each step, so that much of the time one is being written.
LOOP = replace(SMALL["SHORT"], epochs=8, average=0.9, interval_batches=9, checkpoint_minutes=1e-9)


def die_at_a_random_moment(draw: random.Random, seconds_a_step: float) -> None:
    """Let this process be killed some steps from now, at any moment of a step or of the checkpoint after it.

    Two steps later at the latest, so that none comes to the end, whatever else the machine does.
    """
    left = draw.randint(1, 4)
    moment = draw.uniform(0.0, 2.0 * seconds_a_step)
    step = Training.training_step

    def counting(self: Training, batch, batch_idx):
        nonlocal left
        left -= 1
        if not left:
            threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif left == -2:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, batch_idx)

    Training.training_step = counting


def killed_ten_times(out: Path) -> None:
    """One run that nobody disturbs, and one that is killed and begun again; how children ended, to `statuses.json`."""
    begun: list[float] = []
    step = Training.training_step
    record_steps(setattr, lambda _: begun.append(time.monotonic()))
    run(out / "whole", LOOP)
    Training.training_step = step
    # Not their mean: the first one waits for all that is imported then, a minute on a machine that has just begun.
    seconds_a_step = statistics.median(np.diff(begun))
    statuses, steps = [], []
    for life in range(KILLS + 1):
        child = os.fork()
        if not child:
            if life < KILLS:
                die_at_a_random_moment(random.Random(life), seconds_a_step)
            trained = run(out / "killed", LOOP, start=network(seed=life))
            torch.save(weights(trained), out / "killed.pt")
            os._exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        if (out / "killed" / LAST).exists():
            steps.append(read(out / "killed" / LAST)["global_step"])
    (out / "statuses.json").write_text(json.dumps([statuses, steps]))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_ten_random_moments_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    subprocess.run([sys.executable, __file__, "killed_ten_times", tmp_path], check=True, timeout=280)
    statuses, steps = json.loads((tmp_path / "statuses.json").read_text())
    assert statuses == [-signal.SIGKILL] * KILLS + [0]
    assert steps == sorted(steps)
    assert len(set(steps)) > KILLS / 2, "it came further between them"
    interval = LOOP.interval_batches
    assert any(step % interval for step in steps[:-1]), "some went on within an interval"
    whole = run(tmp_path / "whole", LOOP)  # it is finished, and gives its weights back
    killed = torch.load(tmp_path / "killed.pt")
    for name, value in weights(whole).items():
        assert value.equal(killed[name]), name
    # An interval at whose end it was killed may be there twice, with the same numbers.
    lines = {line["interval"]: line for line in logged(tmp_path / "killed")}
    assert list(lines.values()) == logged(tmp_path / "whole")


# --- a disk that is full ----------------------------------------------------------------------------------------------

DISK_KILOBYTES = 4000


def fill(folder: Path) -> None:
    """Write until there is no room."""
    with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def on_a_full_disk(disk: Path) -> None:
    """Train on a disk that is full from step 12 on; what was said and what was left, to `result.json` beside it."""
    step = Training.training_step

    def filling(self: Training, batch, batch_idx):
        if self.global_step == 12 and not (disk / "filler").exists():
            fill(disk)
        return step(self, batch, batch_idx)

    Training.training_step = filling
    try:
        run(disk / "run", LOOP)
        said = "nothing"
    except CheckpointError as error:
        said = str(error)
    left = sorted(path.name for path in (disk / "run").iterdir() if path.is_file())
    kept = read(disk / "run" / LAST)["global_step"]
    shutil.copytree(disk / "run", disk.parent / "saved")
    (disk.parent / "result.json").write_text(json.dumps([said, left, kept]))


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint_that_was_written(tmp_path: Path) -> None:
    """A real one, in memory, which a process without rights may mount in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_KILOBYTES}k tmpfs "$1" && exec "$2" "$3" on_a_full_disk "$1"'
    outside = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*outside, "true"], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here (unshare)")
    ended = subprocess.run(
        [*outside, "sh", "-c", mount, "sh", disk, sys.executable, __file__],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    said, left, kept = json.loads((tmp_path / "result.json").read_text())
    # Of the checkpoint, or of the logs that are closed after it could not be written.
    assert said.startswith(str(disk / "run"))
    assert said.endswith(": cannot be written (No space left on device); make room and run again")
    assert kept == 12
    assert not [name for name in left if "partial" in name]
    # Where there is room, it goes on from there to the same weights.
    resumed = run(tmp_path / "saved", LOOP)
    for name, value in weights(run(tmp_path / "whole", LOOP)).items():
        assert value.equal(weights(resumed)[name]), name


if __name__ == "__main__":
    {"killed_ten_times": killed_ten_times, "on_a_full_disk": on_a_full_disk}[sys.argv[1]](Path(sys.argv[2]))

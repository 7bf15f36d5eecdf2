"""The checkpoints of a run: whole or not there, and the best one is remembered, moved or gone."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
import torch

from training.checkpoints import BEST, LAST, CheckpointError, Checkpoints

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
SHORT, A_PASS, CONTRARY = itemgetter("SHORT", "A_PASS", "CONTRARY")(SMALL)
run, assert_same, logged, run_until = itemgetter("run", "assert_same", "logged", "run_until")(SMALL)


def test_a_folder_that_was_moved_is_gone_on_from_and_its_best_is_remembered(tmp_path: Path) -> None:
    """The best comes early (contrary development data) and must survive the later intervals."""
    loop = replace(SHORT, epochs=5)
    expected = run(tmp_path / "whole", loop, **CONTRARY)
    lines = logged(tmp_path / "whole")
    assert min(lines, key=lambda line: (line["dev_error"], line["dev_loss"]))["interval"] < 4
    run_until(4 * A_PASS + 1, tmp_path / "before", loop, **CONTRARY)
    (tmp_path / "before").rename(tmp_path / "after")
    assert_same(run(tmp_path / "after", loop, **CONTRARY), expected)


def test_a_best_checkpoint_that_is_gone_is_written_again(tmp_path: Path) -> None:
    run_until(4 * A_PASS + 1, tmp_path, replace(SHORT, epochs=5), **CONTRARY)
    (tmp_path / BEST).unlink()
    run(tmp_path, replace(SHORT, epochs=5), **CONTRARY)
    assert torch.load(tmp_path / BEST, weights_only=True)["global_step"] > 4 * A_PASS


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

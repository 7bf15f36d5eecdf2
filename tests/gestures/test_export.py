"""`gestures export`: a model in weights of 8 bits, and what that costs on clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gestures
from features import landmark_files
from gestures.cli import main
from gestures.shipped import find
from inference import model as models


@pytest.mark.parametrize("kind", ["products", "weights"])
def test_the_shipped_model_is_exported(kind: str, in_float32, tmp_path: Path, capsys) -> None:
    demo = Path(gestures.__file__).parent / "demo" / "hand.pose"
    hand = landmark_files.read(demo)
    for k, label in enumerate(("open", "close")):
        (tmp_path / "clips" / label).mkdir(parents=True)
        landmark_files.write(tmp_path / "clips" / label / f"anna_{k}.npz", hand[30 * k : 30 * k + 45])
    whole, out = in_float32(find("hands"), tmp_path / "whole"), tmp_path / "small"
    assert main(["export", str(whole), "--int8", kind, "--dev", str(tmp_path / "clips"), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert f"model: {out}\n" in printed.err
    assert "on clips (2 clips or streams):" in printed.out
    assert "| accuracy |" in printed.out
    model = models.load(out)
    assert model.int8["kind"] == kind
    assert printed.out.strip()[1:] in model.card
    before, after = (gestures.load(name).recognize(hand) for name in (whole, out))
    assert [one.label for one in before.gestures] == [one.label for one in after.gestures] != []
    times = [[one.start for one in found.gestures] for found in (before, after)]
    np.testing.assert_allclose(*times, atol=0.1)


def test_a_model_that_hears_is_not_for_gestures(tmp_path: Path, capsys) -> None:
    import asr.shipped

    arguments = ["--int8", "--dev", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["export", str(asr.shipped.find("digits")), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""What other tools have prepared, Kaldi data and lhotse Shar, trains and is evaluated as the same recordings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet

from asr.cli import main
from asr.recognizer import Recognizer
from asr.train import TrainConfig, train
from inference import model as models
from training.manifests import Item, cut, read


def as_kaldi(folder: Path, items: Sequence[Item]) -> str:
    """A data directory whose sounds are what a command writes."""
    folder.mkdir()
    lines = {
        "wav.scp": [f"{item.id} sox {item.path} -t wav - |" for item in items],
        "text": [f"{item.id} {item.text}" for item in items],
        "utt2spk": [f"{item.id} {item.speaker}" for item in items],
    }
    for name, written in lines.items():
        (folder / name).write_text("\n".join(written) + "\n")
    return f"kaldi:{folder}"


def as_shar(folder: Path, items: Sequence[Item]) -> str:
    folder.mkdir()
    cuts = CutSet.from_cuts(cut(item.id, item.path, item.text, speaker=item.speaker) for item in items)
    cuts.to_shar(folder, fields={"recording": "wav"}, shard_size=5)
    return f"shar:{folder}"


@pytest.fixture(scope="module")
def quick(tone_config: TrainConfig) -> TrainConfig:
    """A pass with a worker, which reads out of archives itself."""
    return replace(tone_config, loop=replace(tone_config.loop, epochs=1, workers=1))


@pytest.fixture(scope="module")
def plain(tones: Path, quick: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> models.Model:
    items = read(tones / "dev")
    return train(quick, train=items, dev=items[:4], out=tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("prepare", [as_kaldi, as_shar])
def test_it_trains_and_is_evaluated_as_the_recordings_are(prepare, tones, quick, plain, tmp_path, capsys) -> None:
    originals = read(tones / "dev")
    data = prepare(tmp_path / "data", originals)
    items = read(data)
    model = train(quick, train=items, dev=items[:4], out=tmp_path / "out")
    for name in (models.WEIGHTS, models.CONFIG, models.LABELS):
        assert (model.directory / name).read_bytes() == (plain.directory / name).read_bytes()
    recognizer = Recognizer.open(model.directory)
    for one, other in zip(items[:3], originals, strict=False):
        np.testing.assert_array_equal(recognizer.scores(one.path)[0], recognizer.scores(other.path)[0])
    said = []
    for source in (data, str(tones / "dev")):
        capsys.readouterr()
        assert main(["evaluate", source, "--model", str(model.directory)]) == 0
        said.append(capsys.readouterr().out.replace(source, "DATA"))
    assert said[0] == said[1]
    assert main(["check", data]) == 0

"""A corpus that comes as frames trains and is transcribed as if it had come as sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.recognizer import Recognizer
from asr.train import TrainConfig, train
from features.extractor import FeatureConfig, FeatureExtractor
from features.given import FramesError, GivenConfig, write_sphinx
from inference.model import ModelError
from training.manifests import frames_cut, read, write


@pytest.fixture(scope="module")
def frames(tones: Path, tone_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests of the tones' filterbanks: `train.jsonl.gz` and so on, beside their files."""
    folder = tmp_path_factory.mktemp("frames")
    extractor = FeatureExtractor(tone_config.features)
    for part in ("train", "dev", "test"):
        cuts = []
        for item in read(tones / part):
            path = folder / f"{part}-{Path(item.id).name}.mfc"
            write_sphinx(path, extractor.raw(extractor.read(item.path)))
            cuts.append(frames_cut(item.id, path, item.text, duration=item.duration, speaker=item.speaker))
        write(folder / f"{part}.jsonl.gz", cuts)
    return folder


@pytest.fixture(scope="module")
def both(tones: Path, frames: Path, tone_config: TrainConfig, tmp_path_factory) -> tuple[Recognizer, Recognizer]:
    """Trained with the same settings on the sound and on the frames."""
    made = tone_config.features.fbank
    given = FeatureConfig(given=GivenConfig(num_features=made.bins, shift_ms=made.shift_ms, kind="log mel energies"))
    short = replace(tone_config, loop=replace(tone_config.loop, epochs=3))
    models = []
    for config, source, end in ((short, tones, ""), (replace(short, features=given), frames, ".jsonl.gz")):
        items = {part: read(source / f"{part}{end}") for part in ("train", "dev")}
        out = tmp_path_factory.mktemp("given")
        models.append(Recognizer(train(config, train=items["train"][:40], dev=items["dev"], out=out)))
    return models[0], models[1]


def test_frames_train_and_are_transcribed_as_the_sound_they_are_of(both, tones: Path, frames: Path) -> None:
    of_sound, of_frames = both
    for heard, given in zip(read(tones / "test"), read(frames / "test.jsonl.gz"), strict=True):
        assert (heard.id, heard.text, heard.speaker) == (given.id, given.text, given.speaker)
        np.testing.assert_array_equal(of_frames.scores(given.path)[0], of_sound.scores(heard.path)[0])
        ours, theirs = of_frames.transcribe(given.path), of_sound.transcribe(heard.path)
        assert [(one.text, one.start) for one in ours.words] == [(one.text, one.start) for one in theirs.words]
        assert 0 <= theirs.duration - ours.duration < 0.03, "the last frame begins a window before the end"


def test_commands_take_files_of_frames(both, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, recognizer = both
    model = ["--model", str(recognizer.model.directory)]
    assert main(["evaluate", str(frames / "test.jsonl.gz"), *model]) == 0
    assert "WER" in capsys.readouterr().out
    item = read(frames / "test.jsonl.gz")[0]
    for name in (item.path, item.path.replace("u0", "u[0]")):
        assert main(["transcribe", name, *model]) == 0
        assert capsys.readouterr().out.strip() == recognizer.transcribe(item.path).text
    labels, sure = tmp_path / "labels.jsonl", ["--min-confidence", "0", "--shortest", "0s"]
    assert main(["label", item.path, *model, "--out", str(labels), *sure]) == 0
    [labelled] = read(labels)
    assert (labelled.path, labelled.text) == (item.path, recognizer.transcribe(item.path).text)
    assert recognizer.scores(labelled.path, duration=labelled.duration)[1] == recognizer.scores(item.path)[1]


def test_what_cannot_be_done_with_frames_says_so(both, tones: Path, frames: Path, capsys) -> None:
    of_sound, of_frames = both
    recording, item = next((tones / "test").rglob("*.wav")), read(frames / "test.jsonl.gz")[0]
    with pytest.raises(FramesError, match=r"reads frames that are given \(log mel energies\), not sound"):
        of_frames.transcribe(recording)
    with pytest.raises(ModelError, match="reads frames that are given and cannot hear"):
        of_frames.stream()
    for recognizer, source in ((of_frames, str(recording)), (of_sound, item.path)):
        assert main(["transcribe", source, "--model", str(recognizer.model.directory)]) == 2
        assert source in capsys.readouterr().err

"""Training without words, and going on from it with words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from asr.cli import main
from asr.train import TrainConfig, forecast_of, train
from asr.train_cli import DEV_SHARE
from asr.train_targets import HeadConfig
from encoders.blstm import EncoderConfig
from features import audio
from features.augment import AugmentConfig
from features.extractor import FeatureConfig
from features.filterbank import FbankConfig
from inference import model as models
from inference.forecast import forecast_errors
from training.config import ConsistencyConfig, IntermediateConfig, LoopConfig, OptimizerConfig
from training.latency import LatencyConfig
from training.manifests import ManifestError, read
from training.splits import split_by_speaker

FORECAST = HeadConfig(kind="forecast", ahead_ms=60)


@pytest.fixture(scope="module")
def untold(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tones without their words."""
    folder = tmp_path_factory.mktemp("untold")
    for path in (tones / "train").rglob("*.wav"):
        to = folder / path.relative_to(tones / "train")
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def warm(untold: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of forecasts, by the command."""
    out = tmp_path_factory.mktemp("warm") / "run"
    options = "--head.kind forecast --head.ahead_ms 60 --features.fbank.rate 8000 --features.fbank.bins 20 "
    options += "--encoder.layers 1 --encoder.hidden_size 24 --encoder.dropout 0 --optimizer.learning_rate 0.01 "
    options += "--loop.epochs 4 --loop.batch_frames 800 --loop.workers 0 --loop.threads 1 --loop.patience 0"
    assert main(["train", str(untold), "--out", str(out), *options.split()]) == 0
    return out / "model"


def test_sound_alone_becomes_a_model_of_forecasts(warm: Path) -> None:
    model = models.load(warm)
    assert model.head == {"kind": "forecast", "ahead": 2}
    assert model.labels[:2] == ("0.0", "0.1")
    assert len(model.labels) == 3 * 20
    assert model.latency == {"chunk_ms": [60.0, 60.0], "lookahead_share": [0.0, 0.0]}
    assert "forecasts of the 20 features of 3 frames, 2 steps ahead" in model.card
    assert model.calibration is None


def test_what_it_reports_is_what_the_exported_model_does(warm: Path) -> None:
    """The development loss of the best interval, from the same items by ONNX Runtime, and better than the mean."""
    lines = (warm.parent / "run" / "train.log").read_text().splitlines()
    said = [float(line.split("forecasts off by ")[1].split()[0]) for line in lines if "forecasts off by" in line]
    assert min(said) < said[0]
    model = models.load(warm)
    _, dev = split_by_speaker(read(warm_data(warm), untold=True), DEV_SHARE, seed=0)
    errors, plain = [], []
    for item in dev:
        frames_TF = model.extractor(model.extractor.read(item.path))
        found = forecast_errors(model, [frames_TF])
        errors += found[2:].tolist()
        steps = frames_TF[: len(found) * 3].reshape(len(found), -1)
        plain += np.abs(steps[2:]).mean(axis=1).tolist()
    assert np.mean(errors) == pytest.approx(min(said), abs=2e-3)
    assert np.mean(errors) < 0.8 * np.mean(plain)


def warm_data(warm: Path) -> Path:
    command = next(line for line in (warm / "README.md").read_text().splitlines() if "asr train" in line)
    return Path(command.split()[2])


def test_words_are_trained_on_from_its_encoder(warm: Path, items, tone_config: TrainConfig, tmp_path: Path) -> None:
    start = models.load(warm)
    still = replace(
        tone_config,
        optimizer=OptimizerConfig(learning_rate=1e-12, weight_decay=0.0),
        loop=replace(tone_config.loop, epochs=1),
    )
    made = train(still, train=items["train"], dev=items["dev"], out=tmp_path, start_from=start)
    assert made.head == {"kind": "ctc"}
    before, after = load_file(warm / models.WEIGHTS), load_file(made.directory / models.WEIGHTS)
    layers = [name for name in before if name.startswith("layer")]
    assert len(layers) == 6
    for name in layers:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-6)
    assert made.extractor(np.ones(4000, np.float32)).tolist() == start.extractor(np.ones(4000, np.float32)).tolist()


@pytest.mark.parametrize(
    "arguments",
    [["transcribe", "FILE"], ["classify", "FILE"], ["evaluate", "FOLDER"], ["check", "FOLDER"]],
)
def test_what_needs_words_refuses_it_in_one_line(warm: Path, tones: Path, capsys, arguments: list[str]) -> None:
    places = {"FILE": str(next((tones / "test").rglob("*.wav"))), "FOLDER": str(tones / "test")}
    capsys.readouterr()
    assert main([*(places.get(one, one) for one in arguments), "--model", str(warm)]) == 2
    error = capsys.readouterr().err
    assert "forecasts sound and writes no words" in error
    assert len(error.splitlines()) == 1


def test_a_table_needs_no_texts(tones: Path, tmp_path: Path) -> None:
    sound = next((tones / "test").rglob("*.wav"))
    table = tmp_path / "table.tsv"
    table.write_text(f"path\tspeaker\n{sound}\tanna\n")
    [item] = read(table, untold=True)
    assert (item.text, item.speaker, item.path) == ("", "anna", str(sound))
    with pytest.raises(ManifestError, match="missing: text"):
        read(table)


def test_a_folder_of_sounds_alone_is_read_by_speaker(untold: Path, tones: Path) -> None:
    items = read(untold, untold=True)
    assert len(items) == 96
    assert {item.speaker for item in items} == {f"speaker{k}" for k in range(4)}
    assert not any(item.text for item in items)
    with pytest.raises(ManifestError, match="no sound file has a transcript"):
        read(untold)


def test_how_far_ahead_is_whole_steps() -> None:
    for ahead_ms, stacking, steps in ((60, 3, 2), (61, 3, 3), (10, 3, 1), (120, 1, 12)):
        config = TrainConfig(
            head=HeadConfig(kind="forecast", ahead_ms=ahead_ms), encoder=EncoderConfig(subsampling=[stacking])
        )
        assert forecast_of(config).head["ahead"] == steps
        assert config.latency == LatencyConfig((ahead_ms, ahead_ms), (0, 0), 0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"head": FORECAST, "latency": LatencyConfig(chunk_ms=(200, 400))}, "latency is given"),
        ({"head": FORECAST, "augment": AugmentConfig(time_masks=1)}, "forecasts would be of masks"),
        ({"head": FORECAST, "features": FeatureConfig(fbank=FbankConfig(), deltas=1)}, "differences tell of frames"),
        ({"head": FORECAST, "intermediate": IntermediateConfig(0.3)}, "belongs to head.kind ctc"),
        ({"head": FORECAST, "consistency": ConsistencyConfig(0.2)}, "belongs to head.kind ctc"),
        ({"loop": LoopConfig(clean_passes=1), "consistency": ConsistencyConfig(0.2)}, "are without masks"),
        ({"consistency": ConsistencyConfig(0.2, streams=True)}, "give latency.chunk_ms"),
        (
            {
                "latency": LatencyConfig((200, 400), full_context=0),
                "loop": LoopConfig(truncate_ms=500),
                "consistency": ConsistencyConfig(0.2, streams=True),
            },
            "which loop.truncate_ms cuts",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TrainConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"ahead_ms": 0}, "head.ahead_ms is 0"), ({"kind": "ctc", "ahead_ms": 50}, "belongs to head.kind forecast")],
)
def test_heads_that_cannot_be_are_refused(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        HeadConfig(**settings)


def test_one_direction_needs_no_chunks_and_too_short_items_are_named(items, tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    audio.write(short, np.zeros(400, np.float32), 8000)
    config = TrainConfig(
        head=FORECAST,
        encoder=EncoderConfig(layers=1, hidden_size=8, bidirectional=False, dropout=0.0),
        loop=LoopConfig(epochs=1, batch_frames=800, workers=0, threads=1),
    )
    assert config.latency == LatencyConfig()
    some = [*items["train"][:9], replace(items["train"][0], id="short", path=str(short), duration=0.05, start=0.0)]
    made = train(config, train=some, dev=items["dev"][:4], out=tmp_path / "out")
    assert made.latency is None
    assert "short: has" in (tmp_path / "out" / "run" / "train.log").read_text()

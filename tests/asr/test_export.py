"""`asr export`: what it writes and says, what it refuses, and that its models are used and trained on from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import asr
from asr.cli import main
from asr.confidence.calibration import Calibration
from asr.confidence.reliability import Reliability
from asr.evaluate import evaluate
from asr.shipped import find
from asr.train_export import CALIBRATED
from encoders.int8 import dequantized
from features import audio
from inference import model as models
from inference.model import ModelError
from inference.shell import INT8_KINDS
from training.int8 import SAID
from training.run import network_of


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory, make_corpus) -> Path:
    """Recordings for the shipped model, which knows no word of theirs."""
    return make_corpus(tmp_path_factory.mktemp("speech"), 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, in_float32) -> Path:
    """The shipped model in float32."""
    return in_float32(find("digits"), tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture(scope="module", params=INT8_KINDS)
def exported(
    request: pytest.FixtureRequest, whole: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("exported") / "small"
    assert main(["export", str(whole), "--int8", request.param, "--dev", str(speech), "--out", str(out)]) == 0
    return out


def test_what_is_written(whole: Path, exported: Path) -> None:
    before, after = models.load(whole), models.load(exported)
    assert after.int8["kind"] in INT8_KINDS
    assert set(after.int8) == ({"kind", "ranges"} if after.int8["kind"] == "products" else {"kind"})
    config = yaml.safe_load((exported / "config.yaml").read_text())
    assert config["format"] == 4
    for name in ("labels", "encoder", "head", "tokens", "latency", "calibration"):
        assert getattr(after, name) == getattr(before, name)
    arrays = load_file(exported / "weights.safetensors")
    assert {array.dtype.name for array in arrays.values()} == {"int8", "float32"}
    assert sum(path.stat().st_size for path in exported.iterdir()) < 1_250_000
    card = (exported / "README.md").read_text()
    assert card.startswith(before.card.rstrip())
    said = re.search(r"## Weights of 8 bits\n\n(.+) \((4 recordings), .* h\):\n\n(.*?)\n\nAnother", card, re.DOTALL)
    assert said[3].splitlines()[0] == "|  | float32 | int8 | points |"
    assert [row.split(" | ")[0] for row in said[3].splitlines()[2:5]] == ["| WER", "| CER", "| ECE"]
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=exported, capture_output=True)
    assert not sums.returncode


def test_confidences_are_checked_and_said_to_be_those_of_the_model_in_float32(
    whole: Path, exported: Path, speech: Path
) -> None:
    reports = [evaluate(asr.load(str(name)), speech)[0] for name in (whole, exported)]
    in_float, in_int8 = (f"{100 * Reliability(report.judged).ece():.2f} %" for report in reports)
    card = models.load(exported).card
    assert f"| ECE | {in_float} | {in_int8} |" in card
    assert CALIBRATED in card
    assert asr.load(str(exported)).words.calibration == asr.load(str(whole)).words.calibration != Calibration()


def test_it_hears_what_the_model_hears(whole: Path, exported: Path) -> None:
    demo = Path(asr.__file__).parent / "demo" / "digits.flac"
    one, other = asr.load(str(whole)), asr.load(exported)
    expected = one.transcribe(demo)
    assert expected.text
    assert other.transcribe(demo).text == expected.text
    frames = one.model.extractor(one.model.extractor.read(demo))
    assert other.model.scorer.full(frames).tobytes() != one.model.scorer.full(frames).tobytes()


def test_it_hears_nothing_in_silence(exported: Path) -> None:
    """Whose frames lie beyond the range of any recording."""
    assert asr.load(exported).transcribe((np.zeros(8000 * 5, np.float32), 8000)).text == ""


def test_what_is_said_is_heard_though_development_data_were_silent(whole: Path, tmp_path: Path) -> None:
    """Frames of silence alone would cut off what speech is."""
    (tmp_path / "silence").mkdir()
    audio.write(tmp_path / "silence" / "a.wav", np.zeros(8000, np.float32), 8000)
    (tmp_path / "silence" / "a.txt").write_text("one\n")
    out = tmp_path / "small"
    assert main(["export", str(whole), "--int8", "--dev", str(tmp_path / "silence"), "--out", str(out)]) == 0
    demo = Path(asr.__file__).parent / "demo" / "digits.flac"
    assert asr.load(out).transcribe(demo).text == asr.load(whole).transcribe(demo).text


def test_it_is_trained_on_from_its_weights(exported: Path) -> None:
    arrays = dequantized(load_file(exported / "weights.safetensors"))
    network = network_of(models.load(exported))
    assert {array.dtype.name for array in arrays.values()} == {"float32"}
    for name, array in network.arrays().items():
        np.testing.assert_array_equal(array, arrays[name])


def test_a_classifier(untrained, named_tones: Path, tmp_path: Path, capsys) -> None:
    model = untrained(["la", "mi", "so"], "class", head="class")
    out = tmp_path / "small"
    assert main(["export", str(model), "--int8", "--dev", str(named_tones / "test"), "--out", str(out)]) == 0
    assert "| accuracy |" in capsys.readouterr().out
    assert models.load(out).int8["kind"] == "products"


def test_what_it_refuses(whole: Path, exported: Path, speech: Path, untrained, tmp_path: Path, capsys) -> None:
    def refused(*arguments: object) -> str:
        assert main(["export", *map(str, arguments)]) == 2
        printed = capsys.readouterr()
        assert not printed.out
        assert printed.err.count("\n") == 1
        return printed.err

    capsys.readouterr()
    out = tmp_path / "out"
    rest = ["--int8", "--dev", speech, "--out", out]
    for small in (exported, "english"):
        assert "has weights of 8 bits already, as the models that ship have" in refused(small, *rest)
    assert "is there already; give another --out" in refused(whole, *rest[:-1], tmp_path)
    assert "no such file" in refused(whole, "--int8", "--dev", tmp_path / "none", "--out", out)
    assert "gestures export" in refused(Path(asr.__file__).parents[1] / "gestures" / "models" / "hands", *rest)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "a.wav").write_bytes(b"no sound")
    (tmp_path / "noise" / "a.txt").write_text("one\n")
    below_a_file = tmp_path / "noise" / "a.txt" / "out"
    # Before the data are looked for.
    nowhere = refused(whole, "--int8", "--dev", tmp_path / "none", "--out", below_a_file)
    assert nowhere == f"asr: {below_a_file}: Not a directory\n"
    unreadable = [whole, "--int8", "--dev", tmp_path / "noise", "--out", out]
    assert re.search(r"noise: no recording could be read; the first: \S+a\.wav", refused(*unreadable))
    with pytest.raises(SystemExit):
        main(["export", "--int8", "digits", "--dev", str(speech), "--out", str(out)])
    assert "neither products nor weights; a model is named before --int8" in capsys.readouterr().err
    forecasts = untrained(["la", "mi", "so"], "class", head="class")
    config = (forecasts / "config.yaml").read_text().replace("head: {kind: class}", "head: {kind: forecast, ahead: 2}")
    (forecasts / "config.yaml").write_text(config)
    (forecasts / "SHA256SUMS").unlink()
    assert "forecasts sound and writes no words" in refused(forecasts, *rest)
    assert not out.exists()


def test_a_cell_without_products(speech: Path, tmp_path: Path, capsys) -> None:
    """Says what there is instead, and that works."""
    import torch

    from encoders.blstm import EncoderConfig
    from encoders.export import export
    from encoders.network import Network

    shipped = models.load(find("digits"))
    torch.manual_seed(0)
    shape = EncoderConfig(cell="gru", layers=1, hidden_size=8, subsampling=[3])
    written = export(Network(shipped.extractor.num_features, len(shipped.labels), shape))
    model = models.save(
        tmp_path / "gru",
        graph=written.graph,
        weights=written.weights,
        extractor=shipped.extractor,
        labels=shipped.labels,
        encoder={"cell": "gru", "layers": 1, "hidden_size": 8, "subsampling": [3]},
        tokens=shipped.tokens,
        card="# A card\n",
    ).directory
    command = ["export", str(model), "--dev", str(speech), "--out", str(tmp_path / "small")]
    assert main([*command, "--int8"]) == 2
    assert "cell gru has no products in 8 bits" in capsys.readouterr().err
    assert main([*command, "--int8", "weights"]) == 0
    assert models.load(tmp_path / "small").int8 == {"kind": "weights"}


def test_every_kind_is_described() -> None:
    assert tuple(SAID) == INT8_KINDS


def test_a_damaged_entry_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in exported.iterdir():
        if path.name != "SHA256SUMS":
            (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text[: text.index("int8:")] + "int8: 8\n")
    with pytest.raises(ModelError, match="int8 is 8; fetch the model anew"):
        models.load(folder)

"""`asr gradients`: the numbers of its tables, what it plots, and what it refuses."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import asr.demo
from asr.cli import main
from encoders.blstm import EncoderConfig
from encoders.cells import CELLS
from encoders.error_flow import error_flow
from encoders.export import export
from encoders.network import Network
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from training.flow_report import Flow
from training.run import network_of

DEMO = Path(asr.demo.__file__).parent / "digits.flac"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    samples, rate = soundfile.read(DEMO, frames=12_000)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    return tmp_path / "a.wav"


def stored(folder: Path, *, head: str = "ctc", **shape: object) -> models.Model:
    """A model directory with a network that was never trained."""
    encoder = EncoderConfig(**({"layers": 2, "hidden_size": 6, "subsampling": [3]} | shape))
    extractor = FeatureExtractor(FeatureConfig(fbank=FbankConfig(rate=8000, bins=8), normalization="none"))
    torch.manual_seed(1)
    exported = export(Network(8, 3, encoder, head=head))
    kinds = {"ctc": {"kind": "ctc"}, "class": {"kind": "class", "window_ms": 300, "hop_ms": 100, "threshold": 0.5}}
    return models.save(
        folder,
        graph=exported.graph,
        weights=exported.weights,
        extractor=extractor,
        labels=["<blank>" if head == "ctc" else "none", "a", "b"],
        encoder={**asdict(encoder), "subsampling": list(encoder.subsampling)},
        head=kinds[head],
        tokens={"unit": "char"},
        card="",
    )


def cells_of(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]


def test_the_table_has_the_means_of_the_flow(recording: Path, tmp_path: Path, capsys) -> None:
    model = stored(tmp_path / "model")
    assert main(["gradients", str(recording), "--model", str(model.directory), "--back", "240ms"]) == 0
    header, _, *rows = cells_of(capsys.readouterr().out)
    frames_TF = model.extractor(model.extractor.read(str(recording)))
    flow = error_flow(network_of(model).double(), torch.from_numpy(frames_TF), back=8, errors=8)
    assert header == ["back", *flow]
    assert [row[0] for row in rows] == ["0 ms", "30 ms", "60 ms", "120 ms", "240 ms", "halved in (mean)"]
    for steps, row in zip((0, 1, 2, 4, 8), rows, strict=False):
        wanted = [float(norms[:, steps].mean() / norms[:, 0].mean()) for norms in flow.values()]
        assert [float(value) for value in row[1:]] == pytest.approx(wanted, rel=0.06)


@pytest.mark.parametrize(("cell", "head"), list(zip(CELLS, itertools.cycle(["ctc", "class"]), strict=False)))
def test_a_stored_network_is_the_one_that_runs(cell: str, head: str, tmp_path: Path) -> None:
    model = stored(tmp_path / "model", head=head, cell=cell, layer_norm=CELLS[cell].normalises)
    frames_TF = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    with torch.no_grad():
        scores, _ = network_of(model)(torch.from_numpy(frames_TF)[None], torch.tensor([20]))
        other, _ = network_of(model, fresh=True)(torch.from_numpy(frames_TF)[None], torch.tensor([20]))
    np.testing.assert_allclose(scores[0], model.scorer.full(frames_TF), rtol=0, atol=1e-5)
    assert (scores - other).abs().max() > 1e-3


def test_weights_of_another_shape_are_one_line_that_names_the_model(tmp_path: Path) -> None:
    directory = stored(tmp_path / "model").directory
    (directory / models.SUMS).unlink()
    config = (directory / models.CONFIG).read_text().replace("hidden_size: 6", "hidden_size: 7")
    (directory / models.CONFIG).write_text(config)
    with pytest.raises(models.ModelError, match=r"its network cannot be made of config\.yaml and") as caught:
        network_of(models.load(directory))
    assert str(caught.value).startswith(f"{directory}: ")


def test_models_are_compared_and_plotted(recording: Path, tmp_path: Path, capsys) -> None:
    one, other = (stored(tmp_path / cell, cell=cell, bidirectional=cell == "lstm") for cell in ("rnn", "lstm"))
    command = ["gradients", str(tmp_path), "--fresh", "--plot", str(tmp_path / "plot.svg")]
    assert main([*command, "--model", str(one.directory), "--model", str(other.directory)]) == 0
    shown = capsys.readouterr()
    names = [line.split(": what comes back")[0] for line in shown.out.splitlines() if "what comes back" in line]
    assert names == [f"{model.directory}{more}" for model in (one, other) for more in ("", ", before training")]
    assert "layer1.backward" in shown.out
    assert shown.err == f"plot: {tmp_path / 'plot.svg'}\n"
    assert (tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")


def test_the_rate_is_the_geometric_mean() -> None:
    halved = Flow("it", 0.03, {"a": 0.5 ** np.arange(9), "b": np.ones(9), "c": np.array([1, 0.5, *[0.0] * 7])}, 1)
    assert halved.halving_seconds("a") == pytest.approx(0.03)
    assert halved.halving_seconds("b") == np.inf
    assert halved.halving_seconds("c") == 0.0
    assert cells_of(halved.to_markdown())[-1] == ["halved in (mean)", "30 ms", "never", "0 ms"]


def test_what_cannot_be_followed_is_one_line(recording: Path, tmp_path: Path, capsys) -> None:
    model = str(stored(tmp_path / "model").directory)
    (tmp_path / "broken.wav").write_bytes(b"no sound")

    def said(*arguments: str, code: int) -> str:
        assert main(["gradients", *arguments, "--model", model]) == code
        return capsys.readouterr().err

    line = said(str(recording), "--back", "20s", code=2)
    assert line == (
        "asr: the longest recording lasts 0.75 s, too short to follow errors 20.01 s back; give longer ones, or a "
        "lower --back\n"
    )
    assert "--back is 45 s; give less than the 30 s heard" in said(str(recording), "--back", "45s", code=2)
    assert "--back is 0 s; of " in (line := said(str(recording), "--back", "0s", code=2))
    assert "give at least 60ms" in line
    assert "broken.wav" in said(str(tmp_path / "broken.wav"), code=2)
    lines = said(str(recording), str(tmp_path / "broken.wav"), code=1).splitlines()
    assert lines[0] == "asr: 1 recordings could not be read, or are too short:"
    assert "broken.wav" in lines[1]
    assert "give a name that ends in .png" in said(str(recording), "--plot", "plot.doc", code=2)
    nowhere = str(tmp_path / "nowhere" / "plot.png")
    assert f"{nowhere}: there is no such folder" in said(str(recording), "--plot", nowhere, code=2)
    assert "neither a shipped model" in said(str(recording), "--model", str(tmp_path / "none"), code=2)

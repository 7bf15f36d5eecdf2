"""Errors of forecasts as a stream, against the graph's own scores held against the frames, whatever the pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.blstm import EncoderConfig
from encoders.export import export
from encoders.network import Network
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.forecast import ForecastErrors, forecast_errors

BINS = 6


def saved(folder: Path, *, head: dict, convolution: int = 0, labels: list[str] | None = None) -> models.Model:
    torch.manual_seed(0)
    encoder = {"layers": 2, "hidden_size": 5, "subsampling": [1, 2], "convolution": convolution}
    config = EncoderConfig(**encoder)
    labels = labels or [str(k) for k in range(BINS * config.total_subsampling)]
    exported = export(Network(BINS, len(labels), config, head=head["kind"]))
    return models.save(
        folder / "model",
        graph=exported.graph,
        weights=exported.weights,
        extractor=FeatureExtractor(FeatureConfig(fbank=FbankConfig(rate=8000, bins=BINS))),
        labels=labels,
        encoder=encoder,
        tokens={"unit": "feature"},
        head=head,
        card="",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, models.Model]:
    return {
        convolution: saved(
            tmp_path_factory.mktemp("forecast"), head={"kind": "forecast", "ahead": 3}, convolution=convolution
        )
        for convolution in (0, 2)
    }


@pytest.mark.parametrize("convolution", [0, 2])
@settings(max_examples=25, deadline=None)
@given(frames=st.integers(0, 120), cuts=st.lists(st.integers(0, 120), max_size=5))
def test_errors_are_those_of_the_scores_in_any_pieces(made, convolution, frames, cuts) -> None:
    model = made[convolution]
    assert model.subsampling == (8 if convolution else 2)
    x_TF = np.random.default_rng(frames).standard_normal((frames, BINS)).astype(np.float32)
    pieces = np.split(x_TF, sorted(min(cut, frames) for cut in cuts))
    scores = model.scorer.windowed([x_TF], chunk=3 * model.subsampling, lookahead=0)
    steps = frames // model.subsampling
    came = x_TF[: steps * model.subsampling].reshape(steps, BINS * model.subsampling)
    wanted = np.full(steps, np.nan, np.float32)
    for step in range(3, steps):
        wanted[step] = np.abs(came[step] - scores[step - 3]).mean()
    np.testing.assert_allclose(forecast_errors(model, pieces), wanted, rtol=1e-6)
    stream = ForecastErrors(model)
    found = np.concatenate([stream.push(piece) for piece in [*pieces, x_TF[:0]]])
    np.testing.assert_array_equal(found, forecast_errors(model, [x_TF]))


def test_a_model_with_convolutions_has_a_format_of_its_own(made) -> None:
    for convolution, number in ((0, 2), (2, 3)):
        assert f"format: {number}\n" in (made[convolution].directory / models.CONFIG).read_text()


def test_a_stream_begins_anew(made) -> None:
    stream = ForecastErrors(made[0])
    x_TF = np.random.default_rng(0).standard_normal((31, BINS)).astype(np.float32)
    first = stream.push(x_TF)
    stream.reset()
    np.testing.assert_array_equal(stream.push(x_TF), first)


def test_models_of_words_make_no_forecasts(tmp_path: Path) -> None:
    words = saved(tmp_path, head={"kind": "ctc"}, labels=["<blank>", "a"])
    with pytest.raises(models.ModelError, match="makes no forecasts"):
        ForecastErrors(words)


@pytest.mark.parametrize(
    ("there", "instead", "named"),
    [
        ("ahead: 3", "ahead: 0", "head.ahead is 0"),
        ("ahead: 3", "ahead: soon", "head.ahead is 'soon'"),
        ("convolution: 0", "convolution: -1", "encoder.convolution is -1"),
        ("convolution: 0", "convolution: 2", "does not stack 8 frames"),
    ],
)
def test_what_a_directory_says_is_checked(made, tmp_path: Path, there: str, instead: str, named: str) -> None:
    for path in made[0].directory.iterdir():
        if path.name != models.SUMS:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config = (tmp_path / models.CONFIG).read_text()
    assert there in config
    (tmp_path / models.CONFIG).write_text(config.replace(there, instead))
    with pytest.raises(models.ModelError, match=named):
        _ = models.load(tmp_path).scorer

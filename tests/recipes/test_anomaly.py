"""What is altered for the recipe `anomaly`, and how its figure is counted."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.borders import beside
from encoders.blstm import EncoderConfig
from encoders.network import Network
from encoders.windows import Latency
from features import audio
from inference import model as models
from inference.forecast import forecast_errors
from recipes import of_forecasts
from recipes.anomaly.prepare import ALTERATIONS, RATE, level, prepare, stretches
from recipes.cli import main
from recipes.of_forecasts import ALTERED, USUAL, area_under_roc
from training.manifests import ManifestError, read

README = Path(of_forecasts.__file__).parent / "anomaly" / "README.md"
WHOLE = "--features.fbank.bins 8 --encoder.layers 1 --encoder.hidden_size 6 --head.ahead_ms 30 --loop.epochs 1 "
WHOLE += "--loop.workers 0 --loop.threads 1"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings by the names of yesno, 1.8 s of noise and tones."""
    folder = tmp_path_factory.mktemp("yesno")
    rng = np.random.default_rng(0)
    for signs in itertools.islice(itertools.product("01", repeat=8), 60):
        tone = np.sin(2 * np.pi * rng.uniform(200, 900) * np.arange(14400) / RATE)
        samples_S = 0.1 * tone + 0.02 * rng.standard_normal(14400)
        audio.write(folder / f"{'_'.join(signs)}.wav", samples_S.astype(np.float32), RATE)
    return folder


@pytest.fixture(scope="module")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("anomaly")
    prepare(corpus, out)
    return out


@pytest.mark.parametrize("name", ALTERATIONS)
def test_one_stretch_of_each_test_recording_is_altered_and_told(prepared: Path, corpus: Path, name: str) -> None:
    items = read(prepared / "manifests" / f"test_{name}.jsonl.gz")
    assert len(items) == 30
    for item in items:
        found = {border.text: border for border in beside(item.path)}
        assert {*found} == {ALTERED, USUAL}
        assert abs(found[ALTERED].start - found[USUAL].start) >= 0.7 - 1e-3
        first, behind = round(found[ALTERED].start * RATE), round(found[ALTERED].end * RATE)
        before, _ = audio.read(next(corpus.rglob(f"{item.id}.wav")))
        after, _ = audio.read(item.path)
        assert len(after) == len(before)
        np.testing.assert_array_equal(after[:first], before[:first])
        np.testing.assert_array_equal(after[behind:], before[behind:])
        changed, there = after[first:behind], before[first:behind]
        if name == "gap":
            assert not changed.any()
        elif name == "nothing":
            np.testing.assert_array_equal(changed, there)
        elif name == "backwards":
            np.testing.assert_array_equal(changed, there[::-1])
        else:
            assert level(changed - there) == pytest.approx(level(there), rel=0.1)


def test_nothing_altered_is_trained_on_and_twice_is_the_same(prepared: Path, corpus: Path, tmp_path: Path) -> None:
    names = {path.name for path in (prepared / "manifests").iterdir()}
    assert names == {f"{part}.jsonl.gz" for part in ("train", "dev", *(f"test_{name}" for name in ALTERATIONS))}
    for part in ("train", "dev"):
        assert not any("audio" in Path(item.path).parts for item in read(prepared / "manifests" / f"{part}.jsonl.gz"))
    prepare(corpus, tmp_path)
    prepare(corpus, tmp_path)
    for path in (prepared / "audio").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(prepared)).read_bytes()


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_the_figure_is_the_share_of_pairs_in_the_right_order(strange: list[int], usual: list[int]) -> None:
    pairs = [(one > other) + 0.5 * (one == other) for one in strange for other in usual]
    assert area_under_roc(np.array(strange), np.array(usual)) == pytest.approx(np.mean(pairs))


def test_the_recipe_runs_and_scores_what_the_ctm_says(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["anomaly", "--data", str(corpus), "--out", "anomaly", "--seeds", "0", *WHOLE.split()]) == 0
    lines = capsys.readouterr().out.splitlines()[-len(ALTERATIONS) :]
    assert [line.rsplit(" ", 2)[:2] for line in lines] == [[f"test {name}", "AUC"] for name in sorted(ALTERATIONS)]
    shares = {line.split()[1]: float(line.split()[-1]) for line in lines}
    assert shares["gap"] > 0.9, "silence where there was none is unlike anything"
    folder = tmp_path / "anomaly" / "seed0"
    assert "AUC of no change" in (folder / "test_gap.md").read_text()

    # The Python of its README, on a stream.
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    sound = next(corpus.rglob("*.wav"))
    Path("a.wav").write_bytes(sound.read_bytes())
    exec(code, {})
    printed = [tuple(map(float, line.split())) for line in capsys.readouterr().out.splitlines()]
    model = models.load(folder / "model")
    expected = forecast_errors(model, [model.extractor(audio.read(sound)[0])])
    assert len(expected) > 50
    assert [time for time, _ in printed] == pytest.approx(0.03 * np.arange(len(expected)))
    np.testing.assert_allclose([error for _, error in printed], expected, rtol=1e-5)


def test_steps_are_altered_from_the_first_that_overlaps_to_the_last() -> None:
    borders = [of_forecasts.Border(ALTERED, 0.17, 0.24), of_forecasts.Border(USUAL, 0.27, 0.36)]
    found = of_forecasts.altered_steps(14, borders, ahead=2, step_seconds=0.03)
    assert found.tolist() == [-1] * 5 + [1, 1, 1, -1, -1, 0, 0, -1, -1]
    early = of_forecasts.altered_steps(4, [of_forecasts.Border(USUAL, 0.0, 0.1)], ahead=2, step_seconds=0.03)
    assert early.tolist() == [-1, -1, 0, 0]


@pytest.mark.parametrize(
    ("chunks", "heard"), [(False, [0, 1, 2, 3, 4, 5, 6]), (True, [2, 2, 2, 5, 5, 5, 8])], ids=["one way", "both ways"]
)
def test_the_forecast_of_no_change_has_heard_what_the_network_has(chunks: bool, heard: list[int]) -> None:
    assert of_forecasts.last_heard(10, ahead=3, chunks=chunks).tolist() == heard
    latency = Latency(6, 0) if chunks else None
    torch.manual_seed(0)
    config = EncoderConfig(layers=1, hidden_size=3, subsampling=[2], bidirectional=chunks)
    network = Network(4, 8, config, head="forecast").double().eval()
    frames = torch.randn(1, 20, 4, dtype=torch.float64).requires_grad_()
    forecasts_TV = network(frames, torch.tensor([20]), latency)[0][0]
    for step, last in enumerate(heard):
        [error] = torch.autograd.grad(forecasts_TV[step].sum(), frames, retain_graph=True)
        assert error[0].abs().sum(1).nonzero().max() // 2 == last


def test_a_recording_that_is_too_short_is_refused(small_yesno: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"a recording of 0\.30 s is too short"):
        prepare(small_yesno, tmp_path)


def test_stretches_are_drawn_by_one_rule() -> None:
    rng = np.random.default_rng(0)
    samples_S = rng.standard_normal(4 * RATE) * np.linspace(0, 1, 4 * RATE)
    drawn = np.array([stretches(samples_S, rng) for _ in range(400)])
    assert drawn.mean(0)[0] == pytest.approx(drawn.mean(0)[1], rel=0.1)
    assert drawn.mean() > 1.2 * (len(samples_S) - 0.4 * RATE) / 2, "and the louder places are taken"


def test_what_is_not_told_is_refused(prepared: Path, tmp_path: Path) -> None:
    [item, *_] = read(prepared / "manifests" / "test_gap.jsonl.gz")
    Path(item.path).with_suffix(".ctm").unlink()
    with pytest.raises(ManifestError, match="no ctm beside it"):
        of_forecasts._borders(item)

"""Windows with carried state: what is streamed is what is scored offline, bit for bit, however it is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.network import Network
from inference.scorer import Scorer, ScoreStream

F, V = 5, 4
BIDIRECTIONAL = EncoderConfig(layers=2, hidden_size=12, subsampling=[3])
SHAPES = {
    "bidirectional": BIDIRECTIONAL,
    "pyramid": EncoderConfig(layers=3, hidden_size=8, subsampling=[1, 2, 2]),
    "unidirectional": EncoderConfig(layers=2, hidden_size=16, subsampling=[2], bidirectional=False),
    "unidirectional, every frame": EncoderConfig(layers=3, hidden_size=7, subsampling=[], bidirectional=False),
}
NAMES = pytest.mark.parametrize("name", SHAPES)
PIECES = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    torch.manual_seed(0)
    made = {name: Network(F, V, config).eval() for name, config in SHAPES.items()}
    with torch.no_grad():
        for network in made.values():
            for parameter in network.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape))
    return made


@pytest.fixture(scope="module")
def scorers(networks: dict[str, Network], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scorer]:
    opened = {}
    for name, network in networks.items():
        folder = tmp_path_factory.mktemp("graph")
        exported = export(network)
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / WEIGHTS_FILE).write_bytes(exported.weights)
        opened[name] = Scorer(folder / "model.onnx", subsampling=SHAPES[name].total_subsampling)
    return opened


def draw(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, F)).astype(np.float32)


def cut(frames_TF: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """The frames in pieces of the sizes given, over and over."""
    pieces, position, index = [], 0, 0
    while position < len(frames_TF):
        pieces.append(frames_TF[position : position + sizes[index % len(sizes)]])
        position += sizes[index % len(sizes)]
        index += 1
    return pieces


def windows_one_by_one(scorer: Scorer, frames_TF: np.ndarray, chunk: int, lookahead: int) -> np.ndarray:
    """The definition: every window is a call of its own on a slice of the whole."""
    state, scores = scorer.start(), []
    for start in range(0, len(frames_TF), chunk):
        window = frames_TF[start : start + chunk + lookahead]
        scored = scorer(window[None], np.array([len(window)]), chunk=chunk, state=state)
        state = scored.state
        scores.append(scored.scores_BTV[0, : chunk // scorer.subsampling])
    return np.concatenate(scores)


def test_what_the_graph_says_of_itself(scorers: dict[str, Scorer]) -> None:
    for name, scorer in scorers.items():
        assert (scorer.features, scorer.labels) == (F, V)
        h, c = scorer.start(3)
        assert h.shape == c.shape == (SHAPES[name].layers, 3, SHAPES[name].hidden_size)
        assert not h.any()
        assert not c.any()


@NAMES
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 40, 301])
def test_full_context_equals_torch(scorers, networks, name: str, frames: int) -> None:
    x = draw(frames)
    with torch.no_grad():
        expected, _ = networks[name](torch.from_numpy(x[None]), torch.tensor([frames]))
    scores = scorers[name].full(x)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected[0].numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, atol=1e-6)


@NAMES
def test_no_frames_give_no_scores(scorers, name: str) -> None:
    assert scorers[name].full(draw(0)).shape == (0, V)
    assert scorers[name].windowed([], chunk=12, lookahead=0).shape == (0, V)
    assert scorers[name].windowed([draw(0), draw(0)], chunk=12, lookahead=12).shape == (0, V)


@NAMES
@given(frames=st.integers(1, 150), steps=st.integers(1, 8), ahead=st.integers(0, 5), sizes=PIECES)
def test_pushed_in_any_pieces_equals_offline_exactly(
    scorers, name: str, frames: int, steps: int, ahead: int, sizes: list[int]
) -> None:
    scorer, x = scorers[name], draw(frames, seed=frames)
    window = {"chunk": steps * scorer.subsampling, "lookahead": ahead * scorer.subsampling}
    offline = scorer.windowed([x], **window)
    assert len(offline) == -(-frames // scorer.subsampling)
    np.testing.assert_array_equal(offline, windows_one_by_one(scorer, x, **window), strict=True)
    np.testing.assert_array_equal(scorer.windowed(cut(x, sizes), **window), offline, strict=True)


@NAMES
@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 100), steps=st.integers(0, 30), sizes=PIECES)
def test_a_chunk_that_holds_everything_equals_full_exactly(scorers, name, frames, steps, sizes) -> None:
    scorer, x = scorers[name], draw(frames, seed=frames)
    chunk = scorer.round_up(frames) + steps * scorer.subsampling
    scores = scorer.windowed(cut(x, sizes), chunk=chunk, lookahead=0)
    np.testing.assert_array_equal(scores, scorer.full(x), strict=True)


@pytest.mark.parametrize("name", ["unidirectional", "unidirectional, every frame"])
@given(frames=st.integers(1, 150), steps=st.integers(1, 20), sizes=PIECES)
def test_one_direction_needs_no_lookahead_to_equal_full_exactly(scorers, name, frames, steps, sizes) -> None:
    scorer, x = scorers[name], draw(frames, seed=frames)
    scores = scorer.windowed(cut(x, sizes), chunk=steps * scorer.subsampling, lookahead=0)
    np.testing.assert_array_equal(scores, scorer.full(x), strict=True)


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8), steps=st.integers(1, 8), seed=st.integers(0, 99))
def test_many_streams_together_equal_each_alone_exactly(scorers, lengths, steps, seed) -> None:
    """Streams of any lengths advance together, window after window, and the ended ones drop out."""
    scorer = scorers["bidirectional"]
    chunk, lookahead = steps * scorer.subsampling, scorer.subsampling
    streams = [draw(length, seed + k) for k, length in enumerate(lengths)]
    scores: list[list[np.ndarray]] = [[] for _ in streams]
    h, c = scorer.start(len(streams))
    for start in range(0, max(lengths), chunk):
        alive = [k for k, length in enumerate(lengths) if length > start]
        cuts = [streams[k][start : start + chunk + lookahead] for k in alive]
        batch = np.zeros((len(alive), max(map(len, cuts)), F), np.float32)
        for row, piece in zip(batch, cuts, strict=True):
            row[: len(piece)] = piece
        held = np.array([len(piece) for piece in cuts])
        scored = scorer(batch, held, chunk=chunk, state=(h[:, alive], c[:, alive]))
        h[:, alive], c[:, alive] = scored.state
        for k, row, length in zip(alive, scored.scores_BTV, scored.lengths_B, strict=True):
            scores[k].append(row[: min(length, steps)])
    for stream, got in zip(streams, scores, strict=True):
        alone = scorer.windowed([stream], chunk=chunk, lookahead=lookahead)
        np.testing.assert_array_equal(np.concatenate(got), alone, strict=True)


@pytest.mark.parametrize("lengths", [[30], [7, 30, 12, 1], [5, 5]])
def test_a_batch_of_items_equals_each_alone_exactly(scorers, lengths: list[int]) -> None:
    items = [draw(length, seed) for seed, length in enumerate(lengths)]
    for scorer in scorers.values():
        for alone_TF, scores_TV in zip(items, scorer.together(items), strict=True):
            np.testing.assert_array_equal(scores_TV, scorer.full(alone_TF), strict=True)


def test_lookahead_is_used_and_does_not_leak_from_beyond_it(scorers) -> None:
    scorer, x = scorers["bidirectional"], draw(60)
    changed = x.copy()
    changed[36:] += 1.0
    for lookahead, frames_unchanged in ((0, 30), (6, 30), (15, 15)):
        window = {"chunk": 15, "lookahead": lookahead}
        before, after = (scorer.windowed([one], **window) for one in (x, changed))
        steps = frames_unchanged // 3
        np.testing.assert_array_equal(before[:steps], after[:steps])
        assert not np.array_equal(before[steps : steps + 5], after[steps : steps + 5])


def test_scores_come_as_soon_as_their_lookahead_is_there(scorers) -> None:
    stream = ScoreStream(scorers["bidirectional"], chunk=6, lookahead=3)
    x = draw(20)
    came = [sum(map(len, stream.push(x[k : k + 1]))) for k in range(20)]
    assert [k for k, scores in enumerate(came) if scores] == [8, 14]
    assert came[8] == came[14] == 2
    assert [len(scores) for scores in stream.flush()] == [2, 1]


def test_a_stream_is_fresh_after_flush_and_after_reset(scorers) -> None:
    scorer, x = scorers["bidirectional"], draw(50)
    stream = ScoreStream(scorer, chunk=6, lookahead=3)
    expected = scorer.windowed([x], chunk=6, lookahead=3)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([*stream.push(x), *stream.flush()]), expected)
    stream.push(draw(20, seed=9))
    stream.reset()
    np.testing.assert_array_equal(np.concatenate([*stream.push(x), *stream.flush()]), expected)
    assert stream.flush() == []


def test_a_buffer_may_be_filled_again_after_it_was_pushed(scorers) -> None:
    scorer, x = scorers["bidirectional"], draw(50)
    stream, buffer, scores = ScoreStream(scorer, chunk=6, lookahead=3), np.empty((5, F), np.float32), []
    for start in range(0, 50, 5):
        buffer[:] = x[start : start + 5]
        scores += stream.push(buffer)
    buffer[:] = np.nan
    scores += stream.flush()
    np.testing.assert_array_equal(np.concatenate(scores), scorer.windowed([x], chunk=6, lookahead=3))


@pytest.mark.parametrize(
    ("chunk", "lookahead", "named"),
    [
        (4, 0, "chunk is 4.*of 3"),
        (0, 3, "chunk is 0"),
        (3, 2, "lookahead is 2"),
        (3, -3, "lookahead is -3"),
    ],
)
def test_windows_that_cut_through_a_step_are_refused(scorers, chunk: int, lookahead: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ScoreStream(scorers["bidirectional"], chunk=chunk, lookahead=lookahead)


@pytest.mark.parametrize("shape", [(10, F + 1), (10,), (1, 10, F)])
def test_frames_of_another_width_are_refused_at_once(scorers, shape: tuple[int, ...]) -> None:
    stream = ScoreStream(scorers["bidirectional"], chunk=3, lookahead=0)
    with pytest.raises(ValueError, match=f"trained on frames of {F} features.*{shape[-1]}"):
        stream.push(np.zeros(shape, np.float32))


def test_threads_change_nothing(scorers, networks, tmp_path: Path) -> None:
    exported = export(networks["bidirectional"])
    (tmp_path / "model.onnx").write_bytes(exported.graph)
    (tmp_path / WEIGHTS_FILE).write_bytes(exported.weights)
    x = draw(200)
    for threads in (0, 2):
        scores = Scorer(tmp_path / "model.onnx", subsampling=3, threads=threads).full(x)
        np.testing.assert_array_equal(scores, scorers["bidirectional"].full(x))

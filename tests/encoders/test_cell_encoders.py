"""Encoders of every cell: padded and alone, chunked and windowed and the graph, stored and loaded, refused by name."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from encoders.blstm import Blstm, EncoderConfig
from encoders.cells import CELLS
from encoders.export import WEIGHTS_FILE, export
from encoders.frames import NotFiniteError, check_finite
from encoders.network import Network
from encoders.windows import Latency
from inference.scorer import Scorer

NumpyCell = runpy.run_path(str(Path(__file__).with_name("numpy_cells.py")))["NumpyCell"]
F, V = 4, 5
DRAWN = runpy.run_path(str(Path(__file__).with_name("drawn.py")))
randomised, batch = DRAWN["randomised"], partial(DRAWN["batch"], features=F)
MEMBERS = {name: EncoderConfig(cell=name, layers=2, hidden_size=6, subsampling=[2]) for name in CELLS}
MEMBERS |= {
    f"{name}, normalised": EncoderConfig(cell=name, layers=2, hidden_size=6, subsampling=[2], layer_norm=True)
    for name in CELLS
    if CELLS[name].normalises
}
MEMBERS["lstmp, of a size, one way"] = EncoderConfig(
    cell="lstmp", layers=2, hidden_size=6, projection_size=5, bidirectional=False, subsampling=[1, 2]
)
EACH = pytest.mark.parametrize("member", MEMBERS)


# Each member in single and in double precision, and whole and chunked; neighbours the other way round.
PADDED = [
    pytest.param(member, dtype, latency, id=f"{member}, {dtype}, {'chunked' if latency else 'whole'}")
    for k, member in enumerate(MEMBERS)
    for dtype, latency in zip(
        (torch.float32, torch.float64), (None, Latency(4, 2)) if k % 2 else (Latency(4, 2), None), strict=True
    )
]


@pytest.mark.parametrize(("member", "dtype", "latency"), PADDED)
def test_padded_equals_alone(member: str, dtype: torch.dtype, latency: Latency | None) -> None:
    network = randomised(Blstm(F, MEMBERS[member]).to(dtype))
    frames, lengths = batch([13, 1, 9, 6], dtype, fill=float("nan"))
    encoded, encoded_lengths = network(frames, lengths, latency)
    for item, length, together, steps in zip(frames, lengths, encoded, encoded_lengths, strict=True):
        alone, _ = network(item[None, :length], length[None], latency)
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(together[:steps], alone[0], rtol=0, atol=tolerance)


@EACH
def test_gradients_of_a_padded_batch_are_the_sum_of_those_alone(member: str) -> None:
    network = randomised(Blstm(F, MEMBERS[member]).double())
    frames, lengths = batch([9, 3, 7], fill=float("nan"))

    def gradients(x: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        network.zero_grad()
        encoded, steps = network(x, lengths)
        sum(item[:length].square().sum() for item, length in zip(encoded, steps, strict=True)).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    alone = [gradients(item[None, :length], length[None]) for item, length in zip(frames, lengths, strict=True)]
    for together, *apart in zip(gradients(frames, lengths), *alone, strict=True):
        assert together.abs().max() > 0
        torch.testing.assert_close(together, sum(apart), rtol=1e-10, atol=1e-12)


def by_definition(network: Blstm, frames_TF: np.ndarray, latency: Latency) -> np.ndarray:
    """Latency control of one item, a loop over windows, in each a loop over layers, cells in NumPy."""
    config = network.config
    ahead = [NumpyCell(config.cell, layer.to_onnx()) for layer in network.forwards]
    back = [NumpyCell(config.cell, layer.to_onnx()) for layer in network.backwards]
    states, pieces = [cell.start() for cell in ahead], []
    for start in range(0, len(frames_TF), latency.chunk):
        x, chunk = frames_TF[start : start + latency.chunk + latency.lookahead], latency.chunk
        for index, factor in enumerate(config.stacking):
            x = np.concatenate([x, np.zeros((-len(x) % factor, x.shape[1]))]).reshape(-1, factor * x.shape[1])
            chunk //= factor
            y, states[index] = ahead[index].run(x[:chunk], states[index])
            y = np.concatenate([y, ahead[index].run(x[chunk:], states[index])[0]])
            if back:
                y = np.concatenate([y, back[index].run(x[::-1])[0][::-1]], axis=1)
            x = y
        pieces.append(x[:chunk])
    return np.concatenate(pieces)


@EACH
def test_both_torch_forms_equal_the_definition(member: str) -> None:
    network = randomised(Blstm(F, MEMBERS[member]).double())
    frames, lengths = batch([11, 5])
    for latency in (Latency(4, 2), Latency(2, 6), Latency(6, 0), Latency(40, 4)):
        with torch.no_grad():
            fast, steps = network(frames, lengths, latency)
            plain, _ = network.window_by_window(frames, lengths, latency)
        for item, length, step_count, *got in zip(frames, lengths, steps, fast, plain, strict=True):
            wanted = by_definition(network, item[:length].numpy(), latency)
            for encoded in got:
                np.testing.assert_allclose(encoded[:step_count], wanted, rtol=0, atol=1e-12)


@EACH
def test_gradients_of_the_chunked_form_are_those_of_the_plain_one(member: str) -> None:
    network = randomised(Blstm(F, MEMBERS[member]).double())
    frames, lengths = batch([11, 6])
    grads = []
    for run in (network, network.window_by_window):
        network.zero_grad()
        run(frames, lengths, Latency(4, 2))[0][:, :3].square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in network.parameters()])
    for got, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@EACH
def test_the_graph_equals_torch_whole_and_in_windows(member: str, tmp_path: Path) -> None:
    config = MEMBERS[member]
    network = randomised(Network(F, V, config))
    exported = export(network)
    (tmp_path / "model.onnx").write_bytes(exported.graph)
    (tmp_path / WEIGHTS_FILE).write_bytes(exported.weights)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    scorer = Scorer(tmp_path / "model.onnx", subsampling=2)
    layer = network.encoder.forwards[0]
    assert [part.shape for part in scorer.start(3)] == [(2, 3, size) for size in (*layer.state_sizes, 0)[:2]]
    frames, lengths = batch([31, 12], torch.float32, fill=float("nan"))
    with torch.no_grad():
        whole, steps = network(frames, lengths)
        chunked, _ = network(frames, lengths, Latency(6, 4))
    scored = scorer(frames.numpy(), lengths.numpy(), chunk=32, state=scorer.start(2))
    assert scored.lengths_B.tolist() == steps.tolist()
    for item, length, in_chunks, wanted, got in zip(frames, lengths, chunked, whole, scored.scores_BTV, strict=True):
        x, steps_out = item[:length].numpy(), -(-int(length) // 2)
        np.testing.assert_allclose(got[:steps_out], wanted[:steps_out], rtol=0, atol=1e-5)
        np.testing.assert_allclose(scorer.full(x), wanted[:steps_out], rtol=0, atol=1e-5)
        windowed = scorer.windowed([x[:5], x[5:]], chunk=6, lookahead=4)
        np.testing.assert_allclose(windowed, in_chunks[:steps_out], rtol=0, atol=1e-5)


@pytest.mark.parametrize("member", ["gru", "lstm_1997", "lstmp", "peephole, normalised"])
def test_padded_equals_alone_in_the_graph(member: str, tmp_path: Path) -> None:
    exported = export(randomised(Network(F, V, MEMBERS[member])))
    (tmp_path / "model.onnx").write_bytes(exported.graph)
    (tmp_path / WEIGHTS_FILE).write_bytes(exported.weights)
    scorer = Scorer(tmp_path / "model.onnx", subsampling=2)
    frames, lengths = batch([20, 7, 1], torch.float32, fill=float("nan"))
    state = tuple(np.random.default_rng(0).uniform(-1, 1, part.shape).astype(np.float32) for part in scorer.start(3))
    together = scorer(frames.numpy(), lengths.numpy(), chunk=8, state=state)
    for k, length in enumerate(lengths.tolist()):
        alone = scorer(
            frames[k : k + 1, :length].numpy(), np.array([length]), chunk=8, state=tuple(s[:, k : k + 1] for s in state)
        )
        np.testing.assert_allclose(together.scores_BTV[k, : -(-length // 2)], alone.scores_BTV[0], rtol=0, atol=2e-6)
        for got, wanted in zip(together.state, alone.state, strict=True):
            np.testing.assert_allclose(got[:, k : k + 1], wanted, rtol=0, atol=2e-6)


def test_the_carousel_of_1997_keeps_its_cell_for_ten_thousand_steps_in_the_graph(tmp_path: Path) -> None:
    """Its forget gate in ONNX is 1 exactly: what is in the cell stays, to the last bit, while nothing comes in."""
    config = EncoderConfig(cell="lstm_1997", layers=1, hidden_size=6, subsampling=[1], bidirectional=False)
    network = randomised(Network(F, V, config))
    layer = network.encoder.forwards[0]
    with torch.no_grad():
        layer.b[6:12] = -1e4  # the input gate is shut
    exported = export(network)
    (tmp_path / "model.onnx").write_bytes(exported.graph)
    (tmp_path / WEIGHTS_FILE).write_bytes(exported.weights)
    scorer = Scorer(tmp_path / "model.onnx", subsampling=1)
    h, c = scorer.start()
    c = np.random.default_rng(0).uniform(-3, 3, c.shape).astype(np.float32)
    frames = np.random.default_rng(1).standard_normal((1, 10_000, F)).astype(np.float32)
    scored = scorer(frames, np.array([10_000]), chunk=10_000, state=(h, c))
    np.testing.assert_array_equal(scored.state[1], c)


@EACH
@pytest.mark.parametrize("head", ["ctc", "class"])
def test_all_weights_come_back(member: str, head: str) -> None:
    trained, fresh = (randomised(Network(F, V, MEMBERS[member], head=head), seed) for seed in (1, 2))
    fresh.load_encoder(trained.arrays())
    fresh.load_head(trained.arrays(), rows={row: row for row in range(V + (head == "class"))})
    frames, lengths = batch([9, 4], torch.float32)
    torch.testing.assert_close(fresh(frames, lengths), trained(frames, lengths), rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [[5, 0], [0], [6, 5], [5, -1]])
def test_items_without_frames_are_refused(lengths: list[int]) -> None:
    network = Blstm(F, MEMBERS["peephole"])
    with pytest.raises(ValueError, match=r"item \d of the batch has length (0|6|-1); lengths are from 1 to 5"):
        network(torch.zeros(len(lengths), 5, F), torch.tensor(lengths))


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("member", ["lstm", "peephole", "gru"])
def test_anomaly_checks_name_the_frames_or_the_first_bad_layer(member: str) -> None:
    network = randomised(Blstm(F, MEMBERS[member]))
    frames, lengths = batch([9, 6], torch.float32, fill=float("nan"))
    with torch.autograd.detect_anomaly(check_nan=False):
        network(frames, lengths)  # what padding holds is nobody's business
        broken = frames.clone()
        broken[1, 4, 0] = float("inf")
        with pytest.raises(ValueError, match="in the frames: first in item 1 of the batch, frame 4"):
            network(broken, lengths)
        with torch.no_grad():
            next(network.backwards[1].parameters())[0, 0] = float("nan")
        with pytest.raises(ValueError, match=r"NaN or infinity in the output of layer1\.backward"):
            network(frames, lengths)
    assert network(broken, lengths)[0].isnan().any(), "without the checks nothing is said"


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_of_windows_the_item_is_named() -> None:
    """What the loop looks up the utterance by."""
    values = torch.zeros(6, 4, 2)  # three windows of two items
    values[4, 3, 1] = float("nan")
    with torch.autograd.detect_anomaly(check_nan=False), pytest.raises(NotFiniteError) as caught:
        check_finite(values, torch.tensor([4, 4, 4, 4, 4, 0]), "it", 3)
    assert str(caught.value) == "NaN or infinity in it: first in item 1 of the batch, frame 3 of window 1"
    assert caught.value.item == 1


@pytest.mark.parametrize(("here", "there"), [("lstm", "peephole"), ("peephole", "lstm"), ("cifg", "lstm"),
                                             ("lstm", "gru"), ("rnn", "gru"), ("lstmp", "lstm")])  # fmt: skip
def test_weights_of_another_cell_are_refused(here: str, there: str) -> None:
    fresh, other = (Network(F, V, MEMBERS[name]) for name in (here, there))
    with pytest.raises(ValueError, match=r"cannot train on from these weights: layer0\.forward\.\w+ "):
        fresh.load_encoder(other.arrays())


@EACH
def test_mixed_precision_trains(member: str) -> None:
    network = randomised(Network(F, V, MEMBERS[member]))
    frames, lengths = batch([9, 6], torch.float32)
    with torch.no_grad():
        exact, _ = network(frames, lengths)
    for latency in (None, Latency(4, 2)):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores, _ = network(frames, lengths, latency)
        scores[:, 0].square().sum().backward()
        assert scores.dtype == torch.float32
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
        if latency is None:
            assert (scores - exact).abs().max() < 0.5

"""Truncated backpropagation through time against a plain loop that detaches its state, for every cell."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from encoders.blstm import EncoderConfig
from encoders.cells import CELLS
from encoders.frames import NotFiniteError
from encoders.heads import class_loss, ctc_loss, pool
from encoders.network import Network
from encoders.windows import Latency

F, V = 4, 5
ONE_WAY = {"bidirectional": False, "layers": 2, "hidden_size": 5, "dropout": 0.0}
LENGTHS = (23, 3, 14)


def made(head: str = "ctc", **shape: object) -> Network:
    """A network in float64 with all its weights drawn."""
    network = Network(F, V, EncoderConfig(**({"subsampling": [2]} | ONE_WAY | shape)), head=head).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def batch(lengths: tuple[int, ...] = LENGTHS, *, fill: float = float("nan")) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    items = [torch.randn(length, F, generator=generator, dtype=torch.float64) for length in lengths]
    return torch.nn.utils.rnn.pad_sequence(items, batch_first=True, padding_value=fill), torch.tensor(lengths)


def plain_loop(network: Network, frames: Tensor, lengths: Tensor, latency: Latency, windows: int) -> Tensor:
    """One window after the other with its tape; the state is cut off it after each `windows`."""
    states, scores = None, []
    for number, start in enumerate(range(0, frames.shape[1], latency.chunk)):
        if states is not None and number % windows == 0:
            states = [tuple(part.detach() for part in state) for state in states]
        x = frames[:, start : start + latency.chunk + latency.lookahead]
        left = (lengths - start).clamp(0, x.shape[1])
        encoded, _, states = network.encoder.window(x, left, latency.chunk, states)
        scores.append(network.head(encoded[:, : latency.chunk // network.subsampling]))
    return torch.cat(scores, dim=1)


def loss_of(scores: Tensor, lengths: Tensor, head: str) -> Tensor:
    if head == "class":
        spans = torch.stack([torch.zeros_like(lengths), lengths], dim=-1)[:, None]
        targets = torch.arange(len(lengths))[:, None]
        return class_loss(pool(scores, spans), targets, torch.ones_like(lengths), smoothing=0.1)
    targets = torch.tensor([[1, 2, 2], [3, 0, 0], [4, 1, 0]])[: len(lengths)]
    return ctc_loss(scores.double(), lengths, targets, torch.tensor([3, 1, 2])[: len(lengths)]).loss


def gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], *, tolerance: float = 1e-12) -> None:
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=tolerance, atol=tolerance, msg=name)


# A head's scores are single precision, whatever the encoder computes in: what enters the encoder is held to double by
# a loss on encodings (`Identity`), and heads with their losses to what single precision leaves.
class Identity(torch.nn.Module):
    def forward(self, encoded: Tensor) -> Tensor:
        return encoded


def draws(scores: Tensor, lengths: Tensor) -> Tensor:
    """A loss that weighs every number of every valid step differently."""
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(3), dtype=scores.dtype)
    valid = torch.arange(scores.shape[1]) < lengths[:, None]
    return (weights * scores.sin())[valid].sum()


CASES = {
    "one way": (ONE_WAY, None, 6),
    "one way, pyramid": (ONE_WAY | {"subsampling": [1, 2], "layers": 3}, None, 8),
    "both ways, a chunk a piece": ({"bidirectional": True}, Latency(4, 2), 4),
    "both ways, chunks a piece, longer look-ahead": ({"bidirectional": True}, Latency(2, 6), 6),
    "both ways, no look-ahead": ({"bidirectional": True}, Latency(4, 0), 4),
    "both ways, up to whole chunks": ({"bidirectional": True}, Latency(4, 2), 6),
    "peepholes both ways": ({"bidirectional": True, "cell": "peephole"}, Latency(4, 0), 8),
}


@pytest.mark.parametrize("name", CASES)
def test_it_equals_a_loop_that_detaches_the_state(name: str) -> None:
    shape, latency, truncate = CASES[name]
    network = made(**shape)
    network.head = Identity()
    frames, lengths = batch()
    scores, steps = network(frames, lengths, latency, truncate=truncate)
    got = gradients(network, draws(scores, steps))
    by_window = latency or Latency(truncate, 0)
    plain = plain_loop(network, frames, lengths, by_window, -(-truncate // by_window.chunk))[:, : scores.shape[1]]
    torch.testing.assert_close(scores, plain, rtol=0, atol=1e-12)
    assert_same(got, gradients(network, draws(plain, steps)))
    # It is another gradient than the true one, of the same scores.
    whole, _ = network(frames, lengths, latency)
    torch.testing.assert_close(scores, whole, rtol=0, atol=1e-12)
    true = gradients(network, draws(whole, steps))
    assert max((got[key] - true[key]).abs().max() for key in got) > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_cut_alike(cell: str) -> None:
    network = made(cell=cell)
    network.head = Identity()
    frames, lengths = batch()
    scores, steps = network(frames, lengths, truncate=6)
    got = gradients(network, draws(scores, steps))
    assert_same(got, gradients(network, draws(plain_loop(network, frames, lengths, Latency(6, 0), 1)[:, :12], steps)))


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.integers(1, 19), min_size=1, max_size=3),
    st.integers(1, 5),
    st.none() | st.tuples(st.integers(1, 4), st.integers(0, 4)),
)
def test_any_lengths_pieces_and_latencies(lengths: list[int], pieces: int, latency: tuple[int, int] | None) -> None:
    network = made(bidirectional=latency is not None)
    network.head = Identity()
    frames, lengths_B = batch(tuple(lengths))
    window = Latency(2 * pieces, 0) if latency is None else Latency(*(2 * size for size in latency))
    scores, steps = network(frames, lengths_B, latency and window, truncate=2 * pieces)
    got = gradients(network, draws(scores, steps))
    plain = plain_loop(network, frames, lengths_B, window, -(-2 * pieces // window.chunk))[:, : scores.shape[1]]
    assert_same(got, gradients(network, draws(plain, steps)))


@pytest.mark.parametrize("head", ["ctc", "class"])
def test_in_pieces_as_long_as_the_item_nothing_is_cut(head: str) -> None:
    frames, lengths = batch()
    for shape, latency, truncate in ((ONE_WAY, None, 24), (ONE_WAY, None, 200), ({"bidirectional": True}, None, 24)):
        network = made(head, **shape)
        whole, steps = network(frames, lengths, latency)
        cut, _ = network(frames, lengths, latency, truncate=truncate)
        assert_same(gradients(network, loss_of(cut, steps, head)), gradients(network, loss_of(whole, steps, head)))


@pytest.mark.parametrize("head", ["ctc", "class"])
@pytest.mark.parametrize("latency", [None, Latency(4, 2)])
def test_the_losses_of_both_heads_are_cut_by_it(head: str, latency: Latency | None) -> None:
    network = made(head, bidirectional=latency is not None)
    frames, lengths = batch()
    scores, steps = network(frames, lengths, latency, truncate=8)
    got = gradients(network, loss_of(scores, steps, head))
    window = latency or Latency(8, 0)
    plain = plain_loop(network, frames, lengths, window, 8 // window.chunk)[:, : scores.shape[1]]
    assert_same(got, gradients(network, loss_of(plain, steps, head)), tolerance=1e-6)


def test_padded_equals_alone() -> None:
    network = made()
    network.head = Identity()
    frames, lengths = batch()
    scores, steps = network(frames, lengths, truncate=6)
    together = gradients(network, sum(item[:n].square().sum() for item, n in zip(scores, steps, strict=True)))
    apart: dict[str, Tensor] = {}
    for item, length, padded in zip(frames, lengths, scores, strict=True):
        alone, n = network(item[None, :length], length[None], truncate=6)
        torch.testing.assert_close(padded[: n[0]], alone[0], rtol=0, atol=1e-12)
        for name, gradient in gradients(network, alone.square().sum()).items():
            apart[name] = apart.get(name, 0) + gradient
    assert_same(together, apart)


def test_dropout_is_the_same_in_both_passes() -> None:
    """Of another draw on the way back, the gradient would be that of no loss."""
    network = made(dropout=0.5).train()
    network.head = Identity()
    frames, lengths = batch()
    torch.manual_seed(5)
    scores, steps = network(frames, lengths, truncate=6)
    after = torch.rand(3)
    got = gradients(network, draws(scores, steps))
    torch.manual_seed(5)
    states, pieces = None, []
    for start in range(0, frames.shape[1], 6):
        left = (lengths - start).clamp(0, min(6, frames.shape[1] - start))
        [encoded], states = network.encoder.piece(frames[:, start : start + 6], left, states=states)
        states = [tuple(part.detach() for part in state) for state in states]
        pieces.append(encoded)
    plain = torch.cat(pieces, dim=1)
    assert (plain == 0).double().mean() > 0.3
    torch.testing.assert_close(scores, plain, rtol=0, atol=0)
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)
    assert_same(got, gradients(network, draws(plain, steps)))


@pytest.mark.parametrize("cell", ["lstm", "cifg", "gru"])
def test_mixed_precision_is_the_same_in_both_passes(cell: str) -> None:
    network = made(cell=cell).float()
    frames, lengths = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, steps = network(frames.float(), lengths, truncate=6)
        plain = plain_loop(network, frames.float(), lengths, Latency(6, 0), 1)[:, : scores.shape[1]]
    got = gradients(network, loss_of(scores, steps, "ctc"))
    wanted = gradients(network, loss_of(plain, steps, "ctc"))
    assert_same(got, wanted, tolerance=0.02)


def test_without_a_tape_there_are_only_scores() -> None:
    network = made()
    frames, lengths = batch()
    with torch.no_grad():
        cut, _ = network(frames, lengths, truncate=6)
        whole, _ = network(frames, lengths)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-6)
    assert not cut.requires_grad


def kept_for_the_way_back(network: Network, frames: Tensor, lengths: Tensor, truncate: int | None) -> int:
    """Bytes of different storage that the tape holds when the scores are there, frames and weights left out."""
    known = {part.untyped_storage().data_ptr() for part in (frames, *network.parameters())}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(frames, lengths, truncate=truncate)
    return sum(held.values())


def test_no_tape_is_kept_until_the_scores_are_there() -> None:
    """What must not be is a tape that grows with the recording; `benchmarks.truncation` measures all of a step."""
    network = made(hidden_size=16)
    held = {}
    for frames in (48, 192):
        x, lengths = batch((frames,))
        held[frames] = [kept_for_the_way_back(network, x, lengths, truncate) for truncate in (None, 12)]
    assert held[192][0] > 3.5 * held[48][0], "without truncation it grows as the recording does"
    assert held[192][1] < held[48][0] / 8


@pytest.fixture
def fresh_objects() -> Iterator[None]:
    """What is there already, of every module that was imported, is set aside: going through all of it takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


def held_by_tensors() -> int:
    """Bytes of different storage of all numbers in objects that are not set aside; generators' states are none."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if type(one) in (Tensor, torch.nn.Parameter) and one.is_floating_point()]
    storages = [one.untyped_storage() for one in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.usefixtures("fresh_objects")
@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru"])
def test_of_a_piece_its_scores_and_last_states_are_kept_and_nothing_else(cell: str) -> None:
    """A state that were a view would keep all outputs of its layer."""
    network = made(cell=cell, hidden_size=16, subsampling=[1]).float()
    frames, lengths = batch((200,))
    frames = frames.float()
    before = held_by_tensors()
    scores, _ = network(frames, lengths, truncate=20)
    states = 1 if cell == "gru" else 2
    numbers = 200 * V + (200 // 20 - 1) * network.encoder.config.layers * states * 16
    assert held_by_tensors() - before == 4 * numbers
    assert scores.requires_grad


def test_what_cannot_be_cut_is_refused() -> None:
    frames, lengths = batch()
    with pytest.raises(ValueError, match="bidirectional encoder at full context: give it chunks, or one direction"):
        made(bidirectional=True)(frames, lengths, truncate=6)
    for truncate in (0, 3, -2):
        with pytest.raises(ValueError, match=f"the piece is {truncate} frames; it must be a multiple of 2 and >= 2"):
            made()(frames, lengths, truncate=truncate)
    with pytest.raises(ValueError, match="the chunk is 0 frames"):
        made(bidirectional=True)(frames, lengths, Latency(0, 2), truncate=6)
    with pytest.raises(ValueError, match="item 1 of the batch has length 0"):
        made()(frames, torch.tensor([23, 0, 14]), truncate=6)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_anomaly_checks_name_layer_and_piece() -> None:
    network = made()
    frames, lengths = batch()
    with torch.no_grad():
        network.encoder.forwards[1].native.weight_ih_l0[0, 0] = float("nan")
    with torch.autograd.detect_anomaly(), pytest.raises(NotFiniteError, match=r"item 0 .* that begins with frame 0"):
        network(frames, lengths, truncate=6)
    frames[2, 9] = float("nan")
    with torch.autograd.detect_anomaly(), pytest.raises(NotFiniteError, match="in the frames: first in item 2"):
        network(frames, lengths, truncate=6)

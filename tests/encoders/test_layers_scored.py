"""What the head says of lower layers is what a network says that ends there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.network import Network
from encoders.windows import Latency

F, V = 4, 5
SHAPES = {
    "plain": EncoderConfig(layers=3, hidden_size=4, subsampling=[2]),
    "pyramid": EncoderConfig(layers=3, hidden_size=4, subsampling=[1, 2, 2], output_norm=True),
    "convolution": EncoderConfig(layers=3, hidden_size=4, convolution=2, subsampling=[1, 2]),
    "projected": EncoderConfig(cell="lstmp", layers=3, hidden_size=6, subsampling=[2]),
}


def made(config: EncoderConfig) -> Network:
    network = Network(F, V, config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def lower(network: Network, layers: int) -> Network:
    """The first layers and the head, as a network of their own."""
    config = network.encoder.config
    below = Network(F, V, replace(config, layers=layers, subsampling=config.stacking[:layers])).double().eval()
    weights = network.state_dict()
    below.load_state_dict({name: weights[name] for name in below.state_dict()})
    return below


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("chunks", [None, (2, 1), (1, 3), (3, 0)])
def test_lower_layers_say_what_they_would_say_at_the_end(name: str, chunks: tuple[int, int] | None) -> None:
    network = made(SHAPES[name])
    frames, lengths = torch.randn(3, 37, F, dtype=torch.float64), torch.tensor([37, 20, 3])
    latency = None if chunks is None else Latency(*(network.subsampling * steps for steps in chunks))
    scored = network.at_layers(frames, lengths, latency, layers=[0, 1, -1])
    assert len(scored) == 3
    for layers, (scores, score_lengths) in enumerate(scored, start=1):
        wanted, wanted_lengths = lower(network, layers)(frames, lengths, latency)
        assert score_lengths.equal(wanted_lengths)
        for got, one, length in zip(scores, wanted, score_lengths, strict=True):
            torch.testing.assert_close(got[:length], one[:length], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_in_pieces_they_say_the_same(name: str) -> None:
    network = made(SHAPES[name])
    frames, lengths = torch.randn(2, 37, F, dtype=torch.float64), torch.tensor([37, 20])
    latency = Latency(network.subsampling, network.subsampling)
    whole = network.at_layers(frames, lengths, latency, layers=[1, -1])
    pieces = network.at_layers(frames, lengths, latency, layers=[1, -1], truncate=2 * network.subsampling)
    for (got, got_lengths), (wanted, wanted_lengths) in zip(pieces, whole, strict=True):
        assert got_lengths.equal(wanted_lengths)
        for one, other, length in zip(got, wanted, got_lengths, strict=True):
            torch.testing.assert_close(one[:length], other[:length], rtol=0, atol=1e-12)

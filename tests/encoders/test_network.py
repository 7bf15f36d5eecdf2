"""Weights that go out in the stored layout and come back, whole or as far as the alphabets agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.network import Network

CONFIG = EncoderConfig(layers=3, hidden_size=5, subsampling=[2, 1, 2], dropout=0.0)


def network(labels: int, seed: int, config: EncoderConfig = CONFIG) -> Network:
    torch.manual_seed(seed)
    return Network(4, labels, config).eval()


def frames() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, 19, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([19, 4, 11])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_all_weights_come_back(bidirectional: bool) -> None:
    config = EncoderConfig(layers=2, hidden_size=5, bidirectional=bidirectional)
    trained, fresh = network(7, 1, config), network(7, 2, config)
    fresh.load_encoder(trained.arrays())
    fresh.load_head(trained.arrays(), rows={label: label for label in range(7)})
    for got, wanted in zip(fresh.parameters(), trained.parameters(), strict=True):
        assert got.equal(wanted)
    assert fresh(*frames())[0].equal(trained(*frames())[0])


def test_labels_that_both_alphabets_have_keep_their_scores() -> None:
    trained, fresh = network(4, 1), network(6, 2)
    before = {name: array.copy() for name, array in fresh.arrays().items()}
    rows = {0: 0, 2: 1, 5: 3}  # 1, 3 and 4 are new, and label 2 of the trained model is gone
    fresh.load_encoder(trained.arrays())
    fresh.load_head(trained.arrays(), rows=rows)
    old, new = (model.head.linear(model.encoder(*frames())[0]) for model in (trained, fresh))
    for here, there in rows.items():
        torch.testing.assert_close(new[..., here], old[..., there], rtol=0, atol=1e-6)
    for label in (1, 3, 4):
        np.testing.assert_array_equal(fresh.arrays()["head.weight"][:, label], before["head.weight"][:, label])
        assert fresh.arrays()["head.bias"][label] == before["head.bias"][label]


def test_weights_that_were_loaded_are_copies() -> None:
    trained, fresh = network(4, 1), network(4, 2)
    arrays = trained.arrays()
    fresh.load_encoder(arrays)
    fresh.load_head(arrays, rows={0: 0})
    wanted = [parameter.detach().clone() for parameter in fresh.parameters()]
    for array in arrays.values():
        array[...] = 9.0
    assert all(got.equal(one) for got, one in zip(fresh.parameters(), wanted, strict=True))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (EncoderConfig(layers=3, hidden_size=6, subsampling=[2, 1, 2]), "layer0.forward.W"),
        (EncoderConfig(layers=3, hidden_size=5, subsampling=[3, 1, 2]), "layer0.forward.W"),
        (EncoderConfig(layers=3, hidden_size=5, subsampling=[2, 1, 2], bidirectional=False), "layer1.forward.W"),
        (EncoderConfig(layers=2, hidden_size=5, subsampling=[2, 1]), "layer2.forward.W"),
    ],
)
def test_another_shape_is_refused_before_anything_is_changed(other: EncoderConfig, named: str) -> None:
    fresh = network(4, 2)
    before = [parameter.detach().clone() for parameter in fresh.parameters()]
    with pytest.raises(ValueError, match=named):
        fresh.load_encoder(network(4, 1, other).arrays())
    assert all(got.equal(one) for got, one in zip(fresh.parameters(), before, strict=True))

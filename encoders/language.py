"""The LSTM language model: what comes next in a text, token by token (Mikolov et al. 2010; Sundermeyer et al. 2012).

The layers are those of the encoders, in one direction. A token is a word or a letter; which one, nobody here knows.

Shapes: B batch, T tokens, E size of an embedding, H hidden units, V tokens of the vocabulary, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encoders.cells import State
from encoders.layers import make_layer
from encoders.windows import Latency


@dataclass
class LanguageConfig:
    """The shape of the language model.

    Args:
        layers: LSTM layers.
        hidden_size: Units of each layer.
        embedding_size: Numbers that stand for a token.
        dropout: Share of the embeddings, and of each layer's outputs, dropped in training.
        tied: Whether what comes in and what goes out has the same embeddings (Press and Wolf 2017): fewer weights, and
            better where there is little text.
    """

    layers: int = 1
    hidden_size: int = 256
    embedding_size: int = 128
    dropout: float = 0.4
    tied: bool = True

    def __post_init__(self) -> None:
        for name in ("layers", "hidden_size", "embedding_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"network.{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"network.dropout is {self.dropout}; it must be at least 0 and less than 1")


class LanguageNetwork(nn.Module):
    """Tokens to log probabilities of the tokens that follow them.

    Dropout is on the way into and out of each layer, never from one step to the next (Zaremba et al. 2014), and the
    same at each step of an item (Gal and Ghahramani 2016).

    Args:
        unigram_V: Log probability of each token without context: where the output's bias starts from, and what a search
            goes by before it knows the context.
        config: The shape.
    """

    subsampling = 1

    def __init__(self, unigram_V: np.ndarray, config: LanguageConfig):
        super().__init__()
        self.config = config
        self.register_buffer("unigram", torch.tensor(unigram_V, dtype=torch.float32))
        self.embedding = nn.Embedding(len(unigram_V), config.embedding_size)
        self.layers = nn.ModuleList()
        size = config.embedding_size
        for _ in range(config.layers):
            self.layers.append(make_layer("lstm", size, config.hidden_size))
            size = config.hidden_size
        # From the last layer to the size of an embedding, where that is another.
        self.bridge = nn.Linear(size, config.embedding_size, bias=False) if config.tied else None
        self.head = nn.Linear(config.embedding_size if config.tied else size, len(unigram_V))
        if config.tied:
            self.head.weight = self.embedding.weight
        with torch.no_grad():
            nn.init.normal_(self.embedding.weight, std=config.embedding_size**-0.5)
            self.head.bias.copy_(self.unigram)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, latency: Latency | None = None) -> tuple[Tensor, Tensor]:
        """Log probabilities (B,T,V), in float32 also under mixed precision, of what follows each token; and lengths.

        No step sees what lies behind it, so that what an item is padded with does not matter. The latency is for other
        networks.
        """
        return self.steps(tokens_BT)[0], lengths_B

    def steps(self, tokens_BT: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Log probabilities (B,T,V) of what follows each token, and each layer's state (h, c) after the last one."""
        x_BTE, after = self._dropped(self.embedding(tokens_BT)), []
        for index, layer in enumerate(self.layers):
            x_BTE, state = layer(x_BTE, None if states is None else states[index])
            x_BTE = self._dropped(x_BTE)
            after.append(state)
        if self.bridge is not None:
            x_BTE = self.bridge(x_BTE)
        return torch.log_softmax(self.head(x_BTE).float(), dim=-1), after

    def parts(self) -> dict[str, nn.Module]:
        """All that has weights, by name; the `head` has the embedding's, too, where they are tied."""
        layers = {f"layer{index}": layer for index, layer in enumerate(self.layers)}
        bridge = {} if self.bridge is None else {"bridge": self.bridge}
        return {"embedding": self.embedding, **layers, **bridge, "head": self.head}

    def _dropped(self, x_BTE: Tensor) -> Tensor:
        """Without some of the units of each item, the same ones at each step."""
        if not self.training or not self.config.dropout:
            return x_BTE
        kept = 1 - self.config.dropout
        return x_BTE * torch.empty_like(x_BTE[:, :1]).bernoulli_(kept) / kept

    def arrays(self) -> dict[str, np.ndarray]:
        """All weights by name, the layers' as ONNX takes them.

        `embedding` (V,E), `layer0.W`, ..., `bridge` (H,E) where embeddings are tied, `head.weight` (V,H) where they are
        not, `head.bias` (V); and `unigram` (V), which the graph does not need.
        """
        named = {"unigram": self.unigram, "embedding": self.embedding.weight, "head.bias": self.head.bias}
        named |= {"head.weight": self.head.weight} if self.bridge is None else {"bridge": self.bridge.weight.T}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in named.items()}
        for index, layer in enumerate(self.layers):
            arrays |= {f"layer{index}.{name}": array for name, array in layer.to_onnx().items()}
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}

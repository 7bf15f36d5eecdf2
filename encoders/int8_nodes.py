"""Layers and heads as ONNX nodes that multiply in 8 bits, each item of a batch as if it were alone.

ONNX Runtime's `DynamicQuantizeLSTM` is the fast one, and it takes the scale of what it quantises from the least and the
largest value of all its inputs, and in each step of all its states: over time and over the items of a batch. One loud
item would make the others coarse, and an item in a batch would differ from itself alone. So the range is pinned: inputs
get columns more, which hold the ends of a fixed range and have weights of zero, and what lies beyond it is cut off.
States, between -1 and 1, get units more that say 1 and -1 at any time: their output gate is open, their cell keeps
20 or -20, and nobody listens to them, but for the layer above: where nothing lies between, the pins of its inputs are
those units. The scales are the same whatever is computed, sums of integers are exact, and each item and each step has
what it has alone.

ONNX Runtime's tanh is rounded such that a unit now and then says as much as 1 + 2^-22, which would move the zero of the
whole range by one. So two more units say just that, by a cell at which its tanh is the largest that there is on
processors with fused products; where it is not, the first two are still there.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from encoders.graph import Graph
from encoders.int8 import SCALE, Range
from encoders.layers import RecurrentLayer
from encoders.network import Network
from encoders.recurrent_nodes import ALWAYS_OPEN, LayerNodes

DOMAIN = "com.microsoft"
PINNED_CELLS = (20.0, 8.475540161132812)  # their tanh is 1, and 1 + 2^-22
# h and c.
PINNED_STATES = [
    np.float32([[[sign * pin for pin in pins for sign in (1, -1)]]]) for pins in ((1.0, 1.0 + 2**-22), PINNED_CELLS)
]
# What pins a range: columns of inputs, units of states.
PINS = PINNED_STATES[0].shape[2]
PINNED_GATES = {"i": -ALWAYS_OPEN, "o": ALWAYS_OPEN, "f": ALWAYS_OPEN, "g": 0.0}


class Int8Error(ValueError):
    """A network that cannot be computed so; the message says what can be done."""


def check_products(network: Network) -> None:
    """Raise Int8Error where there is no operator for a network's layers."""
    layer = network.encoder.forwards[0]
    if layer.cell.operator != "LSTM" or layer.cell.past != "forgotten" or layer.cell.projected:
        raise Int8Error(f"cell {layer.name} has no products in 8 bits; take int8 weights, whose products are float32")
    if layer.options.layer_norm:
        raise Int8Error("layer_norm has no products in 8 bits; take int8 weights, whose products are float32")


def pinned_inputs(graph: Graph, x_TBF: str, range_: Range) -> str:
    """Inputs of an LSTM within a range, and its ends behind them: (T,B,F+PINS)."""
    cut = graph("Clip", x_TBF, graph.number(range_.low), graph.number(range_.high))
    counts = graph("Shape", x_TBF, start=0, end=2)
    pins = graph.array(np.float32([[range_ * (PINS // 2)]]))
    ends = graph("Expand", pins, graph("Concat", counts, graph.integers([PINS]), axis=0))
    return graph("Concat", cut, ends, axis=2)


class Int8Nodes(LayerNodes):
    """One LSTM in a graph, of inputs that are pinned; otherwise as `LayerNodes`.

    Args:
        parts: Parts of equal size that inputs come in, each with its pins behind it.
        keep_pins: Whether outputs have theirs behind them, (T,B,H+PINS), for a layer that reads nothing else.
    """

    def __init__(self, graph: Graph, layer: RecurrentLayer, name: str, *, parts: int, keep_pins: bool):
        self._parts, self._keep_pins = parts, keep_pins
        super().__init__(graph, layer, name)

    def _read(self) -> dict[str, str]:
        graph, name, gates = self.graph, self._name, len(self.layer.cell.gates)
        rows = gates * (self.layer.hidden_size + PINS)
        pins = np.zeros((2 * gates, PINS), np.float32)
        pins[:gates] = [[PINNED_GATES[gate]] * PINS for gate in self.layer.cell.gates]
        bias = graph("Reshape", f"{name}.B", graph.integers([2 * gates, self.layer.hidden_size]))
        weights = {
            "W": self._matrix("W", gates, self.layer.input_size, self._parts),
            "R": self._matrix("R", gates, self.layer.hidden_size, 1),
            "B": graph("Reshape", graph("Concat", bias, graph.array(pins), axis=1), graph.integers([1, 2 * rows])),
            "W scale": self._rows(f"W{SCALE}", gates),
            "R scale": self._rows(f"R{SCALE}", gates),
            "zeros": graph.array(np.zeros((1, rows), np.int8)),
        }
        return weights | ({"P": self._rows("P", gates - 1)} if self.layer.cell.peepholes else {})

    def _matrix(self, key: str, gates: int, inputs: int, parts: int) -> str:
        """Weights (1,G,I) as (1,I',G'), with zeros for the pins of each gate and of each part of the inputs."""
        graph, hidden = self.graph, self.layer.hidden_size
        by_part = graph("Reshape", f"{self._name}.{key}", graph.integers([gates, hidden, parts, inputs // parts]))
        wide = graph("Pad", by_part, graph.integers([0, 0, 0, 0, 0, PINS, 0, PINS]))
        rows = graph("Reshape", wide, graph.integers([1, gates * (hidden + PINS), inputs + parts * PINS]))
        return graph("Transpose", rows, perm=[0, 2, 1])

    def _rows(self, key: str, gates: int) -> str:
        """A number for each row (1,G) as (1,G'), with zeros for the pins."""
        graph, hidden = self.graph, self.layer.hidden_size
        by_gate = graph("Reshape", f"{self._name}.{key}", graph.integers([gates, hidden]))
        wide = graph("Pad", by_gate, graph.integers([0, 0, 0, PINS]))
        return graph("Reshape", wide, graph.integers([1, gates * (hidden + PINS)]))

    def __call__(
        self, x_TBF: str, lengths_B: str, states: list[str] | None = None, *, reverse: bool = False
    ) -> list[str]:
        """As `LayerNodes`, of inputs with their pins."""
        graph, weights, hidden = self.graph, self._weights, self.layer.hidden_size
        if states is None:
            zeros = np.zeros((1, 1, hidden), np.float32)
            count = graph("Shape", lengths_B)
            states = [self._for_each(count, np.concatenate([zeros, pin], axis=2)) for pin in PINNED_STATES]
        name = f"int8lstm_{len(graph.nodes)}"
        outputs = [f"{name}_y", f"{name}_h", f"{name}_c"]
        scales = [weights["W scale"], weights["zeros"], weights["R scale"], weights["zeros"]]
        lengths = graph("Cast", lengths_B, to=TensorProto.INT32)
        operands = [x_TBF, weights["W"], weights["R"], weights["B"], lengths, *states, weights.get("P", ""), *scales]
        graph.nodes.append(
            helper.make_node(
                "DynamicQuantizeLSTM",
                operands,
                outputs,
                domain=DOMAIN,
                hidden_size=hidden + PINS,
                direction="reverse" if reverse else "forward",
            )
        )
        y = graph("Squeeze", outputs[0], graph.integers([1]))
        return [y if self._keep_pins else graph.slice(y, 0, hidden, axis=2), *outputs[1:]]

    def inner(self, states: list[str]) -> list[str]:
        """h and c (1,B,H) with their pins behind them."""
        count = self.graph("Shape", states[0], start=1, end=2)
        pins = [self._for_each(count, pin) for pin in PINNED_STATES]
        return [self.graph("Concat", *pair, axis=2) for pair in zip(states, pins, strict=True)]

    def outer(self, states: list[str]) -> list[str]:
        """h and c (1,B,H) without their pins."""
        return [self.graph.slice(state, 0, self.layer.hidden_size, axis=2) for state in states]

    def _for_each(self, count: str, value_11P: np.ndarray) -> str:
        """The same part of a state for each of so many items, (1,B,P)."""
        graph, size = self.graph, self.graph.integers([value_11P.shape[2]])
        shape = graph("Concat", graph.integers([1]), count, size, axis=0)
        return graph("Expand", graph.array(value_11P), shape)


def int8_product(graph: Graph, x: str, weight: str, range_: Range) -> str:
    """`x` times a stored matrix (I,O): `x` as uint8, cut off at its range; sums of integers; the scales of both."""
    size = (range_.high - range_.low) / 255
    zero, scale = graph.array(np.uint8(np.rint(-range_.low / size))), graph.number(size)
    sums = graph("MatMulInteger", graph("QuantizeLinear", x, scale, zero), weight, zero)
    return graph("Mul", graph("Cast", sums, to=TensorProto.FLOAT), graph("Mul", weight + SCALE, scale))

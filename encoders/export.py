"""The trained network as an ONNX graph, written operator by operator.

One graph serves files and streams:

    frames (B,T,F), lengths (B), chunk (), state_h (L,B,H), state_c (L,B,H)
        -> scores (B,T',V), score_lengths (B), next_h (L,B,H), next_c (L,B,H)

Scores are log probabilities of CTC's labels or, of a classification head, evidence and energy (`ClassHead`).
`chunk` is N_c, counted in input frames and a multiple of the total subsampling. The state that comes out is the
forward direction's after N_c frames; what the window holds beyond them is look-ahead. Full context is the
window N_c >= T from a state of zeros, so there is no second graph.

The weights are not in the graph: it points into `weights.safetensors` beside it, where training goes on from them.
One copy on the disk, and what runs cannot differ from what is trained on.
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save as save_safetensors

from encoders.heads import CtcHead
from encoders.network import Network

OPSET = 17
WEIGHTS_FILE = "weights.safetensors"


class Exported(NamedTuple):
    """The bytes of `model.onnx` and of the `weights.safetensors` that it points into."""

    graph: bytes
    weights: bytes


def export(network: Network) -> Exported:
    """Write `network` as an ONNX graph with its weights beside it; equal to the torch form within 1e-5."""
    weights = save_safetensors(network.arrays())
    graph = Graph()
    config = network.encoder.config
    x = graph.masked("frames", "lengths")
    lengths, chunk = "lengths", "chunk"
    states_h, states_c = [], []
    for index, factor in enumerate(config.stacking):
        if factor > 1:
            x = graph.stacked(x, factor, network.encoder.forwards[index].input_size)
            lengths = graph.ceil_divide(lengths, factor)
            chunk = graph("Div", chunk, graph.integers(factor))
        x_TBF = graph("Transpose", x, perm=[1, 0, 2])
        y, h, c = graph.forward_layer(index, x_TBF, lengths, chunk, config.hidden_size)
        states_h.append(h)
        states_c.append(c)
        if config.bidirectional:
            y = graph("Concat", y, graph.backward_layer(index, x_TBF, lengths, config.hidden_size), axis=2)
        x = graph("Transpose", y, perm=[1, 0, 2])
    linear = graph("Add", graph("MatMul", x, "head.weight"), "head.bias")
    if isinstance(network.head, CtcHead):
        graph("LogSoftmax", linear, axis=-1, output="scores")
    else:
        graph("Identity", linear, output="scores")
    graph("Identity", lengths, output="score_lengths")
    graph("Concat", *states_h, axis=0, output="next_h")
    graph("Concat", *states_c, axis=0, output="next_c")

    layers, hidden, labels = config.layers, config.hidden_size, network.head.linear.out_features
    state = [layers, "batch", hidden]
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "saywave",
            inputs=[
                value("frames", TensorProto.FLOAT, ["batch", "frames", network.encoder.input_size]),
                value("lengths", TensorProto.INT64, ["batch"]),
                value("chunk", TensorProto.INT64, []),
                value("state_h", TensorProto.FLOAT, state),
                value("state_c", TensorProto.FLOAT, state),
            ],
            outputs=[
                value("scores", TensorProto.FLOAT, ["batch", "steps", labels]),
                value("score_lengths", TensorProto.INT64, ["batch"]),
                value("next_h", TensorProto.FLOAT, state),
                value("next_c", TensorProto.FLOAT, state),
            ],
            initializer=external(weights) + graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
        producer_name="saywave",
    )
    return Exported(model.SerializeToString(deterministic=True), weights)


class Graph:
    """Collects nodes; each call adds one and returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def integers(self, values: int | list[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def zero(self) -> str:
        return self._constant(np.float32(0.0))

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def size(self, x: str, axis: int) -> str:
        """Length of one axis, as a scalar."""
        return self("Squeeze", self("Shape", x, start=axis, end=axis + 1))

    def row(self, x: str, index: int) -> str:
        """One row of the first axis, which stays."""
        return self("Slice", x, self.integers([index]), self.integers([index + 1]), self.integers([0]))

    def ceil_divide(self, x: str, factor: int) -> str:
        return self("Div", self("Add", x, self.integers(factor - 1)), self.integers(factor))

    def masked(self, x_BTF: str, lengths_B: str) -> str:
        """Zeros beyond each item's length (Where, since NaN times 0 is NaN)."""
        frames = self("Range", self.integers(0), self.size(x_BTF, 1), self.integers(1))
        valid = self(
            "Less", self("Unsqueeze", frames, self.integers([0])), self("Unsqueeze", lengths_B, self.integers([1]))
        )
        return self("Where", self("Unsqueeze", valid, self.integers([2])), x_BTF, self.zero())

    def stacked(self, x_BTF: str, factor: int, stacked_features: int) -> str:
        """Each `factor` adjacent frames as one, zeros at the end where they run out."""
        missing = self("Mod", self("Neg", self.size(x_BTF, 1)), self.integers(factor))
        missing = self("Unsqueeze", missing, self.integers([0]))
        pads = self("Concat", self.integers([0, 0, 0, 0]), missing, self.integers([0]), axis=0)
        return self("Reshape", self("Pad", x_BTF, pads), self.integers([0, -1, stacked_features]))

    def recurrent(
        self, layer: str, x_TBF: str, lengths_B: str, hidden: int, *states: str, reverse: bool = False
    ) -> list[str]:
        """ONNX's LSTM in one direction: outputs (T,B,H), and the last h and c as (1,B,H)."""
        name = f"lstm_{len(self.nodes)}"
        outputs = [f"{name}_y", f"{name}_h", f"{name}_c"]
        self.nodes.append(
            helper.make_node(
                "LSTM",
                [
                    x_TBF,
                    f"{layer}.W",
                    f"{layer}.R",
                    f"{layer}.B",
                    self("Cast", lengths_B, to=TensorProto.INT32),
                    *states,
                ],
                outputs,
                hidden_size=hidden,
                direction="reverse" if reverse else "forward",
            )
        )
        y_TBH = self("Squeeze", outputs[0], self.integers([1]))
        return [y_TBH, outputs[1], outputs[2]]

    def forward_layer(self, index: int, x_TBF: str, lengths_B: str, chunk: str, hidden: int) -> tuple[str, str, str]:
        """The forward direction in two pieces, because ONNX's LSTM tells its cell state only at the end of one."""
        start = [self.row(state, index) for state in ("state_h", "state_c")]
        border = self("Unsqueeze", chunk, self.integers([0]))
        chunk_lengths = self("Min", lengths_B, chunk)
        rest_lengths = self("Sub", lengths_B, chunk_lengths)
        head_x = self("Slice", x_TBF, self.integers([0]), border, self.integers([0]))
        rest_x = self("Slice", x_TBF, border, self.integers([np.iinfo(np.int64).max]), self.integers([0]))
        # The look-ahead may be empty, and an LSTM over no frames is an error: give it one frame more, and drop it.
        rest_x = self("Pad", rest_x, self.integers([0, 0, 0, 1, 0, 0]))
        layer = f"layer{index}.forward"
        y_chunk, h, c = self.recurrent(layer, head_x, chunk_lengths, hidden, *start)
        y_rest, _, _ = self.recurrent(layer, rest_x, rest_lengths, hidden, h, c)
        y_rest = self("Slice", y_rest, self.integers([0]), self.integers([-1]), self.integers([0]))
        return self("Concat", y_chunk, y_rest, axis=0), h, c

    def backward_layer(self, index: int, x_TBF: str, lengths_B: str, hidden: int) -> str:
        """The backward direction, from zeros at the end of the window."""
        return self.recurrent(f"layer{index}.backward", x_TBF, lengths_B, hidden, reverse=True)[0]


def external(weights: bytes) -> list[onnx.TensorProto]:
    """Initializers that point into the safetensors file: 8 bytes of header length, a JSON header, the arrays."""
    (header_size,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + header_size])
    tensors = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensor = TensorProto(name=name, dims=entry["shape"], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": WEIGHTS_FILE, "offset": 8 + header_size + begin, "length": end - begin}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors

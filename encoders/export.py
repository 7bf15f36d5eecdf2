"""The trained network as an ONNX graph, written operator by operator.

One graph serves files and streams:

    frames (B,T,F), lengths (B), chunk (), state_h (L,B,P), state_c (L,B,H)
        -> scores (B,T',V), score_lengths (B), next_h (L,B,P), next_c (L,B,H)

With convolutions before the layers (`encoders.front`) there are frames to carry on as well:

    ..., state_frames (B,3,F) -> ..., next_frames (B,3,F)

P is H, but with a projection. A cell without a state of its own (GRU, RNN) has a `state_c` of no units, (L,B,0).
Scores are log probabilities of CTC's labels or, of a classification head, evidence and energy (`ClassHead`).
`chunk` is N_c, counted in input frames and a multiple of the total subsampling. The state that comes out is the
forward direction's after N_c frames; what the window holds beyond them is look-ahead. Full context is the
window N_c >= T from a state of zeros, so there is no second graph.

The weights are not in the graph: it points into `weights.safetensors` beside it, where training goes on from them.
One copy on the disk, and what runs cannot differ from what is trained on. They are float32, or int8 with scales
(`encoders.int8`), from which the graph multiplies in either.
"""

from __future__ import annotations

import json
import struct
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save as save_safetensors

from encoders.front import PAST, SUBSAMPLING, ConvolutionalFrontEnd
from encoders.graph import Graph
from encoders.heads import CtcHead
from encoders.int8 import PRODUCTS, Int8, quantized
from encoders.int8_nodes import DOMAIN, PINS, Int8Nodes, check_products, int8_product, pinned_inputs
from encoders.network import Network
from encoders.recurrent_nodes import LayerNodes, forward_nodes

OPSET = 17
WEIGHTS_FILE = "weights.safetensors"
# Kinds of numbers by their names in safetensors.
DATA_TYPES = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}


class Exported(NamedTuple):
    """The bytes of `model.onnx` and of the `weights.safetensors` that it points into."""

    graph: bytes
    weights: bytes


def export(network: Network, int8: Int8 | None = None) -> Exported:
    """Write `network` as an ONNX graph with its weights beside it; in float32 equal to the torch form within 1e-5.

    Args:
        network: The network.
        int8: How it is computed from weights of 8 bits; none keeps float32.

    Raises:
        Int8Error: there are no products in 8 bits for its cell.
    """
    arrays = network.arrays() if int8 is None else quantized(network.arrays())
    weights = save_safetensors(arrays)
    graph = Graph(int8=[name for name, array in arrays.items() if array.dtype == np.int8])
    products = int8 is not None and int8.kind == PRODUCTS
    if products:
        check_products(network)
    config, front = network.encoder.config, network.encoder.front
    x = graph.masked("frames", "lengths")
    lengths, chunk = "lengths", "chunk"
    if front is not None:
        x = convolved(graph, front, x)
        lengths = graph.ceil_divide(lengths, SUBSAMPLING)
        x, chunk = graph.masked(x, lengths), graph("Div", chunk, graph.integers(SUBSAMPLING))
    states_h, states_c = [], []
    # Outputs keep their pins, which are the ends of their range, where the next layer reads nothing else.
    keep_pins = products and not network.encoder.norms
    for index, factor in enumerate(config.stacking):
        pinned = keep_pins and index > 0
        parts = factor * (1 + config.bidirectional) if pinned else 1
        if factor > 1:
            width = network.encoder.forwards[index].input_size + (parts * PINS if pinned else 0)
            x = graph.stacked(x, factor, width)
            lengths = graph.ceil_divide(lengths, factor)
            chunk = graph("Div", chunk, graph.integers(factor))
        x_TBF = graph("Transpose", x, perm=[1, 0, 2])
        kind = LayerNodes
        if products:
            kind = partial(Int8Nodes, parts=parts, keep_pins=keep_pins and index + 1 < config.layers)
        if products and not pinned:
            x_TBF = pinned_inputs(graph, x_TBF, int8.ranges[f"layer{index}"])
        ahead = kind(graph, network.encoder.forwards[index], f"layer{index}.forward")
        y, (h, *c) = forward_nodes(ahead, index, x_TBF, lengths, chunk)
        states_h.append(h)
        states_c.extend(c)
        if config.bidirectional:
            back = kind(graph, network.encoder.backwards[index], f"layer{index}.backward")
            y = graph("Concat", y, back(x_TBF, lengths, reverse=True)[0], axis=2)
        x = graph("Transpose", y, perm=[1, 0, 2])
        if network.encoder.norms:
            named = [f"layer{index}.norm.{part}" for part in ("weight", "bias")]
            x = graph("LayerNormalization", x, *named, axis=-1, epsilon=network.encoder.norms[index].eps)
            x = graph.masked(x, lengths)  # where the layers give zeros it has its bias, and stacking would see that
    if products:
        scored = int8_product(graph, x, "head.weight", int8.ranges["head"])
    else:
        scored = graph("MatMul", x, graph.weight("head.weight"))
    linear = graph("Add", scored, "head.bias")
    if isinstance(network.head, CtcHead):
        graph("LogSoftmax", linear, axis=-1, output="scores")
    else:
        graph("Identity", linear, output="scores")
    graph("Identity", lengths, output="score_lengths")
    graph("Concat", *states_h, axis=0, output="next_h")
    if states_c:
        graph("Concat", *states_c, axis=0, output="next_c")
    else:
        graph("Identity", "state_c", output="next_c")

    labels = network.head.linear.out_features
    sizes = (*network.encoder.forwards[0].state_sizes, 0)[:2]
    state_h, state_c = ([config.layers, "batch", size] for size in sizes)
    value = helper.make_tensor_value_info
    past = ["batch", PAST, network.encoder.input_size]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "saywave",
            inputs=[
                value("frames", TensorProto.FLOAT, ["batch", "frames", network.encoder.input_size]),
                value("lengths", TensorProto.INT64, ["batch"]),
                value("chunk", TensorProto.INT64, []),
                value("state_h", TensorProto.FLOAT, state_h),
                value("state_c", TensorProto.FLOAT, state_c),
                *([] if front is None else [value("state_frames", TensorProto.FLOAT, past)]),
            ],
            outputs=[
                value("scores", TensorProto.FLOAT, ["batch", "steps", labels]),
                value("score_lengths", TensorProto.INT64, ["batch"]),
                value("next_h", TensorProto.FLOAT, state_h),
                value("next_c", TensorProto.FLOAT, state_c),
                *([] if front is None else [value("next_frames", TensorProto.FLOAT, past)]),
            ],
            initializer=external(weights) + graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), *([helper.make_opsetid(DOMAIN, 1)] if products else [])],
        ir_version=9,
        producer_name="saywave",
    )
    return Exported(model.SerializeToString(deterministic=True), weights)


def convolved(graph: Graph, front: ConvolutionalFrontEnd, x_BTF: str) -> str:
    """Steps of the front end, and the last frames of the chunk as `next_frames`."""
    joined = graph("Concat", "state_frames", x_BTF, axis=1)
    end = graph("Unsqueeze", graph("Min", "chunk", graph.size(x_BTF, 1)), graph.integers([0]))
    behind = graph("Add", end, graph.integers([PAST]))
    graph("Identity", graph.slice(joined, end, behind, axis=1), output="next_frames")
    missing = graph("Mod", graph("Sub", graph.integers(PAST), graph.size(joined, 1)), graph.integers(SUBSAMPLING))
    x = graph("Unsqueeze", graph.filled_up(joined, missing), graph.integers([1]))
    for name, layer in (("first", front.first), ("second", front.second)):
        weights = [f"front.{name}.{part}" for part in ("weight", "bias")]
        pads = [*layer.padding, *layer.padding]
        x = graph("Relu", graph("Conv", x, *weights, strides=list(layer.stride), pads=pads))
    return graph("Reshape", graph("Transpose", x, perm=[0, 2, 1, 3]), graph.integers([0, 0, front.output_size]))


def external(weights: bytes) -> list[onnx.TensorProto]:
    """Initializers that point into the safetensors file: 8 bytes of header length, a JSON header, the arrays."""
    (header_size,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + header_size])
    tensors = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensor = TensorProto(name=name, dims=entry["shape"], data_type=DATA_TYPES[entry["dtype"]])
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": WEIGHTS_FILE, "offset": 8 + header_size + begin, "length": end - begin}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors

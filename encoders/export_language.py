"""The LSTM language model as an ONNX graph, written operator by operator.

One graph takes a step of many hypotheses, and many texts as a whole:

    tokens (B,T), lengths (B), state_h (L,B,H), state_c (L,B,H)
        -> scores (B,T,V), next_h (L,B,H), next_c (L,B,H)

Scores are log probabilities of what follows each token; the state that comes out is the one after an item's last token.
As with `encoders.export`, the weights are in `weights.safetensors` beside the graph.
"""

from __future__ import annotations

from onnx import TensorProto, helper
from safetensors.numpy import save as save_safetensors

from encoders.export import OPSET, Exported, external
from encoders.graph import Graph
from encoders.language import LanguageNetwork
from encoders.recurrent_nodes import LayerNodes


def export(network: LanguageNetwork) -> Exported:
    """Write `network` as an ONNX graph with its weights beside it; equal to the torch form within 1e-5."""
    weights = save_safetensors(network.arrays())
    graph, config = Graph(), network.config
    x = graph("Gather", "embedding", graph("Transpose", "tokens", perm=[1, 0]))
    states: dict[str, list[str]] = {"h": [], "c": []}
    for index in range(config.layers):
        start = [graph.slice(f"state_{part}", index, index + 1, axis=0) for part in states]
        x, *after = LayerNodes(graph, network.layers[index], f"layer{index}")(x, "lengths", start)
        for part, state in zip(states.values(), after, strict=True):
            part.append(state)
    x = graph("Transpose", x, perm=[1, 0, 2])
    if config.tied:
        x = graph("MatMul", x, "bridge")
    table = graph("Transpose", "embedding" if config.tied else "head.weight", perm=[1, 0])
    linear = graph("Add", graph("MatMul", x, table), "head.bias")
    graph("LogSoftmax", linear, axis=-1, output="scores")
    for part, layers in states.items():
        graph("Concat", *layers, axis=0, output=f"next_{part}")

    value, state = helper.make_tensor_value_info, [config.layers, "batch", config.hidden_size]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "saywave_language",
            inputs=[
                value("tokens", TensorProto.INT64, ["batch", "steps"]),
                value("lengths", TensorProto.INT64, ["batch"]),
                value("state_h", TensorProto.FLOAT, state),
                value("state_c", TensorProto.FLOAT, state),
            ],
            outputs=[
                value("scores", TensorProto.FLOAT, ["batch", "steps", len(network.unigram)]),
                value("next_h", TensorProto.FLOAT, state),
                value("next_c", TensorProto.FLOAT, state),
            ],
            initializer=[tensor for tensor in external(weights) if tensor.name != "unigram"] + graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
        producer_name="saywave",
    )
    return Exported(model.SerializeToString(deterministic=True), weights)

"""Recurrent layers as ONNX nodes: the operator LSTM, GRU or RNN where there is one that says the same, else a Scan.

ONNX's LSTM has four gates. Of coupled gates it is told so (`input_forget`), and rows of zeros fill the place of the
forget gate, which nothing reads. The LSTM of 1997 gets a forget gate of no weights and a bias of 100, whose sigmoid is
1 in float32 and float64, exactly: the cell keeps what it has. The rows that are missing are made in the graph, so that
a file of weights holds weights alone.

Layer normalisation and projections no operator has. They are written as a Scan over the step that `encoders.cells`
defines; the input products stay outside it.
"""

from __future__ import annotations

from onnx import TensorProto, helper

from encoders.cells import NORM_EPSILON
from encoders.graph import Graph
from encoders.layers import RecurrentLayer

ALWAYS_OPEN = 100.0


def forward_nodes(nodes: LayerNodes, index: int, x_TBF: str, lengths_B: str, chunk: str) -> tuple[str, list[str]]:
    """The forward direction, and its state after N_c frames, (1,B,P) and maybe (1,B,H).

    It goes in two pieces, because operators tell their state only at the end of one.
    """
    graph = nodes.graph
    names = ("state_h", "state_c")[: len(nodes.layer.state_sizes)]
    start = nodes.inner([graph.slice(name, index, index + 1, axis=0) for name in names])
    border = graph("Unsqueeze", chunk, graph.integers([0]))
    chunk_lengths = graph("Min", lengths_B, chunk)
    rest_lengths = graph("Sub", lengths_B, chunk_lengths)
    head_x = graph.slice(x_TBF, 0, border, axis=0)
    rest_x = graph.slice(x_TBF, border, None, axis=0)
    # The look-ahead may be empty, and an LSTM over no frames is an error: give it one frame more, and drop it.
    rest_x = graph("Pad", rest_x, graph.integers([0, 0, 0, 1, 0, 0]))
    y_chunk, *state = nodes(head_x, chunk_lengths, start)
    y_rest = graph.slice(nodes(rest_x, rest_lengths, state)[0], 0, -1, axis=0)
    return graph("Concat", y_chunk, y_rest, axis=0), nodes.outer(state)


class LayerNodes:
    """One layer in a graph.

    Args:
        graph: Where nodes go.
        layer: The layer; only its shape matters here.
        name: Name of its weights, before the last dot.
    """

    def __init__(self, graph: Graph, layer: RecurrentLayer, name: str):
        self.graph, self.layer, self._name = graph, layer, name
        self._weights = self._read()

    def _read(self) -> dict[str, str]:
        """Its weights, as they are multiplied, by their names."""
        return {key: self.graph.weight(f"{self._name}.{key}") for key in self.layer.to_onnx()}

    def inner(self, states: list[str]) -> list[str]:
        """A state, (1,B,P) and maybe (1,B,H), as calls take and give it."""
        return states

    def outer(self, states: list[str]) -> list[str]:
        """The state, (1,B,P) and maybe (1,B,H), that a call gave."""
        return states

    def __call__(
        self, x_TBF: str, lengths_B: str, states: list[str] | None = None, *, reverse: bool = False
    ) -> list[str]:
        """Outputs (T,B,P), zeros beyond an item's length, and the last state, as :meth:`inner` has it.

        Args:
            x_TBF: Frames.
            lengths_B: Valid frames of each item, int64.
            states: State before the first frame read, as :meth:`inner` has it; none is zeros.
            reverse: Read from each item's end to its start.
        """
        if {"projection", "gain_W"} & self._weights.keys():
            return self._scanned(x_TBF, lengths_B, states, reverse=reverse)
        operator = self.layer.cell.operator
        name = f"{operator.lower()}_{len(self.graph.nodes)}"
        weights, lengths = self._operands(), self.graph("Cast", lengths_B, to=TensorProto.INT32)
        starts = states or [""] * len(self.layer.state_sizes)
        outputs = [f"{name}_y", *(f"{name}_state{k}" for k in range(len(starts)))]
        peepholes = [weights["P"]] if "P" in weights else []
        inputs = [x_TBF, weights["W"], weights["R"], weights["B"], lengths, *starts, *peepholes]
        attributes: dict[str, object] = {}
        if self.layer.name == "gru_cudnn":
            attributes["linear_before_reset"] = 1
        if self.layer.cell.past == "coupled":
            attributes["input_forget"] = 1
        self.graph.nodes.append(
            helper.make_node(
                operator,
                inputs,
                outputs,
                hidden_size=self.layer.hidden_size,
                direction="reverse" if reverse else "forward",
                **attributes,
            )
        )
        return [self.graph("Squeeze", outputs[0], self.graph.integers([1])), *outputs[1:]]

    def _operands(self) -> dict[str, str]:
        """Weights with the rows for a forget gate that the operator wants, and the cell has not."""
        if self.layer.cell.past not in ("kept", "coupled"):
            return self._weights
        graph, hidden = self.graph, self.layer.hidden_size

        def filled(value: float, *shape: int) -> str:
            return graph("Expand", graph.number(value), graph.integers([1, *shape]))

        def with_forget(weight: str, begin: int, rows: str) -> str:
            """i and o, the rows, and g."""
            middle, end = begin + 2 * hidden, begin + 3 * hidden
            first, last = graph.slice(weight, begin, middle, axis=1), graph.slice(weight, middle, end, axis=1)
            return graph("Concat", first, rows, last, axis=1)

        weights, bias = dict(self._weights), self._weights["B"]
        weights["W"] = with_forget(weights["W"], 0, filled(0.0, hidden, self.layer.input_size))
        weights["R"] = with_forget(weights["R"], 0, filled(0.0, hidden, self.layer.output_size))
        open_gate = filled(ALWAYS_OPEN if self.layer.cell.past == "kept" else 0.0, hidden)
        halves = with_forget(bias, 0, open_gate), with_forget(bias, 3 * hidden, filled(0.0, hidden))
        weights["B"] = graph("Concat", *halves, axis=1)
        if "P" in weights:
            weights["P"] = graph("Concat", weights["P"], filled(0.0, hidden), axis=1)
        return weights

    def _scanned(self, x_TBF: str, lengths_B: str, states: list[str] | None, *, reverse: bool) -> list[str]:
        """The step as the body of a Scan; what lies beyond an item's length leaves its state as it is."""
        graph = self.graph
        weights = {key: graph("Squeeze", name, graph.integers([0])) for key, name in self._weights.items()}
        bias_W, bias_R = self._halves(weights["B"])
        net = graph("MatMul", x_TBF, graph("Transpose", weights["W"], perm=[1, 0]))
        net = graph("Add", self._normal(graph, net, weights.get("gain_W")), bias_W)
        steps = graph("Range", graph.integers(0), graph.size(x_TBF, 0), graph.integers(1))
        valid = graph(
            "Less", graph("Unsqueeze", steps, graph.integers([1])), graph("Unsqueeze", lengths_B, graph.integers([0]))
        )
        valid_TB1 = graph("Unsqueeze", valid, graph.integers([2]))
        start = [graph("Squeeze", state, graph.integers([0])) for state in states or self._zeros(lengths_B)]
        step = StepNodes(self.layer, {**weights, "bias_R": bias_R})
        name = f"scan_{len(graph.nodes)}"
        lasts = [f"{name}_state{k}" for k in range(len(start))]
        graph.nodes.append(
            helper.make_node(
                "Scan",
                [*start, net, valid_TB1],
                [*lasts, f"{name}_y"],
                body=step.body(),
                num_scan_inputs=2,
                scan_input_directions=[int(reverse)] * 2,
                scan_output_directions=[int(reverse)],
            )
        )
        return [f"{name}_y", *(graph("Unsqueeze", last, graph.integers([0])) for last in lasts)]

    def _halves(self, bias: str) -> tuple[str, str]:
        rows = len(self.layer.cell.gates) * self.layer.hidden_size
        return self.graph.slice(bias, 0, rows, axis=0), self.graph.slice(bias, rows, None, axis=0)

    def _zeros(self, lengths_B: str) -> list[str]:
        batch = self.graph("Shape", lengths_B)
        return [
            self.graph(
                "Expand",
                self.graph.number(0.0),
                self.graph("Concat", self.graph.integers([1]), batch, self.graph.integers([size]), axis=0),
            )
            for size in self.layer.state_sizes
        ]

    @staticmethod
    def _normal(graph: Graph, value: str, gain: str | None) -> str:
        return value if gain is None else graph("LayerNormalization", value, gain, axis=-1, epsilon=NORM_EPSILON)


class StepNodes:
    """A step of `encoders.cells` in nodes, those of `CELLS` that a Scan is written for.

    Args:
        layer: The layer.
        weights: Names of its weights, as `encoders.cells` has them, and `bias_R`.
    """

    def __init__(self, layer: RecurrentLayer, weights: dict[str, str]):
        self._layer, self._weights = layer, weights
        # Names of a body's own must not be those of the graph around it.
        self._graph = Graph(prefix="step_")

    def body(self) -> object:
        """The body of a Scan: state, net inputs (B,G) and validity (B,1) to the next state and the output (B,P)."""
        graph, sizes = self._graph, self._layer.state_sizes
        past = [f"step_past{k}" for k in range(len(sizes))]
        step = {"RNN": self._rnn, "GRU": self._gru, "LSTM": self._lstm}[self._layer.cell.operator]
        made = step(*past)
        value = helper.make_tensor_value_info
        rows = len(self._layer.cell.gates) * self._layer.hidden_size
        for k, (new, old) in enumerate(zip(made, past, strict=True)):
            graph("Where", "step_valid", new, old, output=f"step_next{k}")
        graph("Where", "step_valid", made[0], graph.number(0.0), output="step_y")
        return helper.make_graph(
            graph.nodes,
            "step",
            inputs=[
                *(value(name, TensorProto.FLOAT, ["batch", size]) for name, size in zip(past, sizes, strict=True)),
                value("step_net", TensorProto.FLOAT, ["batch", rows]),
                value("step_valid", TensorProto.BOOL, ["batch", 1]),
            ],
            outputs=[
                *(value(f"step_next{k}", TensorProto.FLOAT, ["batch", size]) for k, size in enumerate(sizes)),
                value("step_y", TensorProto.FLOAT, ["batch", sizes[0]]),
            ],
            initializer=graph.constants,
        )

    def _from_past(self, h: str) -> str:
        """LN(R h) + b_R, (B,G)."""
        graph = self._graph
        product = graph("MatMul", h, graph("Transpose", self._weights["R"], perm=[1, 0]))
        return graph("Add", LayerNodes._normal(graph, product, self._weights.get("gain_R")), self._weights["bias_R"])

    def _gates(self, net: str) -> dict[str, str]:
        hidden = self._layer.hidden_size
        return {
            gate: self._graph.slice(net, k * hidden, (k + 1) * hidden, axis=1)
            for k, gate in enumerate(self._layer.cell.gates)
        }

    def _rnn(self, h: str) -> list[str]:
        return [self._graph("Tanh", self._graph("Add", "step_net", self._from_past(h)))]

    def _gru(self, h: str) -> list[str]:
        """cuDNN's, the one that has layer normalisation."""
        graph = self._graph
        given, past = self._gates("step_net"), self._gates(self._from_past(h))
        z, r = (graph("Sigmoid", graph("Add", given[gate], past[gate])) for gate in "zr")
        n = graph("Tanh", graph("Add", given["n"], graph("Mul", r, past["n"])))
        return [graph("Add", n, graph("Mul", z, graph("Sub", h, n)))]

    def _lstm(self, h: str, c: str) -> list[str]:
        graph, cell, weights = self._graph, self._layer.cell, self._weights
        gates = self._gates(graph("Add", "step_net", self._from_past(h)))
        peepholes = {}
        if cell.peepholes:
            hidden = self._layer.hidden_size
            for k, gate in enumerate(cell.gates[:-1]):
                peepholes[gate] = graph.slice(weights["P"], k * hidden, (k + 1) * hidden, axis=0)

        def gate(name: str, seen: str) -> str:
            net = gates[name]
            if name in peepholes:
                net = graph("Add", net, graph("Mul", peepholes[name], seen))
            return graph("Sigmoid", net)

        i, g = gate("i", c), graph("Tanh", gates["g"])
        if cell.past == "coupled":
            c_next = graph("Add", c, graph("Mul", i, graph("Sub", g, c)))
        else:
            kept = c if cell.past == "kept" else graph("Mul", gate("f", c), c)
            c_next = graph("Add", kept, graph("Mul", i, g))
        shown = c_next
        if "gain_c" in weights:
            shown = graph(
                "LayerNormalization", c_next, weights["gain_c"], weights["bias_c"], axis=-1, epsilon=NORM_EPSILON
            )
        h_next = graph("Mul", gate("o", c_next), graph("Tanh", shown))
        if "projection" in weights:
            h_next = graph("MatMul", h_next, graph("Transpose", weights["projection"], perm=[1, 0]))
        return [h_next, c_next]

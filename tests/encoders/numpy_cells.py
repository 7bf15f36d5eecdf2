"""Each member of the LSTM family written out again, gate by gate, in NumPy and float64, from its stored weights.

Nothing here is shared with `encoders`, so that one of the two being wrong shows.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def normal(v: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)


class NumpyCell:
    """One item, step by step.

    Args:
        name: Cell.
        weights: What `to_onnx` gives.
    """

    def __init__(self, name: str, weights: Arrays):
        self.name = name
        self.w = {key: array[0].astype(np.float64) for key, array in weights.items()}
        gates = {
            "rnn": "h",
            "gru": "zrn",
            "gru_cudnn": "zrn",
            "lstm_1997": "iog",
            "cifg": "iog",
            "cifg_peephole": "iog",
        }
        self.gates = gates.get(name, "iofg")
        self.hidden = len(self.w["W"]) // len(self.gates)
        self.outputs = self.w["R"].shape[1]

    def start(self) -> list[np.ndarray]:
        sizes = [self.outputs] if self.name in ("rnn", "gru", "gru_cudnn") else [self.outputs, self.hidden]
        return [np.zeros(size) for size in sizes]

    def rows(self, gate: str) -> slice:
        k = self.gates.index(gate)
        return slice(k * self.hidden, (k + 1) * self.hidden)

    def from_input(self, x: np.ndarray) -> np.ndarray:
        product = np.array([row @ x for row in self.w["W"]])
        if "gain_W" in self.w:
            product = self.w["gain_W"] * normal(product)
        return product + self.w["B"][: len(product)]

    def from_past(self, h: np.ndarray) -> np.ndarray:
        product = np.array([row @ h for row in self.w["R"]])
        if "gain_R" in self.w:
            product = self.w["gain_R"] * normal(product)
        return product + self.w["B"][len(product) :]

    def step(self, x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        if self.name == "rnn":
            return [np.tanh(self.from_input(x) + self.from_past(state[0]))]
        return self.gru(x, *state) if self.name.startswith("gru") else self.lstm(x, *state)

    def gru(self, x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
        a, p = self.from_input(x), self.from_past(h)
        z = sigmoid(a[self.rows("z")] + p[self.rows("z")])
        r = sigmoid(a[self.rows("r")] + p[self.rows("r")])
        past = r * p[self.rows("n")] if self.name == "gru_cudnn" else self.from_past(r * h)[self.rows("n")]
        return [z * h + (1 - z) * np.tanh(a[self.rows("n")] + past)]

    def lstm(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        net = self.from_input(x) + self.from_past(h)

        def gate(name: str, cell: np.ndarray) -> np.ndarray:
            value = net[self.rows(name)]
            if "P" in self.w:
                k = ("iof" if "f" in self.gates else "io").index(name)
                value = value + self.w["P"][k * self.hidden : (k + 1) * self.hidden] * cell
            return sigmoid(value)

        i = gate("i", c)
        f = np.ones_like(i) if self.name == "lstm_1997" else 1 - i if self.name.startswith("cifg") else gate("f", c)
        c = f * c + i * np.tanh(net[self.rows("g")])
        shown = self.w["gain_c"] * normal(c) + self.w["bias_c"] if "gain_c" in self.w else c
        h = gate("o", c) * np.tanh(shown)
        return [self.w["projection"] @ h if "projection" in self.w else h, c]

    def run(self, x_TF: np.ndarray, state: list[np.ndarray] | None = None) -> tuple[np.ndarray, list[np.ndarray]]:
        """Outputs (T,P) and the last state."""
        state, outputs = self.start() if state is None else list(state), []
        for x in x_TF:
            state = self.step(x, state)
            outputs.append(state[0])
        return np.array(outputs).reshape(-1, self.outputs), state


def truncated_gradients(weights: Arrays, x_TF: np.ndarray, dy_TH: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gradients (W, R, b) of the LSTM of 1997 by the paper's own algorithm: forward in time, no error ever sent back.

    Each cell carries the derivatives of its value by its weights along (appendix A.1, equations of the partial
    derivatives of the internal state); an error is used in the step in which it arises.
    """
    w = {key: array[0].astype(np.float64) for key, array in weights.items()}
    hidden = w["R"].shape[1]
    features = x_TF.shape[1]
    bias = w["B"][: 3 * hidden] + w["B"][3 * hidden :]
    joint = np.concatenate([w["W"], w["R"], bias[:, None]], axis=1)
    carried = np.zeros_like(joint)  # derivatives of each cell by the weights of its input gate and of its input
    total = np.zeros_like(joint)
    i_rows, o_rows, g_rows = (slice(k * hidden, (k + 1) * hidden) for k in range(3))
    h, c = np.zeros(hidden), np.zeros(hidden)
    for x, dy in zip(x_TF, dy_TH, strict=True):
        source = np.concatenate([x, h, [1.0]])
        net = joint @ source
        i, o, g = sigmoid(net[i_rows]), sigmoid(net[o_rows]), np.tanh(net[g_rows])
        carried[i_rows] += np.outer(g * i * (1 - i), source)
        carried[g_rows] += np.outer(i * (1 - g**2), source)
        c = c + i * g
        total[o_rows] += np.outer(dy * np.tanh(c) * o * (1 - o), source)
        arriving = (dy * o * (1 - np.tanh(c) ** 2))[:, None]
        total[i_rows] += arriving * carried[i_rows]
        total[g_rows] += arriving * carried[g_rows]
        h = o * np.tanh(c)
    return total[:, :features], total[:, features:-1], total[:, -1]

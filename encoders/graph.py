"""Writing an ONNX graph node by node: the collector of nodes, and what frames go through besides recurrent layers."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from encoders.int8 import SCALE, added_along


class Graph:
    """Collects nodes; each call adds one and returns the name of what it computes.

    Args:
        prefix: Put before the names that it gives, where one graph lies within another.
        int8: Names of weights that are stored as int8, each with its scale beside it.
    """

    def __init__(self, prefix: str = "", *, int8: Collection[str] = ()) -> None:
        self._prefix = prefix
        self._int8 = frozenset(int8)
        self._floats: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"{self._prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def weight(self, name: str) -> str:
        """A weight in float32: as it is stored or, of int8, times its scale. Opening the graph folds that away."""
        if name not in self._int8:
            return name
        if name not in self._floats:
            scale = self("Unsqueeze", name + SCALE, self.integers([added_along(name)]))
            self._floats[name] = self("Mul", self("Cast", name, to=onnx.TensorProto.FLOAT), scale)
        return self._floats[name]

    def integers(self, values: int | list[int]) -> str:
        return self.array(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.array(np.float32(value))

    def array(self, array: np.ndarray) -> str:
        name = f"{self._prefix}constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def slice(self, x: str, begin: int | str, end: int | str | None, axis: int) -> str:
        """Part of one axis; bounds are numbers, or names of tensors that hold one; no end is all the rest."""
        end = np.iinfo(np.int64).max if end is None else end
        bounds = [bound if isinstance(bound, str) else self.integers([bound]) for bound in (begin, end)]
        return self("Slice", x, *bounds, self.integers([axis]))

    def size(self, x: str, axis: int) -> str:
        """Length of one axis, as a scalar."""
        return self("Squeeze", self("Shape", x, start=axis, end=axis + 1))

    def ceil_divide(self, x: str, factor: int) -> str:
        return self("Div", self("Add", x, self.integers(factor - 1)), self.integers(factor))

    def masked(self, x_BTF: str, lengths_B: str) -> str:
        """Zeros beyond each item's length (Where, since NaN times 0 is NaN)."""
        frames = self("Range", self.integers(0), self.size(x_BTF, 1), self.integers(1))
        valid = self(
            "Less", self("Unsqueeze", frames, self.integers([0])), self("Unsqueeze", lengths_B, self.integers([1]))
        )
        return self("Where", self("Unsqueeze", valid, self.integers([2])), x_BTF, self.number(0.0))

    def stacked(self, x_BTF: str, factor: int, stacked_features: int) -> str:
        """Each `factor` adjacent frames as one, zeros at the end where they run out."""
        missing = self("Mod", self("Neg", self.size(x_BTF, 1)), self.integers(factor))
        return self("Reshape", self.filled_up(x_BTF, missing), self.integers([0, -1, stacked_features]))

    def filled_up(self, x_BTF: str, missing: str) -> str:
        """So many frames of zeros more."""
        missing = self("Unsqueeze", missing, self.integers([0]))
        return self("Pad", x_BTF, self("Concat", self.integers([0, 0, 0, 0]), missing, self.integers([0]), axis=0))

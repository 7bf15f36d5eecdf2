"""A model in weights of 8 bits: made, measured beside the model in float32, and written with what was measured.

Speech and gestures differ in how frames are made and in what errors are; the rest of the way is here, once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from encoders.export import Exported, export
from encoders.int8 import PRODUCTS, WEIGHTS, Int8, Range
from encoders.int8_nodes import Int8Error, check_products
from encoders.network import Network
from encoders.ranges import input_ranges
from inference import model as models
from inference.markdown import table
from inference.model import Model
from inference.model_changes import store_int8
from inference.progress import with_bar
from training.manifests import Item
from training.run import network_of

# Of longer development data a part that lasts about so long is enough for ranges and scores; errors are counted on all.
MEASURED_SECONDS = 600.0
# Frames that are normalised have a standard deviation of 1 over all recordings, whatever those measured are like.
NORMALISED = Range(-3.0, 3.0)
SAID = {
    PRODUCTS: "products of int8 weights and uint8 inputs of fixed ranges",
    WEIGHTS: "int8 weights, products in float32",
}


class ExportError(ValueError):
    """A model that cannot be exported so; the message names it and says what to do."""


class Written(NamedTuple):
    """The model that was written, and what to print."""

    model: Model
    report: str


def check_export(model: Model, out: Path, kind: str) -> None:
    """Refuse what cannot be exported, before anything takes time; make the folder that `out` goes into.

    Raises:
        ExportError: says what to do.
        OSError: nothing can be made there.
    """
    if out.exists():
        raise ExportError(f"{out}: is there already; give another --out, or remove it")
    if model.int8 is not None:
        raise ExportError(
            f"{model.directory}: has weights of 8 bits already, as the models that ship have; of one that you have "
            "exported, export the model that it was made of"
        )
    models.check_place(out)
    if kind == PRODUCTS:
        try:
            check_products(network_of(model, fresh=True))
        except Int8Error as error:
            raise ExportError(f"{model.directory}: {error}: --int8 weights") from None


def export_int8(
    model: Model,
    out: Path,
    *,
    kind: str,
    frames: Sequence[np.ndarray],
    measure: Callable[[Model], Mapping[str, float]],
    data: str,
    remark: str = "",
) -> Written:
    """Write the model directory `out`: `model` in int8 weights, with its loss in the model card.

    Args:
        model: The model in float32.
        out: Where it goes.
        kind: `encoders.int8.PRODUCTS` or `WEIGHTS`.
        frames: Frames (T,F) of development data, which ranges are measured on, and how far scores move.
        measure: Counts the errors of a model on development data: figures by name, as shares. One that only one of
            both models has is left out.
        data: What these data are called.
        remark: What else is to be said below the figures.

    Raises:
        ExportError: there is nothing to measure.
        OSError: it cannot be written.
    """
    frames = [one for one in frames if len(one)]
    if not frames:
        raise ExportError(f"{data}: nothing in it can be read and is as long as a frame; give other recordings")
    network = network_of(model)
    int8 = Int8(kind, _ranges(model, network, frames) if kind == PRODUCTS else {})
    exported = export(network, int8)
    with tempfile.TemporaryDirectory(prefix="saywave-") as folder:
        made = _stored(model, Path(folder) / "model", exported, int8, note="being measured")
        lines = [f"{SAID[kind]}, measured on {data}:", "", _figures(measure(model), measure(made))]
        lines += ["", *([remark, ""] if remark else []), _moved(model, made, frames), _sizes(model, made)]
    report = "\n".join(lines)
    note = f"{report[0].upper()}{report[1:]}\n\nFigures in the sections above are of the model in float32."
    return Written(_stored(model, out, exported, int8, note), report)


def _ranges(model: Model, network: Network, frames: Sequence[np.ndarray]) -> dict[str, Range]:
    """Of the inputs of each product; of frames that are normalised no less than what they are anywhere."""
    ranges = input_ranges(network, with_bar(frames, "ranges"))
    if model.extractor.config.normalization != "none" and network.encoder.front is None:
        low, high = ranges["layer0"]
        ranges["layer0"] = Range(min(low, NORMALISED.low), max(high, NORMALISED.high))
    return ranges


def spread(items: Sequence[Item], seconds: float = MEASURED_SECONDS) -> list[Item]:
    """Items at equal distances in a list, at least one, that last about so long together where it lasts longer."""
    total = sum(item.duration for item in items)
    step = max(1, round(total / seconds))
    return list(items[::step])


def _stored(model: Model, directory: Path, exported: Exported, int8: Int8, note: str) -> Model:
    said: dict[str, object] = {"kind": int8.kind}
    if int8.ranges:
        said["ranges"] = {name: [round(end, 6) for end in range_] for name, range_ in int8.ranges.items()}
    return store_int8(model, directory, graph=exported.graph, weights=exported.weights, int8=said, note=note)


def _figures(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """A table of what was counted, in percent, and of how many points it is worse or better."""
    rows = [
        [name, f"{100 * value:.2f} %", f"{100 * after[name]:.2f} %", f"{100 * (after[name] - value):+.2f}"]
        for name, value in before.items()
        if name in after
    ]
    return table(["", "float32", "int8", "points"], rows)


def _moved(before: Model, after: Model, frames: Sequence[np.ndarray]) -> str:
    """How often another label is the best of a step, and how far scores move."""
    steps, others, apart = 0, 0, 0.0
    for frames_TF in with_bar(frames, "scores"):
        float_TV, int8_TV = (model.scorer.full(frames_TF)[:, : len(model.labels)] for model in (before, after))
        steps += len(float_TV)
        others += int((float_TV.argmax(-1) != int8_TV.argmax(-1)).sum())
        apart += float(np.abs(int8_TV - float_TV).mean(-1).sum())
    return f"Another label is the best in {others} of {steps} steps; scores move by {apart / steps:.4f} in the mean."


def _sizes(before: Model, after: Model) -> str:
    megabytes = [
        sum((model.directory / name).stat().st_size for name in (models.GRAPH, models.WEIGHTS)) / 1e6
        for model in (before, after)
    ]
    return f"Graph and weights take {megabytes[1]:.2f} MB; in float32 {megabytes[0]:.2f} MB."

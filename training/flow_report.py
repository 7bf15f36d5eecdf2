"""The error flow of a network over recordings as a table and a plot: the vanishing gradient, to be seen."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from encoders.error_flow import error_flow
from encoders.network import Network
from inference.files import write_bytes
from inference.markdown import table
from inference.progress import with_bar

# A plot ends here: next to what comes from nearby, single precision has long lost such shares.
LEAST_SHOWN = 1e-12


@dataclass(frozen=True)
class Flow:
    """What comes back of an error, in the mean over errors and recordings, as a share of what arrives at its own step.

    Attributes:
        name: What the network is called.
        step_seconds: Time of a step back.
        shares: For each layer and direction, and for the frames, shares by steps back; the first is 1.
        errors: How many errors were sent back through each direction.
    """

    name: str
    step_seconds: float
    shares: dict[str, np.ndarray]
    errors: int

    def halving_seconds(self, layer: str) -> float:
        """The time back in which an error is halved, in the geometric mean from the first step back to the last.

        Infinite where it does not fade, 0 where nothing comes back. Where an error fades exponentially, as in a plain
        network, it is the same however far back one looks; where the curve levels off it grows with that.
        """
        first, last = self.shares[layer][1], self.shares[layer][-1]
        if last <= 0:
            return 0.0
        if first <= last:
            return math.inf
        return self.step_seconds * (len(self.shares[layer]) - 2) / math.log2(first / last)

    def to_markdown(self) -> str:
        """Shares at 0, 1, 2, 4, 8, ... steps back, and how fast they are halved."""
        back = len(next(iter(self.shares.values()))) - 1
        shown = [0, *(1 << k for k in range(back.bit_length())), back]
        rows = [
            [f"{1000 * steps * self.step_seconds:.0f} ms", *(f"{share[steps]:.1e}" for share in self.shares.values())]
            for steps in sorted(set(shown))
        ]
        halved = [self.halving_seconds(layer) for layer in self.shares]
        rows.append(["halved in (mean)", *(f"{1000 * s:.0f} ms" if s < math.inf else "never" for s in halved)])
        what = f"{self.name}: what comes back of an error, as a share of what arrives at its own step "
        what += f"({self.errors} errors a direction)"
        return what + "\n\n" + table(["back", *self.shares], rows)


def measure(
    name: str, network: Network, recordings: Sequence[np.ndarray], *, step_seconds: float, back: int, errors: int
) -> Flow:
    """The error flow of a network over recordings.

    Args:
        name: What the network is called.
        network: The network; it is made one of double precision.
        recordings: Frames (T,F) of each, of more than `back` steps.
        step_seconds: Time between two steps of scores.
        back: Steps back that errors are followed, at least 2.
        errors: Errors sent back through each direction of each recording.
    """
    assert back >= 2, "one step back says nothing of a rate"
    network = network.double()
    norms: dict[str, list[torch.Tensor]] = {}
    for number, frames_TF in enumerate(with_bar(recordings, name)):
        for layer, found in error_flow(
            network, torch.from_numpy(frames_TF), back=back, errors=errors, seed=number
        ).items():
            norms.setdefault(layer, []).append(found)
    means = {layer: torch.cat(found).mean(0).numpy() for layer, found in norms.items()}
    shares = {layer: mean / mean[0] if mean[0] > 0 else np.zeros_like(mean) for layer, mean in means.items()}
    return Flow(name, step_seconds, shares, errors * len(recordings))


def plot(flows: Sequence[Flow], path: str | Path) -> None:
    """Write a picture: shares over the time back, a panel for each direction, a colour for each network.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    directions = [d for d in ("forward", "backward") if any(key.endswith(d) for flow in flows for key in flow.shares)]
    figure = Figure(figsize=(1.5 + 4.5 * len(directions), 4.5), layout="constrained")
    panels = figure.subplots(1, len(directions), sharey=True, squeeze=False)[0]
    for panel, direction in zip(panels, directions, strict=True):
        for number, flow in enumerate(flows):
            layers = [key for key in flow.shares if key.endswith(direction)]
            for key, style in zip(layers, _styles(len(layers)), strict=True):
                share = np.where(flow.shares[key] > 0, flow.shares[key], np.nan)
                seconds = flow.step_seconds * np.arange(len(share))
                label = f"{flow.name}, {key.removesuffix('.' + direction)}"
                panel.semilogy(seconds, share, color=f"C{number % 10}", label=label, **style)
        panel.set(xlabel=f"seconds back, as the {direction} direction reads", title=direction)
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    panels[0].set_ylim(bottom=max(panels[0].get_ylim()[0], LEAST_SHOWN))
    panels[0].set_ylabel("what comes back of an error, as a share of step 0")
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:].lower(), dpi=150)
    write_bytes(path, picture.getvalue())


def _styles(count: int) -> list[dict]:
    """Frames dotted, layers from thin to thick."""
    lines = [{"linestyle": "-", "linewidth": 1.0 + 1.5 * k / max(count - 2, 1)} for k in range(count - 1)]
    return [{"linestyle": ":", "linewidth": 1.0}, *lines][:count]

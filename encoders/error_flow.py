"""How much of an error comes back through time: the vanishing gradient, measured.

An error at the scores of one step is sent back through all layers and all steps before, and the norm of what arrives at
the outputs of each layer says what a training could learn there. That is Hochreiter's error flow (1991; Hochreiter and
Schmidhuber 1997, section 3.1; Bengio et al. 1994): in a plain recurrent network each step back multiplies the error by
the transposed Jacobian of the step, and it fades or explodes exponentially. The loss itself would do as a source, but
for its size: a network that is sure of a label sends back next to nothing. So the error is a vector of length 1 and
random direction.

The outputs h of an LSTM reach their own future through its gates alone. What its cells carry shows at what enters them:
at the layer below, and at the frames.

Everything is computed by the steps that define the cells (`encoders.cells`), with a tape of each.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from encoders.frames import stack_frames
from encoders.layers import states_by_step
from encoders.network import Network


class Reading(NamedTuple):
    """An encoder that has read one item, with its tape.

    Attributes:
        nodes: What errors arrive at, each in the order of time: `frames` (1,T,F) and, of each direction of each layer,
            the outputs h (1,P) of its steps, as `layer0.forward`.
        scores_TV: Scores of the head's linear layer, before any softmax.
    """

    nodes: dict[str, list[Tensor]]
    scores_TV: Tensor


def read_through(network: Network, frames_TF: Tensor) -> Reading:
    """Read an item at full context, step by step, in the precision of the network's weights."""
    x_BTF = frames_TF[None].to(network.head.linear.weight.dtype).requires_grad_()
    nodes = {"frames": [x_BTF]}
    layers = network.layers()
    if network.encoder.front is not None:
        x_BTF, _ = network.encoder.front(x_BTF, torch.tensor([x_BTF.shape[1]]))
    for index, factor in enumerate(network.encoder.config.stacking):
        x_BTF, _ = stack_frames(x_BTF, torch.tensor([x_BTF.shape[1]]), factor)
        outputs = []
        for direction in ("forward", "backward"):
            name = f"layer{index}.{direction}"
            if name in layers:
                order = slice(None, None, -1 if direction == "backward" else 1)
                read_BTF = x_BTF.flip(1) if direction == "backward" else x_BTF
                nodes[name] = [h_BP for h_BP, *_ in states_by_step(layers[name], read_BTF)][order]
                outputs.append(torch.stack(nodes[name], dim=1))
        x_BTF = torch.cat(outputs, dim=-1)
        if network.encoder.norms:
            x_BTF = network.encoder.norms[index](x_BTF)
    return Reading(nodes, network.head.linear(x_BTF)[0])


def errors_at(reading: Reading, error_TV: Tensor) -> dict[str, Tensor]:
    """Errors that arrive when `error_TV` enters at the scores: d(sum of error * scores) / d(each node).

    Returns:
        For each name of the nodes the errors (T,P), all paths through later steps and higher layers together.
    """
    flat = [node for nodes in reading.nodes.values() for node in nodes]
    found = iter(torch.autograd.grad(reading.scores_TV, flat, error_TV, retain_graph=True, materialize_grads=True))
    return {name: torch.cat([next(found).flatten(0, -2) for _ in nodes]) for name, nodes in reading.nodes.items()}


def error_flow(network: Network, frames_TF: Tensor, *, back: int, errors: int, seed: int = 0) -> dict[str, Tensor]:
    """Norms of what comes back of errors at single steps of scores, by how many steps back.

    A direction is followed the way it reads: `layer0.backward` at 3 steps back is what arrives 3 steps later in time.
    `frames.forward` are the frames before the error, `frames.backward` those after it. Where a layer has several steps
    for one of the scores (a pyramid), or frames are stacked, the norm is over all of them.

    Args:
        network: A network; its weights stay as they are.
        frames_TF: Frames of one item, with more than `back` steps.
        back: How many steps back errors are followed.
        errors: At how many steps errors enter, evenly over those that have `back` steps behind them.
        seed: Of the errors' directions.

    Returns:
        For each name norms (errors, back + 1), the first of no step back.
    """
    reading = read_through(network, frames_TF)
    steps, each = len(reading.scores_TV), _steps_each(network)
    assert steps > back, "the caller leaves out what is too short"
    generator = torch.Generator().manual_seed(seed)
    read = torch.linspace(back, steps - 1, errors).round().long().tolist()
    flow: dict[str, list[Tensor]] = {}
    for direction in ("forward", "backward")[: 1 + network.encoder.config.bidirectional]:
        for number in read:
            error_TV = torch.zeros_like(reading.scores_TV)
            drawn = torch.randn(error_TV.shape[1], generator=generator, dtype=torch.float64)
            at = number if direction == "forward" else steps - 1 - number
            error_TV[at] = drawn / drawn.norm()
            arrived = errors_at(reading, error_TV)
            for name, error_TP in arrived.items():
                if name == "frames" or name.endswith(direction):
                    norms_T = _by_step(error_TP, each[name], steps)
                    way = norms_T[: at + 1].flip(0) if direction == "forward" else norms_T[at:]
                    label = f"frames.{direction}" if name == "frames" else name
                    flow.setdefault(label, []).append(way[: back + 1])
    return {name: torch.stack(norms) for name, norms in flow.items()}


def _steps_each(network: Network) -> dict[str, int]:
    """Of each layer's steps, and of the frames, how many make a step of scores."""
    stacking = network.encoder.config.stacking
    return {"frames": network.encoder.config.total_subsampling} | {
        f"layer{index}.{direction}": prod(stacking[index + 1 :])
        for index in range(len(stacking))
        for direction in ("forward", "backward")
    }


def _by_step(error_TP: Tensor, each: int, steps: int) -> Tensor:
    """Norms (steps) over the `each` rows that belong to a step of scores; of the last there may be fewer."""
    padded = torch.nn.functional.pad(error_TP, (0, 0, 0, each * steps - len(error_TP)))
    return padded.reshape(steps, -1).norm(dim=1)

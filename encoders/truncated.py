"""Truncated backpropagation through time: errors flow back within pieces of a recording, the state goes on through all.

The forward direction reads an item from its beginning to its end. Where a piece ends its state is handed on as a
number, so that no error comes back from the next piece: BPTT(h; h') of Williams and Peng (1990) and Williams and Zipser
(1995) with h = h', all layers of a piece together. In pieces as long as the item the gradient is the true one.

The loss is one of the whole item, whose alignment or pooling needs the scores of all pieces. So the pieces are scored
without a tape first, each of them is scored once more when the errors of its scores are known, and its tape is gone
before that of the piece before it is made (checkpointing; Chen et al. 2016). Of a long recording a step keeps frames,
scores and one state a piece, and takes as long as two passes forward and one back; dropout is the same in both passes.

A direction that reads from the end starts from zero in each window of latency control, whose errors stay in the window
anyway. At full context it would have to begin with the future, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from encoders.blstm import Blstm
from encoders.cells import State
from encoders.frames import NotFiniteError, check_finite, check_lengths
from encoders.windows import Latency, fitted


def scores_in_pieces(
    encoder: Blstm,
    head: Callable[[Tensor], Tensor],
    frames_BTF: Tensor,
    lengths_B: Tensor,
    latency: Latency | None,
    truncate: int,
    layers: Sequence[int] = (-1,),
) -> list[Tensor]:
    """What `head(encoder(...))` gives, with a gradient that ends at the borders of pieces.

    Args:
        encoder: The encoder.
        head: Encodings (B,T',C) to scores (B,T',V), step by step.
        frames_BTF: Frames.
        lengths_B: Valid frames of each item, at least 1.
        latency: Chunk and look-ahead; none is full context.
        truncate: Frames of a piece, a multiple of the total subsampling; of chunks, as many as hold them.
        layers: Layers whose outputs are scored, each once and in order; -1 is the last.

    Returns:
        Scores of each of `layers`.

    Raises:
        ValueError: an item has no frames; the piece is no whole number of steps; or the encoder is bidirectional, at
            full context.
    """
    check_lengths(lengths_B, frames_BTF.shape[1])
    check_finite(frames_BTF, lengths_B, "the frames")
    size, lookahead = _piece_size(encoder, frames_BTF.shape[1], latency, truncate)
    chunks = size // latency.chunk if latency else None
    masks = encoder.sequence_masks(frames_BTF)

    def piece(start: int, states: list[State] | None) -> tuple[list[Tensor], list[State]]:
        x_BNF = frames_BTF[:, start : start + size + lookahead]
        left_B = (lengths_B - start).clamp(0, x_BNF.shape[1])
        try:
            encoded, after = encoder.piece(
                x_BNF, left_B, latency, states=states, chunks=chunks, layers=layers, masks=masks
            )
        except NotFiniteError as error:
            raise NotFiniteError(f"{error} of the piece that begins with frame {start}", error.item) from None
        steps = [encoder.output_lengths(size, layer) for layer in layers]
        return [head(one[:, :count]) for one, count in zip(encoded, steps, strict=True)], after

    starts = range(0, frames_BTF.shape[1], size)
    if len(starts) == 1:
        return piece(0, None)[0]
    scores, states = [], None
    for start in starts:
        parts, after = checkpoint(piece, start, states, use_reentrant=False)
        # Of their own: as views they would keep the outputs of all steps until the way back.
        states = [tuple(value.detach().clone() for value in state) for state in after]
        scores.append(parts)
    return [torch.cat(parts, dim=1) for parts in zip(*scores, strict=True)]


def _piece_size(encoder: Blstm, frames: int, latency: Latency | None, truncate: int) -> tuple[int, int]:
    """Frames of a piece, whole chunks of them, and of the look-ahead beyond it."""
    subsampling = encoder.config.total_subsampling
    if truncate < 1 or truncate % subsampling:
        raise ValueError(f"the piece is {truncate} frames; it must be a multiple of {subsampling} and >= {subsampling}")
    fitted(latency, frames, subsampling)  # refuses chunks that cannot be
    if latency is not None:
        return -(-truncate // latency.chunk) * latency.chunk, latency.lookahead
    if encoder.config.bidirectional and truncate < frames:
        raise ValueError(
            "backpropagation cannot be truncated in a bidirectional encoder at full context: give it chunks, or one "
            "direction"
        )
    return truncate, 0

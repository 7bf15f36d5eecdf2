"""The stack of bidirectional recurrent layers that every model here is built on, at any latency.

Directions are separate layers: the backward one reads each item reversed within its own length, so padding
never reaches it, and no packed sequences are needed (packing costs half as much time again on a CPU).

Latency control (Zhang et al. 2016; Xue and Yan 2017) cuts an item into windows of N_c frames, the chunk, each seen
together with N_r frames of look-ahead. All layers see the same window, so that look-ahead does not add up over layers.
The backward direction starts from zero at the end of each window; the forward direction goes on from its state after
the N_c frames of the window before. Full context is the one window N_c >= T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from encoders.cells import CellOptions, State, check
from encoders.frames import (
    Reordered,
    check_finite,
    check_lengths,
    gather_frames,
    mask_frames,
    reversal,
    stack_frames,
    stacked_length,
)
from encoders.front import SUBSAMPLING, ConvolutionalFrontEnd
from encoders.layers import RecurrentLayer, make_layer, run_directions
from encoders.windows import Latency, cut_windows, fitted, join_chunks


@dataclass
class EncoderConfig:
    """The shape of the encoder.

    Args:
        cell: Kind of recurrent layer: lstm, lstm_1997, peephole, cifg, cifg_peephole, lstmp, gru, gru_cudnn or rnn
            (`encoders.cells`).
        layers: Number of layers, each with its forward and (if bidirectional) its backward direction.
        hidden_size: Units of each direction.
        bidirectional: Whether a second direction reads from the end.
        dropout: Share of each layer's outputs dropped on the way to the next layer and to the head, in training.
        dropout_mask: Whether other units are dropped in each `frame`, or the same ones from the beginning of a
            `sequence` to its end (Gal and Ghahramani 2016, without their masks on the way through time).
        convolution: Maps of two 3x3 convolutions that make one step of four frames before all layers, for filterbanks
            (`encoders.front`); 0 has none. They take the place of stacking before the first layer: `subsampling` is
            then `[1]` or, of a pyramid, begins with 1.
        subsampling: Frames stacked into one before the first layer, the second layer, ...; layers not named stack 1.
            `[3]` turns 10 ms frames into 30 ms steps; `[1, 2, 2]` is a pyramid (Chan et al. 2016).
        layer_norm: Layer normalisation in each step (Ba et al. 2016); not for cell gru.
        output_norm: Layer normalisation of each layer's outputs, both directions together; for any cell.
        forget_bias: Bias of the forget gate at the start, for cells that have one.
        projection_size: Size of the outputs of cell lstmp, less than `hidden_size`; 0 is half of it.
        truncated_gradient: The truncated gradient of the 1997 paper, for cell lstm_1997.
    """

    cell: str = "lstm"
    layers: int = 3
    hidden_size: int = 128
    bidirectional: bool = True
    dropout: float = 0.1
    dropout_mask: Literal["frame", "sequence"] = "frame"
    convolution: int = 0
    subsampling: list[int] | tuple[int, ...] = (3,)
    layer_norm: bool = False
    output_norm: bool = False
    forget_bias: float = 1.0
    projection_size: int = 0
    truncated_gradient: bool = False

    def __post_init__(self) -> None:
        if self.layers < 1 or self.hidden_size < 1:
            raise ValueError("encoder.layers and encoder.hidden_size must be at least 1")
        check(self.cell, self.hidden_size, self.cell_options)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout is {self.dropout}; it must be at least 0 and less than 1")
        if self.convolution < 0:
            raise ValueError(f"encoder.convolution is {self.convolution}; give a number of maps, or 0 for none")
        self.subsampling = tuple(self.subsampling)
        if len(self.subsampling) > self.layers or any(factor < 1 for factor in self.subsampling):
            raise ValueError(
                f"encoder.subsampling is {list(self.subsampling)}: at most one whole number >= 1 for each of the "
                f"{self.layers} layers"
            )
        if self.convolution and self.subsampling[:1] not in ((), (1,)):
            raise ValueError(
                f"encoder.subsampling is {list(self.subsampling)}, but convolutions make one step of {SUBSAMPLING} "
                "frames in place of the first stacking: set it to [1]"
            )

    @property
    def cell_options(self) -> CellOptions:
        """What is chosen beside the cell."""
        return CellOptions(self.layer_norm, self.forget_bias, self.projection_size, self.truncated_gradient)

    @property
    def stacking(self) -> tuple[int, ...]:
        """Frames stacked before each layer, one number a layer."""
        return tuple(self.subsampling) + (1,) * (self.layers - len(self.subsampling))

    @property
    def total_subsampling(self) -> int:
        """Input frames for each output frame."""
        return self.frames_a_step * prod(self.subsampling)

    @property
    def frames_a_step(self) -> int:
        """Input frames for each frame that the first layer's stacking gets."""
        return SUBSAMPLING if self.convolution else 1


class Blstm(nn.Module):
    """Stacked bidirectional LSTM (Schuster and Paliwal 1997; Graves et al. 2013), of any cell, over padded batches.

    Args:
        input_size: Features of a frame, F.
        config: The shape of the stack.
    """

    def __init__(self, input_size: int, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.input_size = input_size
        self.front = ConvolutionalFrontEnd(input_size, config.convolution) if config.convolution else None
        self.forwards = nn.ModuleList()
        self.backwards = nn.ModuleList()
        self.norms = nn.ModuleList()
        size = input_size if self.front is None else self.front.output_size
        for factor in config.stacking:
            directions = (self.forwards, self.backwards) if config.bidirectional else (self.forwards,)
            for layers in directions:
                layers.append(make_layer(config.cell, size * factor, config.hidden_size, config.cell_options))
            size = len(directions) * layers[-1].output_size
            if config.output_norm:
                self.norms.append(nn.LayerNorm(size))
        self.output_size = size
        self._directions = 1 + config.bidirectional
        self.dropout = nn.Dropout(config.dropout)

    def output_lengths(self, lengths_B, layer: int = -1):
        """Frames that come out for `lengths_B` frames that go in (integers, a tensor of them or one), exactly.

        Of the last layer, or of another one.
        """
        lengths_B = stacked_length(lengths_B, self.config.frames_a_step)
        for factor in self.config.stacking[: layer % self.config.layers + 1]:
            lengths_B = stacked_length(lengths_B, factor)
        return lengths_B

    def sequence_masks(self, frames_BTF: Tensor) -> list[Tensor] | None:
        """Dropout of each layer's outputs, (B,1,C) to multiply them with, drawn for these items.

        None where nothing is dropped, or frame by frame.
        """
        if not self.training or self.config.dropout_mask == "frame" or not self.config.dropout:
            return None
        kept = frames_BTF.new_full((len(frames_BTF), 1, self.output_size), 1 - self.config.dropout)
        return [torch.bernoulli(kept) / kept for _ in self.forwards]

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency | None = None) -> tuple[Tensor, Tensor]:
        """Encode a padded batch, all windows of all items layer by layer: the fast form, for training.

        In each layer the forward direction reads the chunks one after the other and keeps its state at each border;
        then all looks ahead go on from these states as one batch, and all backward windows are another.

        Args:
            frames_BTF: Frames; what lies beyond an item's length is ignored.
            lengths_B: Valid frames of each item, int64, at least 1.
            latency: Chunk and look-ahead; none is full context.

        Returns:
            Encodings (B, ceil(T / subsampling), output_size) and their lengths (B).

        Raises:
            ValueError: an item has no frames.
            NotFiniteError: `torch.autograd.detect_anomaly` is on, and the frames or what a layer makes of them are not
                finite: names the first layer.
        """
        [encoded] = self.at_layers(frames_BTF, lengths_B, latency, [-1])
        return encoded, self.output_lengths(lengths_B)

    def at_layers(
        self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency | None, layers: Sequence[int]
    ) -> list[Tensor]:
        """Outputs of several layers, each once and in order; the last is -1. Otherwise as `forward`."""
        check_lengths(lengths_B, frames_BTF.shape[1])
        check_finite(frames_BTF, lengths_B, "the frames")
        return self.piece(frames_BTF, lengths_B, latency, layers=layers)[0]

    def piece(
        self,
        frames_BTF: Tensor,
        lengths_B: Tensor,
        latency: Latency | None = None,
        *,
        states: list[State] | None = None,
        chunks: int | None = None,
        layers: Sequence[int] = (-1,),
        masks: list[Tensor] | None = None,
    ) -> tuple[list[Tensor], list[State]]:
        """Encode a stretch of each item, in the form of `forward`.

        Args:
            frames_BTF: Frames of the stretch and, if it has all its `chunks`, the look-ahead beyond them.
            lengths_B: Valid frames of each item in them; 0 where the item is over.
            latency: Chunk and look-ahead; none is one window of all frames.
            states: Forward state of each layer before the stretch and, last, the frames that a front end sees of what
                was before it; none is zeros.
            chunks: At most so many are encoded; none encodes all frames.
            layers: Layers whose outputs are wanted, each once and in order.
            masks: What `sequence_masks` gave for these items; none draws.

        Returns:
            Encodings (B,T',output_size) of each of `layers`, and the states after the last chunk.
        """
        layers = [layer % self.config.layers for layer in layers]
        frames = frames_BTF.shape[1]
        chunk, lookahead = fitted(latency, frames, self.config.total_subsampling)
        masks = self.sequence_masks(frames_BTF) if masks is None else masks
        end = frames if chunks is None else chunk * chunks
        x_BTF, lengths_B, past = self._stepped(frames_BTF, lengths_B, end, states)
        chunk, lookahead = (size // self.config.frames_a_step for size in (chunk, lookahead))
        x_BWNF, lengths_BW = cut_windows(x_BTF, lengths_B, chunk, lookahead)
        x_BWNF, lengths_BW = x_BWNF[:, :chunks], lengths_BW[:, :chunks]
        batch, windows = lengths_BW.shape
        last, encoded, after = self.config.layers - 1, [], []
        for index, factor in enumerate(self.config.stacking):
            x_MNF, lengths_M = self._stacked(index, x_BWNF.flatten(0, 1), lengths_BW.flatten(), factor)
            x_BWNF, lengths_BW = x_MNF.unflatten(0, (batch, windows)), lengths_M.unflatten(0, (batch, windows))
            chunk //= factor
            state = None if states is None else states[index]
            together = self.config.bidirectional and state is None and x_BWNF.shape[1:3] == (1, chunk)
            if together and self.forwards[index].recurs(x_MNF):
                y, state = both_directions(self.forwards[index], self.backwards[index], x_MNF, lengths_M)
                y = y[:, None]
            else:
                # What the last layer says of the look-ahead nobody hears.
                y, state = forward_windows(self.forwards[index], x_BWNF, chunk, state, ahead=index < last)
                if self.config.bidirectional:
                    z_MNH = backward_window(self.backwards[index], x_MNF, lengths_M)
                    z = z_MNH.unflatten(0, (batch, windows))
                    y = torch.cat([y, z[:, :, : y.shape[2]]], dim=-1)
            for direction, part in zip(
                ("forward", "backward"), y.flatten(0, 1).chunk(self._directions, -1), strict=False
            ):
                named = f"the output of layer{index}.{direction}"
                check_finite(part, lengths_M.clamp(max=y.shape[2]), named, windows)
            x_BWNF = self._between(index, y, None if masks is None else masks[index][:, None])
            if self.norms:
                steps_M = lengths_M.clamp(max=x_BWNF.shape[2])
                check_finite(x_BWNF.flatten(0, 1), steps_M, f"the output of layer{index}.norm", windows)
            after.append(state)
            if index in layers:
                encoded.append(join_chunks(x_BWNF[:, :, :chunk], self.output_lengths(frames, index)))
        return encoded, after + past

    def window(
        self,
        frames_BTF: Tensor,
        lengths_B: Tensor,
        chunk: int,
        states: list[State] | None = None,
        masks: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, list[State]]:
        """Encode one window of each item: what latency control is, and what the exported graph computes.

        Args:
            frames_BTF: Frames of the window, N_c and the look-ahead, fewer at an item's end.
            lengths_B: Valid frames of each item in the window; 0 where the item is over.
            chunk: N_c, a multiple of the total subsampling.
            states: Forward state of each layer at the window's first frame and, last, the frames that a front end sees
                of what was before it; none is zeros.
            masks: What `sequence_masks` gave for these items; none draws.

        Returns:
            Encodings of the whole window, their lengths, and the states after N_c frames.
        """
        masks, next_states = self.sequence_masks(frames_BTF) if masks is None else masks, []
        x, lengths_B, past = self._stepped(frames_BTF, lengths_B, chunk, states)
        chunk //= self.config.frames_a_step
        for index, factor in enumerate(self.config.stacking):
            x, lengths_B = self._stacked(index, x, lengths_B, factor)
            chunk //= factor
            y, state = self.forwards[index](x[:, :chunk], None if states is None else states[index])
            next_states.append(state)
            if x.shape[1] > chunk:
                y = torch.cat([y, self.forwards[index](x[:, chunk:], state)[0]], dim=1)
            if self.config.bidirectional:
                y = torch.cat([y, backward_window(self.backwards[index], x, lengths_B)], dim=-1)
            x = self._between(index, y, None if masks is None else masks[index])
        return x, lengths_B, next_states + past

    def window_by_window(self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency) -> tuple[Tensor, Tensor]:
        """The plain form of `forward`: one window of all items after the other, the state carried on in the open."""
        chunk, lookahead = fitted(latency, frames_BTF.shape[1], self.config.total_subsampling)
        pieces, states, masks = [], None, self.sequence_masks(frames_BTF)
        for start in range(0, frames_BTF.shape[1], chunk):
            window_BNF = frames_BTF[:, start : start + chunk + lookahead]
            left_B = (lengths_B - start).clamp(0, window_BNF.shape[1])
            encoded, _, states = self.window(window_BNF, left_B, chunk, states, masks)
            pieces.append(encoded[:, : chunk // self.config.total_subsampling])
        return torch.cat(pieces, dim=1), self.output_lengths(lengths_B)

    def _stepped(
        self, frames_BTF: Tensor, lengths_B: Tensor, end: int, states: list[State] | None
    ) -> tuple[Tensor, Tensor, list[State]]:
        """What the layers get of frames, its lengths, and the state of the front end, if there is one, at `end`."""
        if self.front is None:
            return frames_BTF, lengths_B, []
        past_B3F = None if states is None else states[-1][0]
        x_BTF, steps_B = self.front(frames_BTF, lengths_B, past_B3F)
        check_finite(x_BTF, steps_B, "the output of the front end")
        return x_BTF, steps_B, [(self.front.past(frames_BTF, lengths_B, end, past_B3F),)]

    def _between(self, index: int, y: Tensor, mask: Tensor | None) -> Tensor:
        """What is done with outputs of a layer on the way out of it."""
        y = self.norms[index](y) if self.norms else y
        return self.dropout(y) if mask is None else y * mask

    @staticmethod
    def _stacked(index: int, x_BTF: Tensor, lengths_B: Tensor, factor: int) -> tuple[Tensor, Tensor]:
        if factor > 1:
            return stack_frames(x_BTF, lengths_B, factor)
        return (mask_frames(x_BTF, lengths_B) if index == 0 else x_BTF), lengths_B


def forward_windows(
    layer: RecurrentLayer, x_BWNF: Tensor, chunk: int, state: State | None = None, *, ahead: bool
) -> tuple[Tensor, State]:
    """Outputs of the forward direction in every window: (B,W,N,H) or, without the look-ahead, (B,W,N_c,H).

    And the state after the last chunk; `state` is the one before the first.
    """
    windows, frames = x_BWNF.shape[1:3]
    y_BTH, borders = layer.in_chunks(x_BWNF[:, :, :chunk].flatten(1, 2), chunk, state)
    y_BWCH, state = y_BTH.unflatten(1, (windows, chunk)), tuple(part[:, -1] for part in borders)
    if not ahead or frames == chunk:
        return y_BWCH, state
    y_MRH, _ = layer(x_BWNF[:, :, chunk:].flatten(0, 1), tuple(part.flatten(0, 1) for part in borders))
    return torch.cat([y_BWCH, y_MRH.unflatten(0, (-1, windows))], dim=2), state


def backward_window(layer: RecurrentLayer, x_BTF: Tensor, lengths_B: Tensor) -> Tensor:
    """Outputs (B,T,H) of the backward direction, from zeros at the end of each item's valid frames."""
    order = reversal(lengths_B, x_BTF.shape[1])
    z_BTH, _ = layer(gather_frames(x_BTF, order))
    return gather_frames(z_BTH, order)


def both_directions(
    ahead: RecurrentLayer, back: RecurrentLayer, x_BTF: Tensor, lengths_B: Tensor
) -> tuple[Tensor, State]:
    """Outputs (B,T,2P) of both directions from zeros, in one loop; what they give one after the other.

    And the state of the forward direction after the last frame.
    """
    batch, frames = x_BTF.shape[:2]
    order = torch.stack([torch.arange(frames, device=lengths_B.device).expand(batch, -1), reversal(lengths_B, frames)])
    first = torch.arange(batch, device=lengths_B.device)[:, None] * frames
    read_DTB = (first + order).transpose(1, 2)  # rows of x, flat, as both directions read them
    x_DTBF = Reordered.apply(x_BTF.flatten(0, 1), read_DTB.flatten()).view(*read_DTB.shape, -1)
    y_DTBP, c_DTBH = run_directions([ahead, back], x_DTBF)
    # Where each row of the output lies in y, flat: reversal is its own inverse.
    rows_DTB = torch.arange(2 * frames * batch, device=lengths_B.device).view(2, frames, batch)
    written_BTD = rows_DTB.transpose(1, 2).gather(2, order).permute(1, 2, 0)
    y_BTP = Reordered.apply(y_DTBP.flatten(0, 2), written_BTD.flatten()).view(batch, frames, -1)
    return y_BTP, (y_DTBP[0, -1], c_DTBH[0, -1])

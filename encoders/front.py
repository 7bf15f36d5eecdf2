"""Convolutions between the frames and the first recurrent layer: four frames become one step.

Two layers of 3x3 kernels with stride 2 over time and over features, as in Deep Speech 2 (Amodei et al. 2016) and before
ESPnet's encoders (Watanabe et al. 2018), each rectified. Here they look at the past alone: step t is made of its own
frames 4t to 4t + 3, as it would be of stacked frames, and of the 3 frames before them. So they need no look-ahead, and
no step depends on where a window ends: a batch goes through as a whole and is cut into windows afterwards, and a stream
carries on the last 3 frames. Before an item there are zeros, the mean of normalised features, and after it too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encoders.frames import mask_frames, stacked_length

SUBSAMPLING = 4
"""Frames that become one step."""
PAST = 3
"""Frames before its own that a step sees."""


class ConvolutionalFrontEnd(nn.Module):
    """Frames (B,T,F) to steps (B, ceil(T/4), output_size).

    Args:
        input_size: Features of a frame, F. Neighbours should be neighbours in frequency, as in a filterbank.
        channels: Maps that each of the two layers makes.
    """

    def __init__(self, input_size: int, channels: int):
        super().__init__()
        self.input_size = input_size
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=(0, 1))
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=(0, 1))
        self.output_size = channels * stacked_length(stacked_length(input_size, 2), 2)

    def start(self, frames_BTF: Tensor) -> Tensor:
        """The frames before an item's first one: zeros (B,3,F)."""
        return frames_BTF.new_zeros(len(frames_BTF), PAST, self.input_size)

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor, past_B3F: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Steps and their lengths.

        Args:
            frames_BTF: Frames; what lies beyond an item's length is ignored.
            lengths_B: Valid frames of each item.
            past_B3F: The 3 frames before them; none is zeros.
        """
        joined_BTF = self._joined(mask_frames(frames_BTF, lengths_B), past_B3F)
        x_B1TF = nn.functional.pad(joined_BTF, (0, 0, 0, -frames_BTF.shape[1] % SUBSAMPLING))[:, None]
        x_BCTF = torch.relu(self.second(torch.relu(self.first(x_B1TF))))
        return x_BCTF.transpose(1, 2).flatten(2), stacked_length(lengths_B, SUBSAMPLING)

    def past(self, frames_BTF: Tensor, lengths_B: Tensor, end: int, past_B3F: Tensor | None = None) -> Tensor:
        """The 3 frames (B,3,F) before frame `end`, or before the end of all; the other arguments as of `forward`."""
        end = min(end, frames_BTF.shape[1])
        return self._joined(mask_frames(frames_BTF, lengths_B), past_B3F)[:, end : end + PAST]

    def _joined(self, frames_BTF: Tensor, past_B3F: Tensor | None) -> Tensor:
        return torch.cat([self.start(frames_BTF) if past_B3F is None else past_B3F, frames_BTF], dim=1)

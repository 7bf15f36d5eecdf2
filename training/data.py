"""Batches: items of like length together, frames and targets padded, every draw from (seed, pass, item).

Workers are told the pass with each index and keep no state, so that a run resumed is the run uninterrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Trainable(Protocol):
    """What there is to train on: a recording or a clip (`training.manifests.Item`), or a piece of text.

    `duration` says how long it is, in seconds or, of text, in tokens; `content` is what it consists of.
    """

    @property
    def id(self) -> str: ...

    @property
    def duration(self) -> float: ...

    @property
    def content(self) -> tuple: ...


class Example(NamedTuple):
    """One item as numbers: frames (T,F) float32, its labels (L) int64, and where a label has a place, which frames.

    A place is (first frame, frame after the last); without places the labels are a sequence, aligned by CTC. Of a text
    the frames are tokens (T) int64, and the labels (T) are what follows each of them. `second_TF` is another view of
    the same item, where two are to be heard alike.
    """

    frames_TF: np.ndarray
    targets_L: np.ndarray
    spans_L2: np.ndarray | None = None
    second_TF: np.ndarray | None = None


class Batch(NamedTuple):
    """Padded items; `ids` names them. Frames of texts are tokens (B,T).

    `spans_BL2` has the frames of each label, zeros where labels have no place. Where items have two views, the first
    half of the batch are the first ones and the second half, in the same order, the second ones.
    """

    frames_BTF: Tensor
    lengths_B: Tensor
    targets_BL: Tensor
    target_lengths_B: Tensor
    spans_BL2: Tensor
    ids: tuple[str, ...]

    def only(self, kept_B: Tensor) -> Batch:
        """The items that are kept (B, bool)."""
        *parts, ids = self
        kept_ids = tuple(one for one, kept in zip(ids, kept_B.tolist(), strict=True) if kept)
        return Batch(*(part[kept_B] for part in parts), kept_ids)


# Makes an example of an item; a generator means training (augmentation draws from it), none means development.
Load = Callable[[Any, np.random.Generator | None], Example]


class Items(Dataset):
    """Items by (pass, index); the pass is none for development data, which is never augmented.

    In the first `clean_passes` training data is not augmented either.
    """

    def __init__(self, items: Sequence[Trainable], load: Load, *, seed: int = 0, clean_passes: int = 0):
        self._items = items
        self._load = load
        self._seed = seed
        self._clean_passes = clean_passes

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: tuple[int | None, int]) -> tuple[str, Example] | ValueError:
        number, index = key
        clean = number is None or number < self._clean_passes
        rng = None if clean else np.random.default_rng([self._seed, number, index])
        item = self._items[index]
        try:
            return item.id, self._load(item, rng)
        except (ValueError, OSError) as error:
            # Out of a worker an exception comes as the text of its traceback; as a value it stays what it is.
            return error


# Ratio between the longest and the shortest item of a length class.
CLASS_RATIO = 1.15


class Buckets:
    """Batches of like length for a run of any number of passes, in the order that (seed, pass) draws.

    The stream of batches is cut into intervals, after each of which the loop looks at the development set. An interval
    may be a whole pass or a number of batches; interval k is the same whether the run came to it or resumed there.

    A batch is what a step of the optimizer sees. What is iterated are the pieces of it that one process sees: of four
    devices and two pieces, an eighth of the items at a time. The batches do not depend on how they are divided. A batch
    of fewer items than that gives empty pieces, since all processes go through equally many.

    Args:
        durations: Length of each item in any unit.
        batch_size: Sum of padded lengths in a batch at most, in the same unit.
        interval: Batches in an interval; none is a pass.
        seed: Where the order is drawn from.
        shuffle: False gives every item once, longest last, with no pass number: for development data.
        rank, ranks: This process among those that train together.
        pieces: Into how many pieces each process divides its part of a batch.
    """

    def __init__(
        self,
        durations: Sequence[float],
        batch_size: float,
        *,
        interval: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        ranks: int = 1,
        pieces: int = 1,
    ):
        self._durations = np.maximum(np.asarray(durations, dtype=np.float64), 1e-3)
        self._classes = CLASS_RATIO ** np.ceil(np.log(self._durations) / np.log(CLASS_RATIO))
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._rank, self._ranks, self._pieces = rank, ranks, pieces
        # Lightning calls set_epoch on the sampler of a batch sampler.
        self.sampler = self
        self._interval_number = 0
        self._resumed = (0, 0)
        self.batches_a_pass = len(self._pass(0))
        self.interval = interval or self.batches_a_pass

    def set_epoch(self, number: int) -> None:
        """Choose which interval is iterated next."""
        self._interval_number = number

    def resume(self, interval: int, batches: int) -> None:
        """Choose an interval to go on with, of which so many batches are done already."""
        self.set_epoch(interval)
        self._resumed = (interval, batches)

    def __len__(self) -> int:
        """Pieces in a whole interval."""
        return self.interval * self._pieces

    def __iter__(self) -> Iterator[list[tuple[int | None, int]]]:
        first = self._interval_number * self.interval if self._shuffle else 0
        done = self._resumed[1] if self._interval_number == self._resumed[0] else 0
        number = batches = None
        for step in range(first + done, first + self.interval):
            if step // self.batches_a_pass != number:
                number = step // self.batches_a_pass
                batches = self._pass(number)
            batch = batches[step % self.batches_a_pass]
            for piece in range(self._pieces):
                # Not stretches of the batch, which is sorted by length: so pieces take equally long.
                items = batch[piece * self._ranks + self._rank :: self._pieces * self._ranks]
                yield [(number if self._shuffle else None, int(index)) for index in items]

    def _pass(self, number: int) -> list[np.ndarray]:
        """All batches of one pass. How many there are does not depend on the pass."""
        if not self._shuffle:
            order = np.argsort(self._durations, kind="stable")
            return np.split(order, self._cuts(self._durations[order]))
        rng = np.random.default_rng([self._seed, number])
        # Items of one length class are exchangeable: they mix from pass to pass, and padding stays under 15 %.
        order = rng.permutation(len(self._classes))
        order = order[np.argsort(self._classes[order], kind="stable")]
        batches = np.split(order, self._cuts(self._classes[order]))
        if number == 0:
            # CTC finds its first alignments in short items: the first pass goes from short to long (Amodei et al.
            # 2016, Deep Speech 2).
            return batches
        return [batches[k] for k in rng.permutation(len(batches))]

    def _cuts(self, ascending: np.ndarray) -> list[int]:
        cuts, first = [], 0
        for index, duration in enumerate(ascending):
            if index > first and duration * (index - first + 1) > self._batch_size:
                cuts.append(index)
                first = index
        return cuts


LARGEST_BATCH = 12_000
BATCHES_A_PASS = 30


def fitting_batch(durations: Sequence[float], frame_seconds: float) -> int:
    """Frames in a batch for a corpus of these durations in seconds: 12,000, or fewer for about 30 batches a pass.

    With a few large batches a pass, a small corpus gives too few steps to learn anything before the passes are over.
    """
    return max(1, min(LARGEST_BATCH, round(sum(durations) / frame_seconds / BATCHES_A_PASS)))


def collate(named: list[tuple[str, Example] | ValueError]) -> Batch | ValueError:
    """Pad examples to a batch, which may be empty; where one could not be made, the first error takes its place.

    Second views follow after all first ones, each under its item's id.
    """
    if not named:
        none = torch.zeros(0, dtype=torch.int64)
        return Batch(torch.zeros(0, 0, 0), none, none.reshape(0, 0), none, none.reshape(0, 0, 2), ())
    for one in named:
        if isinstance(one, ValueError):
            return one
    seconds = [(id, e._replace(frames_TF=e.second_TF)) for id, e in named if e.second_TF is not None]
    ids, examples = zip(*named, *seconds, strict=True)
    frames = [torch.from_numpy(np.ascontiguousarray(e.frames_TF)) for e in examples]
    targets = [torch.from_numpy(np.asarray(e.targets_L, dtype=np.int64)) for e in examples]
    places = [np.zeros((len(t), 2), dtype=np.int64) if e.spans_L2 is None else e.spans_L2
               for e, t in zip(examples, targets, strict=True)]  # fmt: skip
    spans = [torch.from_numpy(np.asarray(place, dtype=np.int64)) for place in places]
    pad = torch.nn.utils.rnn.pad_sequence
    return Batch(
        pad(frames, batch_first=True),
        torch.tensor([len(f) for f in frames]),
        pad(targets, batch_first=True),
        torch.tensor([len(t) for t in targets]),
        pad(spans, batch_first=True),
        ids,
    )


def loader(
    items: Sequence[Trainable], load: Load, buckets: Buckets, *, seed: int, workers: int, clean_passes: int = 0
) -> DataLoader:
    """A torch DataLoader over the batches of `buckets`."""
    return DataLoader(
        Items(items, load, seed=seed, clean_passes=clean_passes),
        batch_sampler=buckets,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread if workers else None,
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)

"""How items are divided into those to train on and those to choose on: by who made them, and by their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from training.manifests import Item, ManifestError

# Seeds that are tried for a division by people which has every label in both parts.
SPLITS_TRIED = 50


def split_by_speaker(items: Sequence[Item], share: float, *, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Two parts with no speaker in both; the second holds about `share` of the items, and neither is empty.

    Items of unknown speaker are drawn one by one, and so are all where there is but one speaker.

    Raises:
        ManifestError: there are fewer than two items.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")
    if len(items) < 2:
        raise ManifestError("a single utterance cannot be divided: give more, or give development data of their own")
    alone = len({item.speaker for item in items}) == 1
    groups: dict[tuple[str, int], list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault((item.speaker, -1) if item.speaker and not alone else ("", index), []).append(index)
    names = sorted(groups)
    names = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    wanted = share * len(items)
    second: set[int] = set()
    for name in names:
        if len(second) + len(groups[name]) / 2 <= wanted:
            second.update(groups[name])
    if not second:
        second.update(min(groups.values(), key=len))
    if len(second) == len(items):
        second.difference_update(groups[names[-1]])
    return [item for k, item in enumerate(items) if k not in second], [items[k] for k in sorted(second)]


def split_labelled(
    items: Sequence[Item], share: float, *, seed: int = 0, optional: Collection[str] = ()
) -> tuple[list[Item], list[Item], bool]:
    """Two parts, of which the second holds about `share` of the items, and whether they have nobody in common.

    People are kept apart where at least two are known and every label can be in both parts all the same; else each
    label is divided by itself.

    Args:
        items: All items.
        share: Of the second part.
        seed: Where the parts are drawn from.
        optional: Labels that need not be in both parts.
    """

    def needed(part: Sequence[Item]) -> set[str]:
        return {label for item in part for label in item.labels}.difference(optional)

    if len({item.speaker for item in items}) > 1 and all(item.speaker for item in items):
        for attempt in range(SPLITS_TRIED):
            train, dev = split_by_speaker(items, share, seed=seed + attempt)
            if needed(train) == needed(dev) == needed(items):
                return train, dev, True
    train, dev = split_by_label(items, share, seed=seed)
    return train, dev, False


def split_by_label(items: Sequence[Item], share: float, *, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Two parts with the labels in the same proportions; each has one item at least of a label that has two.

    An item of several labels goes with the rarest of them.
    """
    counts = Counter(label for item in items for label in item.labels)
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        rarest = min(item.labels, key=lambda label: (counts[label], label), default="")
        groups.setdefault(rarest, []).append(index)
    rng = np.random.default_rng(seed)
    second: set[int] = set()
    for _, group in sorted(groups.items()):
        wanted = round(share * len(group))
        second.update(rng.permutation(group)[: min(max(1, wanted), len(group) - 1)].tolist())
    return [item for k, item in enumerate(items) if k not in second], [items[k] for k in sorted(second)]

"""The tree of a vocabulary, against a dictionary of beginnings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.arcs import NONE
from inference.spellings import BEHIND, ROOT, Spelled, SpellingTree

LABELS = 5
SPELLINGS = st.lists(st.none() | st.lists(st.integers(0, LABELS - 1), max_size=5).map(tuple), max_size=30)


@given(spellings=SPELLINGS, seed=st.integers(0, 100))
def test_nodes_are_the_beginnings_of_spellings(spellings: list[tuple[int, ...] | None], seed: int) -> None:
    tree = SpellingTree(Spelled.of(spellings), labels=LABELS)
    begun = {(): ROOT}
    for node in range(2, tree.nodes):  # the number of a node is above that of the one before it
        (before,) = [text for text, known in begun.items() if known == tree.parent_S[node]]
        begun[*before, int(tree.label_S[node])] = node
    assert len(begun) == tree.nodes - 1
    assert set(begun) == {()} | {one[:k] for one in spellings if one for k in range(1, len(one) + 1)}
    assert tree.end_W.tolist() == [begun[one] if one else NONE for one in spellings]

    nodes, labels = np.divmod(np.arange((tree.nodes + 1) * LABELS), LABELS)
    texts = {node: text for text, node in begun.items()}
    expected = [
        begun.get((*texts[node], label), NONE) if node in texts else NONE
        for node, label in zip(nodes.tolist(), labels.tolist(), strict=True)
    ]
    assert tree.arcs.follow(nodes, labels).tolist() == expected
    assert tree.goes_on.tolist() == [max(expected[k * LABELS : (k + 1) * LABELS]) >= 0 for k in range(tree.nodes)]

    values_W = np.random.default_rng(seed).normal(size=len(spellings))
    largest = tree.largest(values_W, least=-9.0)
    for text, node in begun.items():
        through = [value for one, value in zip(spellings, values_W, strict=True) if one and one[: len(text)] == text]
        assert largest[node] == max(through, default=-9.0)
    assert largest[BEHIND] == -9.0

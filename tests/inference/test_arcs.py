"""Arcs that share an array, against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.arcs import NONE, Arcs


@given(
    targets=st.dictionaries(st.tuples(st.integers(0, 15), st.integers(0, 11)), st.integers(0, 15), max_size=60),
)
def test_arcs_lead_where_they_were_said_to(targets: dict[tuple[int, int], int]) -> None:
    nodes, labels = np.divmod(np.arange(16 * 12), 12)
    expected = [targets.get(pair, NONE) for pair in zip(nodes.tolist(), labels.tolist(), strict=True)]
    arcs = Arcs.of(targets, nodes=16)
    assert arcs.follow(nodes, labels).tolist() == expected
    assert arcs.follow(nodes, labels, none=99).tolist() == [99 if target == NONE else target for target in expected]
    assert [arcs.step(*pair) for pair in zip(nodes.tolist(), labels.tolist(), strict=True)] == expected


def test_a_large_tree_takes_the_room_of_its_arcs() -> None:
    rng = np.random.default_rng(0)
    targets, nodes = {}, 1
    for _ in range(5000):
        node = 0
        for label in rng.integers(0, 40, 6).tolist():
            if (node, label) not in targets:
                targets[node, label] = nodes
                nodes += 1
            node = targets[node, label]
    arcs = Arcs.of(targets, nodes=nodes)
    assert arcs.follow(*np.array(list(targets)).T).tolist() == list(targets.values())
    assert len(arcs._owner) < 1.3 * len(targets)


def test_rows_that_leave_no_gaps_find_their_places() -> None:
    """Every node has every label: no two rows can lie over each other."""
    nodes, labels = np.divmod(np.arange(200 * 30), 30)
    arcs = Arcs(nodes, labels, nodes + labels, nodes=200)
    assert arcs.follow(nodes, labels).tolist() == (nodes + labels).tolist()
    assert arcs.follow(np.arange(200), np.full(200, 30)).tolist() == [NONE] * 200
    assert len(arcs._owner) < 4 * nodes.size

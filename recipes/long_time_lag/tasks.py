"""The tasks of Hochreiter and Schmidhuber 1997, sections 5.2 to 5.6, drawn anew for each batch.

Each has one number that is free here, the minimal lag: how many steps at least lie between the last element that tells
the answer and the answer. Lengths and places grow with it as the paper's own do, so that at the paper's lag the task is
the paper's. Elements of a sequence are counted from 1 in what follows, as in the paper.

A task asks questions: at a step of an item it wants a class or a number. Most ask one, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

DISTRACTORS = 50  # p of experiment 2c
INFORMATIVE = 3  # N of experiment 3
VARIANCE = 0.2  # of the noise of experiment 3
TARGET_VARIANCE = 0.1  # of the noise on the targets of experiment 3c


@dataclass(frozen=True)
class Batch:
    """Some sequences and what is asked about them: N questions, each at one step of one item.

    Attributes:
        inputs_BTF: The sequences, zeros after their ends.
        lengths_B: Their lengths.
        items_N: Which sequence each question is about.
        steps_N: The step, from 0 on, after which it is asked.
        targets_N: What is learned: a class, or a number.
        answers_N: What is right: the targets without their noise.
        judged_N: Whether the answer counts when a sequence is right or wrong.
    """

    inputs_BTF: FloatArray
    lengths_B: IntArray
    items_N: IntArray
    steps_N: IntArray
    targets_N: IntArray | FloatArray
    answers_N: IntArray | FloatArray
    judged_N: NDArray[np.bool_]


@dataclass(frozen=True)
class Criterion:
    """When a task counts as solved.

    A sequence is wrong if an output differs by `tolerance` or more from what is right. Outputs of classes are their
    probabilities, and what is right is 1 for one of them, 0 for the others.

    Attributes:
        window: Over how many sequences, the most recent ones.
        tolerance: Absolute error from which on a sequence is wrong.
        wrong: How many may be wrong.
        mean: What their mean absolute error must be below.
    """

    window: int
    tolerance: float
    wrong: int = 0
    mean: float = np.inf

    def met(self, errors: NDArray[np.floating]) -> bool:
        """Whether the largest errors of the most recent sequences, the last ones of these, are small enough."""
        recent = errors[-self.window :]
        if len(recent) < self.window:
            return False
        return self.count_wrong(recent) <= self.wrong and float(recent.mean()) < self.mean

    def count_wrong(self, errors: NDArray[np.floating]) -> int:
        """How many sequences are wrong; an error that is no number is one."""
        return int(np.sum(~(errors < self.tolerance)))


@dataclass(frozen=True)
class Task:
    """A task, at any lag.

    Attributes:
        draw: Makes a batch of this many sequences at this lag.
        inputs: Size F of an element, at a lag.
        outputs: Number of classes at a lag; 1 for a number.
        asks: What the answers are.
        criterion: When it is solved.
        shortest: The least lag that it is defined for.
        title: A few words for the report.
    """

    draw: Callable[[Generator, int, int], Batch]
    inputs: Callable[[int], int]
    outputs: Callable[[int], int]
    asks: Literal["classes", "numbers"]
    criterion: Criterion
    shortest: int
    title: str


def noise_free(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 2a, p = lag: the sequences (x, a_1, ..., a_p-1, x) and (y, a_1, ..., a_p-1, y), equally often.

    After each element the next one is to be predicted; the last is the first again, p steps later. Every answer is
    judged: none may be wrong by 0.25 in 10,000 sequences.
    """
    symbols_BT = np.tile(np.arange(-1, lag), (count, 1))
    return _next_symbols(symbols_BT, _ends(rng, symbols_BT), judged_from=0)


def no_regularities(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 2b, p = lag: as 2a with p - 1 random elements of a_1, ..., a_p-1 between the ends.

    Everything is to be predicted, but only the last element can be: it alone is judged, as in 2a.
    """
    symbols_BT = rng.integers(lag - 1, size=(count, lag + 1))
    return _next_symbols(symbols_BT, _ends(rng, symbols_BT), judged_from=lag - 1)


def very_long(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 2c, q = lag: (b, x or y, q + k distractors, e, the same x or y), where P(k) = 0.1 * 0.9^k.

    Only the last element is to be predicted, when e has been read: q + k + 1 steps after what tells it, at least q + 1
    (the paper calls now this the minimal lag, now q). It is one of two outputs, and neither may be wrong by 0.2 in
    10,000 sequences. There are p = 50 distractors, as in the hardest row of the paper's table 3.
    """
    lengths_B = 2 + lag + rng.geometric(0.1, size=count)  # k + 1 is geometric: it counts e
    b, e, x = DISTRACTORS, DISTRACTORS + 1, DISTRACTORS + 2
    symbols_BT = rng.integers(DISTRACTORS, size=(count, lengths_B.max()))
    classes_B = rng.integers(2, size=count)
    symbols_BT[:, 0] = b
    symbols_BT[:, 1] = x + classes_B
    symbols_BT[np.arange(count), lengths_B - 1] = e
    return _at_end(_one_hot(symbols_BT, lengths_B, DISTRACTORS + 4), lengths_B, classes_B)


def two_sequences(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 3a, T = lag + N: the first N = 3 elements are all 1 or all -1 and tell the class.

    All others are noise on the same line, of mean 0 and variance 0.2. Lengths are T to T + T/10. Of 256 sequences none
    may be wrong by 0.2, and the mean error must be below 0.01 (the second of the paper's two criteria).
    """
    inputs_BTF, lengths_B, classes_B = _noisy_line(rng, count, lag)
    return _at_end(inputs_BTF, lengths_B, classes_B)


def noisy_signal(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 3b: as 3a with the same noise on the first N elements too.

    Of 256 sequences at most 5 may be wrong by 0.2, and the mean error must be below 0.04.
    """
    inputs_BTF, lengths_B, classes_B = _noisy_line(rng, count, lag)
    inputs_BTF[:, :INFORMATIVE, 0] += rng.normal(0, VARIANCE**0.5, size=(count, INFORMATIVE))
    return _at_end(inputs_BTF, lengths_B, classes_B)


def noisy_targets(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 3c: the sequences of 3a; the targets are 0.2 and 0.8 with noise of variance 0.1.

    What is to be learned is their expectation. Of 256 sequences none may differ from it by 0.1, and the mean error
    must be below 0.015.
    """
    inputs_BTF, lengths_B, classes_B = _noisy_line(rng, count, lag)
    answers_B = np.where(classes_B == 1, 0.2, 0.8).astype(np.float32)
    noise_B = rng.normal(0, TARGET_VARIANCE**0.5, size=count).astype(np.float32)
    return _at_end(inputs_BTF, lengths_B, answers_B + noise_B, answers_B)


def adding(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 4, T = 2 lag: pairs of a number of [-1, 1] and a marker; the target is 0.5 + (X1 + X2) / 4.

    X1 and X2 are the numbers marked by 1: one of the first ten pairs, and one of the first T/2 - 1 that are then still
    unmarked. The first and the last pair have the marker -1; where the first is chosen, its number counts as 0. Lengths
    are T to T + T/10. None of 2,000 sequences may be wrong by 0.04. (The paper also wants an average training error
    below 0.01.)
    """
    inputs_BTF, lengths_B, chosen_B2 = _marked_pairs(rng, count, lag, least=-1.0, instead=0.0)
    return _at_end(inputs_BTF, lengths_B, (0.5 + chosen_B2.sum(axis=1) / 4).astype(np.float32))


def multiplication(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 5: as 4 with numbers of [0, 1]; the target is X1 * X2, and the first pair's number counts as 1.

    Of 2,000 sequences fewer than 13 may be wrong by 0.04.
    """
    inputs_BTF, lengths_B, chosen_B2 = _marked_pairs(rng, count, lag, least=0.0, instead=1.0)
    return _at_end(inputs_BTF, lengths_B, chosen_B2.prod(axis=1).astype(np.float32))


def order_of_two(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 6a, T = 2.5 lag: E, then random elements of a, b, c, d, then B; two of them are X or Y.

    They stand at t1 of [T/10, T/5] and t2 of [T/2, 6T/10]; which they are, in this order, is the class: XX, XY, YX, YY.
    Lengths are T to T + T/10. No output may be wrong by 0.3 in 2,000 sequences. (The paper also wants an average
    training error below 0.1.)
    """
    return _order(rng, count, -(-5 * lag // 2), ((10, 20), (50, 60)))


def order_of_three(rng: Generator, count: int, lag: int) -> Batch:
    """Experiment 6b, T = lag / 0.24: as 6a with three X or Y, and eight classes.

    They stand at t1 of [T/10, T/5], t2 of [0.33 T, 0.43 T] and t3 of [0.66 T, 0.76 T].
    """
    return _order(rng, count, -(-100 * lag // 24), ((10, 20), (33, 43), (66, 76)))


def _ends(rng: Generator, symbols_BT: IntArray) -> IntArray:
    """Give each sequence x or y as its first and last element; the classes."""
    classes_B = rng.integers(2, size=len(symbols_BT))
    p = symbols_BT.shape[1] - 1
    symbols_BT[:, 0] = symbols_BT[:, -1] = p - 1 + classes_B
    return classes_B


def _next_symbols(symbols_BT: IntArray, classes_B: IntArray, *, judged_from: int) -> Batch:
    """Predict each symbol from those before it; of p + 1 symbols the last two are x and y."""
    count, steps = len(symbols_BT), symbols_BT.shape[1] - 1
    lengths_B = np.full(count, steps)
    items_N, steps_N = np.divmod(np.arange(count * steps), steps)
    targets_N = symbols_BT[:, 1:].flatten()
    inputs_BTF = _one_hot(symbols_BT[:, :-1], lengths_B, steps + 1)
    return Batch(inputs_BTF, lengths_B, items_N, steps_N, targets_N, targets_N, steps_N >= judged_from)


def _noisy_line(rng: Generator, count: int, lag: int) -> tuple[FloatArray, IntArray, IntArray]:
    """Inputs, lengths and classes of experiment 3a."""
    lengths_B = _lengths(rng, count, lag + INFORMATIVE)
    classes_B = rng.integers(2, size=count)
    values_BT = rng.normal(0, VARIANCE**0.5, size=(count, lengths_B.max()))
    values_BT[:, :INFORMATIVE] = np.where(classes_B == 1, 1.0, -1.0)[:, None]
    return _padded(values_BT[..., None], lengths_B), lengths_B, classes_B


def _marked_pairs(
    rng: Generator, count: int, lag: int, *, least: float, instead: float
) -> tuple[FloatArray, IntArray, NDArray[np.float64]]:
    """Inputs and lengths of experiments 4 and 5, and the two numbers chosen."""
    lengths_B = _lengths(rng, count, 2 * lag)
    items_B = np.arange(count)
    pairs_BT2 = np.zeros((count, lengths_B.max(), 2))
    pairs_BT2[..., 0] = rng.uniform(least, 1.0, size=pairs_BT2.shape[:2])
    first_B = rng.integers(10, size=count)
    second_B = rng.integers(lag - 1, size=count)
    second_B += second_B >= first_B  # the one that is marked already is passed over
    places_B2 = np.stack([first_B, second_B], axis=1)
    chosen_B2 = np.where(places_B2 == 0, instead, pairs_BT2[items_B[:, None], places_B2, 0].astype(np.float32))
    pairs_BT2[items_B[:, None], places_B2, 1] = 1.0
    pairs_BT2[:, 0, 1] = -1.0
    pairs_BT2[items_B, lengths_B - 1, 1] = -1.0
    return _padded(pairs_BT2, lengths_B), lengths_B, chosen_B2


def _order(rng: Generator, count: int, shortest: int, ranges: tuple[tuple[int, int], ...]) -> Batch:
    """Experiment 6 with X or Y at places within these ranges, in hundredths of the shortest length, T."""
    lengths_B = _lengths(rng, count, shortest)
    items_B = np.arange(count)
    symbols_BT = rng.integers(4, size=(count, lengths_B.max()))
    x, start, trigger = 4, 6, 7  # Y is 5
    classes_B = np.zeros(count, np.int64)
    for low, high in ranges:
        places_B = rng.integers(-(-shortest * low // 100), shortest * high // 100 + 1, size=count)
        which_B = rng.integers(2, size=count)
        symbols_BT[items_B, places_B - 1] = x + which_B
        classes_B = 2 * classes_B + which_B
    symbols_BT[:, 0] = start
    symbols_BT[items_B, lengths_B - 1] = trigger
    return _at_end(_one_hot(symbols_BT, lengths_B, 8), lengths_B, classes_B)


def _lengths(rng: Generator, count: int, shortest: int) -> IntArray:
    """T to T + T/10, each as likely."""
    return rng.integers(shortest, shortest + shortest // 10 + 1, size=count)


def _at_end(
    inputs_BTF: FloatArray,
    lengths_B: IntArray,
    targets_B: IntArray | FloatArray,
    answers_B: IntArray | FloatArray | None = None,
) -> Batch:
    """One question an item, after its last element."""
    items_B = np.arange(len(lengths_B))
    answers_B = targets_B if answers_B is None else answers_B
    return Batch(inputs_BTF, lengths_B, items_B, lengths_B - 1, targets_B, answers_B, np.ones(len(items_B), bool))


def _one_hot(symbols_BT: IntArray, lengths_B: IntArray, size: int) -> FloatArray:
    """Local representation: one component of an element is 1."""
    inputs_BTF = np.zeros((*symbols_BT.shape, size), np.float32)
    np.put_along_axis(inputs_BTF, symbols_BT[..., None], 1.0, axis=-1)
    return _padded(inputs_BTF, lengths_B)


def _padded(values_BTF: NDArray[np.floating], lengths_B: IntArray) -> FloatArray:
    """The values, zeros after each item's end."""
    inside_BT = np.arange(values_BTF.shape[1]) < lengths_B[:, None]
    return np.where(inside_BT[..., None], values_BTF, 0).astype(np.float32)


_ENDS = Criterion(10_000, 0.25)
_PAIRS = Criterion(2_000, 0.04)
_ORDERS = Criterion(2_000, 0.3)


def _always(size: int) -> Callable[[int], int]:
    return lambda lag: size


def _alphabet(lag: int) -> int:
    return lag + 1


TASKS = {
    "noise_free": Task(noise_free, _alphabet, _alphabet, "classes", _ENDS, 2, "2a, noise-free, two sequences"),
    "no_regularities": Task(no_regularities, _alphabet, _alphabet, "classes", _ENDS, 2, "2b, no local regularities"),
    "very_long": Task(
        very_long, _always(DISTRACTORS + 4), _always(2), "classes", Criterion(10_000, 0.2), 1, "2c, noise-free"
    ),
    "two_sequences": Task(
        two_sequences, _always(1), _always(2), "classes", Criterion(256, 0.2, mean=0.01), 1, "3a, noisy lag"
    ),
    "noisy_signal": Task(
        noisy_signal, _always(1), _always(2), "classes", Criterion(256, 0.2, 5, mean=0.04), 1, "3b, noisy signal"
    ),
    "noisy_targets": Task(
        noisy_targets, _always(1), _always(1), "numbers", Criterion(256, 0.1, mean=0.015), 1, "3c, noisy targets"
    ),
    "adding": Task(adding, _always(2), _always(1), "numbers", _PAIRS, 10, "4, adding"),
    "multiplication": Task(
        multiplication, _always(2), _always(1), "numbers", Criterion(2_000, 0.04, 12), 10, "5, multiplication"
    ),
    "order_of_two": Task(order_of_two, _always(8), _always(4), "classes", _ORDERS, 5, "6a, temporal order of two"),
    "order_of_three": Task(
        order_of_three, _always(8), _always(8), "classes", _ORDERS, 4, "6b, temporal order of three"
    ),
}

"""LSTM language models in a beam search: a hypothesis gains what the model says of it, read from its beginning."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import remembering
from inference.beam import BeamDecoder, Fusion, prefix_beam
from inference.fusion import LabelModel, Together, WithHotWords, WordModel
from inference.hotwords import HotWords
from inference.lstm_lm import LstmModel
from inference.spellings import Spelled, SpellingTree

gain = runpy.run_path(str(Path(__file__).with_name("fusion_gain.py")))["gain"]

SPACE, LABELS = 1, 5
SPELLED = {"a": (2,), "ab": (2, 3), "bba": (3, 3, 2), "c": (4,), "caa": (4, 2, 2)}
LETTERS = {1: "<space>", 2: "a", 3: "b", 4: "c"}


@pytest.fixture(scope="module")
def of_words(lstm_directory) -> LstmModel:
    return LstmModel(lstm_directory(list(SPELLED), seed=1))


@pytest.fixture(scope="module")
def of_letters(lstm_directory) -> LstmModel:
    return LstmModel(lstm_directory(list(LETTERS.values()), "letter", seed=2, layers=2))


def word_fusion(lm: LstmModel) -> WordModel:
    tree = SpellingTree(Spelled.of([SPELLED.get(word) for word in lm.words]), labels=LABELS)
    return WordModel(lm, tree, unknown=lm.unknown, space=SPACE, weight=0.7, bonus=1.1, unknown_bonus=-2.0)


def letter_fusion(lm: LstmModel) -> LabelModel:
    return LabelModel(lm, [lm.unknown, *(lm.id(LETTERS[label]) for label in range(1, LABELS))], weight=0.4, bonus=0.3)


HOT = HotWords({(2, 3): 3.0, (4, SPACE, 2): 1.5}, labels=LABELS, space=SPACE)
KINDS = pytest.mark.parametrize("kind", ["words", "letters", "both", "both and hot words"])


@pytest.fixture(scope="module")
def fusions(of_words: LstmModel, of_letters: LstmModel) -> dict[str, Fusion]:
    made: dict[str, Fusion] = {"words": word_fusion(of_words), "letters": letter_fusion(of_letters)}
    made["both"] = Together([made["words"], made["letters"]])
    made["both and hot words"] = WithHotWords(made["both"], HOT)
    return made


def expected(kind: str, labels: tuple[int, ...], of_words: LstmModel, of_letters: LstmModel) -> float:
    """From scratch: each model is given the whole text."""
    total = 0.0
    if kind != "letters":
        words = "".join(" " if v == SPACE else LETTERS[v] for v in labels).split()
        strange = sum(word not in SPELLED for word in words)
        total += 0.7 * of_words.log_probability(words) + 1.1 * len(words) - 2.0 * strange
    if kind != "words":
        total += 0.4 * of_letters.log_probability([LETTERS[v] for v in labels]) + 0.3 * len(labels)
    return total + (gain(HOT, labels) if "hot" in kind else 0.0)


def scores(seed: int, frames: int) -> np.ndarray:
    """Spikes between blanks, of which some might be either of two labels."""
    rng = np.random.default_rng(seed)
    scores_TV = rng.standard_normal((frames, LABELS))
    scores_TV[:, 0] += 5
    for t in range(2, frames, 4):
        one, other = rng.choice(np.arange(1, LABELS), 2, replace=False)
        scores_TV[t, one] += 10
        scores_TV[t, other] += 10 - rng.exponential(2.0)
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


@KINDS
@settings(max_examples=15)
@given(labels=st.lists(st.integers(1, LABELS - 1), max_size=12).map(tuple))
def test_a_text_gains_what_the_models_say_of_all_of_it(kind, fusions, of_words, of_letters, labels) -> None:
    assert gain(fusions[kind], labels) == pytest.approx(expected(kind, labels, of_words, of_letters), abs=1e-4)


@KINDS
def test_no_gain_is_larger_than_it_says(kind, fusions) -> None:
    fusion, most_V = fusions[kind], np.broadcast_to(fusions[kind].most(), LABELS)
    state = np.array([fusion.begin()])
    for label in np.random.default_rng(0).integers(1, LABELS, 300):
        gains, state = fusion.extend(state, np.array([label]))
        assert gains[0] <= most_V[label] + 1e-9


@KINDS
def test_what_prefixes_gain_is_what_is_said_of_them_read_from_their_beginning(
    kind, fusions, of_words, of_letters
) -> None:
    """Also beyond the frames after which the search forgets, many times over."""
    decoder = BeamDecoder(beam=12, fusion=fusions[kind])
    decoder._search(scores(0, 130))
    prefixes = decoder._beam.prefixes
    ends_K = decoder._settings.fusion.finish(prefixes.state_K)
    for node, gained, end in zip(prefixes.node_K.tolist(), prefixes.gain_K, ends_K, strict=True):
        labels = decoder._beam.tree.path(node)
        assert len(labels) > 20
        assert gained + end == pytest.approx(expected(kind, labels, of_words, of_letters), abs=1e-3)


@KINDS
def test_a_wide_search_finds_the_best_of_all_labellings(kind, fusions, of_words, of_letters) -> None:
    scores_TV = np.random.default_rng(3).normal(0, 1.5, (4, LABELS))
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    mass: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(LABELS), repeat=4):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        mass[labels] = mass.get(labels, 0.0) + math.exp(sum(scores_TV[t, v] for t, v in enumerate(path)))
    totals = {labels: math.log(p) + expected(kind, labels, of_words, of_letters) for labels, p in mass.items()}
    found = prefix_beam(scores_TV, beam=1000, nbest=1000, prune=math.inf, fusion=fusions[kind])
    assert {one.labels: one.score for one in found} == pytest.approx(totals, abs=1e-4)
    assert found[0].labels == max(totals, key=totals.get)


@KINDS
def test_any_pushes_equal_the_whole(kind, fusions) -> None:
    scores_TV = scores(1, 120)
    decoder = BeamDecoder(beam=8, fusion=fusions[kind])
    whole = decoder.push(scores_TV) + decoder.flush()
    assert len(whole) > 15
    for pieces in ([1], [7, 40, 3], [60]):
        found, at = [], 0
        for piece in itertools.cycle(pieces):
            if at >= len(scores_TV):
                break
            found += decoder.push(scores_TV[at : at + piece])
            # What is looked at ahead changes nothing, and has its own memory.
            if piece > 1:
                ahead_TV = scores_TV[at + piece : at + piece + 20]
                assert decoder.peek(ahead_TV) == decoder.peek(ahead_TV)
            at += piece
        assert found + decoder.flush() == whole


@KINDS
def test_two_streams_at_once_do_not_disturb_each_other(kind, fusions) -> None:
    apart = [BeamDecoder(beam=6, fusion=fusions[kind]) for _ in range(2)]
    expected = [apart[k].push(scores(k, 80)) + apart[k].flush() for k in range(2)]
    found: list[list] = [[], []]
    for t in range(0, 80, 10):
        for k, decoder in enumerate(apart):
            found[k] += decoder.push(scores(k, 80)[t : t + 10])
    assert [found[k] + apart[k].flush() for k in range(2)] == expected


@pytest.mark.parametrize("kind", ["both and hot words"])
def test_what_is_held_does_not_grow_with_the_stream(kind, fusions) -> None:
    decoder = BeamDecoder(beam=6, fusion=fusions[kind])
    both = decoder._settings.fusion._model
    held, rows = [], []
    for k in range(20):
        decoder.push(scores(k, 60))
        held.append([model._model.held for model in both._models])
        rows.append(sum(len(block) for _, block in both._blocks))
    # At most what the prefixes have and what has grown from them within the frames up to the next look.
    assert np.max(held) < 6 * (16 + 2)
    assert max(rows) < 6 + 16 * 6 * LABELS
    assert np.max(held[10:]) <= np.max(held[:10]) * 1.5


def test_the_model_shares_its_place(of_words: LstmModel) -> None:
    assert isinstance(of_words.directory, Path)
    assert of_words.fork()._session is of_words._session
    assert remembering.fork(word_fusion(of_words))._model is not of_words, "but not its memory"

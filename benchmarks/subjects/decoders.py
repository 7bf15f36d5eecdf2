"""Searches of the same scores, of letters in steps of 30 ms, by drawn scores.

In most frames the right letter, of words of this project's own pages, has most of the probability. All keep 50
hypotheses. Ours looks in a frame at labels within 10 nats of the best, and once at all; flashlight-text's at all of
them, once with hypotheses within 10 nats of the best, once with the threshold of 50 that torchaudio gives it, and with
a lexicon; pyctcdecode with its own limits (labels within 5 nats of certain, hypotheses within 10 of the best). The
language model is a trigram of the same words, the lexicon its words, and hot words are words of the pages.
"""

from __future__ import annotations

import importlib.util
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asr.language.kneser_ney import estimate
from asr.search import Search, SearchConfig
from asr.tokens import Tokens
from benchmarks.letters import LABELS
from benchmarks.machine import ROOT
from benchmarks.measure import Gauge, Setting, Subject, processor_time, take_turns
from benchmarks.peers import Peer, PeerError
from inference import arpa
from inference.beam import BeamDecoder

BEAM = 50
STEP_SECONDS = 0.03
AT_LEAST = 0.02
Call = Callable[[], object]


def measure(setting: Setting, subject: Subject) -> None:
    """Without and with a language model, then by the number of frames."""
    sentences = prose(words=3000 if setting.quick else 1_000_000)
    tokens = Tokens(LABELS, "char")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lm, lexicon = knowledge(sentences, folder)
        peer = pyctcdecode(setting, subject, sentences, lm)
        scores_TV = drawn_scores(tokens, sentences, frames=200 if setting.quick else 2000)
        hot = {size: dict.fromkeys(hot_words(sentences)[:size], 3.0) for size in (100, 1000)}
        for case, calls in {
            "no language model": bare(tokens, scores_TV, hot),
            "trigram": with_lm(tokens, scores_TV, hot, lm, lexicon),
        }.items():
            gauges = {who: processor_time(call) for who, call in calls.items()}
            if peer is not None:
                gauges |= of_peer(peer, scores_TV, folder, lm=case == "trigram", hot=list(hot[100]))
            taken = take_turns(gauges, setting.rounds)
            subject.add(f"{case}, {STEP_SECONDS * len(scores_TV):g} s of scores", taken)
        by_frames(setting, subject, peer, tokens, sentences, folder)
    if importlib.util.find_spec("flashlight") is None:
        subject.leave_out("flashlight-text", "not installed: pip install '.[lm]'")


def prose(words: int) -> list[list[str]]:
    """Words of the pages of this project, a list a line, this many at most."""
    found: list[list[str]] = []
    for page in ("README.md", "RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        for line in (ROOT / page).read_text(encoding="utf-8").lower().splitlines():
            sentence = re.findall(r"[a-z]+", line)[: max(0, words - sum(map(len, found)))]
            found += [sentence] if sentence else []
    return found


def hot_words(sentences: list[list[str]]) -> list[str]:
    """Words of four letters or more, in the order in which they come."""
    return [word for word in dict.fromkeys(word for sentence in sentences for word in sentence) if len(word) >= 4]


def knowledge(sentences: list[list[str]], folder: Path) -> tuple[Path, Path]:
    """A trigram model as ARPA, and its words as a lexicon."""
    model = estimate(sentences, order=3)
    lm, lexicon = folder / "words.arpa", folder / "words.txt"
    arpa.write(lm, model.words, model.levels)
    lexicon.write_text("\n".join(word for word in model.words if not word.startswith("<")), encoding="utf-8")
    return lm, lexicon


def drawn_scores(tokens: Tokens, sentences: list[list[str]], *, frames: int) -> np.ndarray:
    """Log probabilities (T,V) as CTC makes them: letters of one frame with blanks between, now and then unsure."""
    rng = np.random.default_rng(0)
    text = " ".join(word for sentence in sentences for word in sentence)
    labels = tokens.encode(text[:frames])
    said = np.zeros(frames, dtype=int)
    places = np.flatnonzero(rng.random(frames) < 0.4)
    said[places] = labels[: len(places)]
    logits_TV = rng.normal(0.0, 1.5, (frames, len(LABELS)))
    logits_TV[:, 0] += 6.0
    logits_TV[np.arange(frames), said] += rng.uniform(4.0, 14.0, frames)
    shifted_TV = logits_TV - logits_TV.max(axis=1, keepdims=True)
    return (shifted_TV - np.log(np.exp(shifted_TV).sum(axis=1, keepdims=True))).astype(np.float32)


def searched(search: Search, scores_TV: np.ndarray) -> Call:
    """A search of scores from its beginning to its end."""

    def run() -> None:
        decoder = search.decoder()
        decoder.push(scores_TV)
        decoder.flush()

    return run


def own(tokens: Tokens, scores_TV: np.ndarray, configs: dict[str, SearchConfig]) -> dict[str, Call]:
    """Our searches by their names."""
    return {name: searched(Search(tokens, config), scores_TV) for name, config in configs.items()}


def hot_configs(hot: dict[int, dict[str, float]], beam: int, **more: object) -> dict[str, SearchConfig]:
    """A search without hot words, and with so many."""
    plain = {"saywave": SearchConfig(beam=beam, **more)}
    return plain | {
        f"saywave, {size} hot words": SearchConfig(beam=beam, hot_words=words, **more) for size, words in hot.items()
    }


def bare(tokens: Tokens, scores_TV: np.ndarray, hot: dict[int, dict[str, float]], beam: int = BEAM) -> dict[str, Call]:
    """Searches without a language model."""
    calls = own(tokens, scores_TV, hot_configs(hot, beam))
    calls["saywave, all labels"] = lambda: BeamDecoder(beam=beam, prune=math.inf).push(scores_TV)
    return calls | lexicon_free(tokens, scores_TV, beam)


def with_lm(
    tokens: Tokens, scores_TV: np.ndarray, hot: dict[int, dict[str, float]], lm: Path, lexicon: Path, beam: int = BEAM
) -> dict[str, Call]:
    """Searches with a language model, ours and flashlight-text's with a lexicon besides."""
    configs = hot_configs(hot, beam, lm=lm)
    configs["saywave, lexicon"] = SearchConfig(beam=beam, lm=lm, lexicon=lexicon)
    if importlib.util.find_spec("flashlight") is not None:
        configs["flashlight, lexicon"] = SearchConfig(beam=beam, lm=lm, lexicon=lexicon, decoder="flashlight")
    return own(tokens, scores_TV, configs)


def lexicon_free(tokens: Tokens, scores_TV: np.ndarray, beam: int) -> dict[str, Call]:
    """flashlight-text without lexicon and language model, where it is installed."""
    if importlib.util.find_spec("flashlight") is None:
        return {}
    from flashlight.lib.text import decoder as flashlight

    def call(threshold: float) -> Call:
        options = flashlight.LexiconFreeDecoderOptions(
            beam, scores_TV.shape[1], threshold, 0.0, 0.0, True, flashlight.CriterionType.CTC
        )

        def run() -> object:
            decoder = flashlight.LexiconFreeDecoder(options, flashlight.ZeroLM(), tokens.space, 0, [])
            return decoder.decode(scores_TV.ctypes.data, *scores_TV.shape)

        return run

    return {f"flashlight, threshold {threshold:g}": call(threshold) for threshold in (10.0, 50.0)}


def pyctcdecode(setting: Setting, subject: Subject, sentences: list[list[str]], lm: Path) -> Peer | None:
    """pyctcdecode in its environment, with and without the language model."""
    labels = ["", " ", *LABELS[2:]]
    try:
        peer = setting.peers.open("pyctcdecode")
        peer.ask("open", who="bare", labels=labels, lm=None, words=None, weight=0.8, bonus=1.0)
        words = sorted({word for sentence in sentences for word in sentence})
        peer.ask("open", who="lm", labels=labels, lm=str(lm), words=words, weight=0.8, bonus=1.0)
    except PeerError as error:
        subject.leave_out("pyctcdecode", error)
        return None
    return peer


def of_peer(peer: Peer, scores_TV: np.ndarray, folder: Path, *, lm: bool, hot: list[str]) -> dict[str, Gauge]:
    """Its searches of the same scores."""
    path = folder / f"{len(scores_TV)}.npy"
    np.save(path, scores_TV)
    asked = {"who": "lm" if lm else "bare", "path": str(path), "beam": BEAM}
    return {
        "pyctcdecode": peer.gauge("time", **asked, hot_words=[]),
        "pyctcdecode, 100 hot words": peer.gauge("time", **asked, hot_words=hot),
    }


def by_frames(
    setting: Setting, subject: Subject, peer: Peer | None, tokens: Tokens, sentences: list[list[str]], folder: Path
) -> None:
    """Cost by length, over three decades."""
    for frames in (10, 100) if setting.quick else (10, 100, 1000, 10_000):
        scores_TV = drawn_scores(tokens, sentences, frames=frames)
        calls = own(tokens, scores_TV, {"saywave": SearchConfig(beam=BEAM)})
        calls |= lexicon_free(tokens, scores_TV, BEAM)
        gauges = {who: processor_time(call) for who, call in calls.items()}
        if peer is not None:
            gauges["pyctcdecode"] = of_peer(peer, scores_TV, folder, lm=False, hot=[])["pyctcdecode"]
        taken = take_turns(gauges, setting.rounds, at_least=AT_LEAST)
        subject.add("no language model, by length", taken, size=frames, axis="frames of scores")

"""Recordings to text with the models that ship, loaded before, a file at a time, beside pocketsphinx with the model and
the language model for US English that its package has.

Both hear the same utterances; ours opens and decodes their files, pocketsphinx is given samples at its own rate. Of
digits it is measured once more with a grammar that allows for digits alone. Strings of FSDD are sound of 8 kHz, for
which its model, of 16 kHz, was not made: compare errors on speechocean762. Real-time factors are processor time over
the length of the sound. Word error rates are of texts in the plain form of `asr.text`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import asr
from asr import shipped
from asr.text import normalize
from benchmarks.measure import Aim, Gauge, Setting, Subject, processor_time, ratio, take_turns
from benchmarks.peers import Peer, PeerError
from benchmarks.sounds import RECORDING
from features import audio
from training.metrics import ErrorCounts, align_tokens

RATE = 16000
SAID = "three one four one five nine two six"  # in the recording
UTTERANCES, FEW = 100, 4
STRINGS = 40
# With so many utterances pocketsphinx takes many minutes a round.
MOST_ROUNDS = 3
OURS, PEER, GRAMMAR = "saywave", "pocketsphinx", "pocketsphinx, grammar of digits"
DIGITS = "#JSGF V1.0; grammar digits; public <digits> = (oh | {words})+;"


@dataclass
class Utterances:
    """Files, what is said in them, and where they are from."""

    source: str
    paths: list[Path]
    texts: list[str]


def measure(setting: Setting, subject: Subject) -> None:
    """Each model that ships, on utterances of what it is for."""
    if "english" not in shipped.names():
        subject.leave_out("the model english", "it does not ship with this commit")
    try:
        peer = setting.peers.open("pocketsphinx")
    except PeerError as error:
        subject.leave_out(PEER, error)
        peer = None
    for name in shipped.names():
        with tempfile.TemporaryDirectory() as folder:
            chosen = utterances(setting, subject, name, Path(folder))
            compare(setting, subject, peer, name, chosen, Path(folder))


def utterances(setting: Setting, subject: Subject, name: str, folder: Path) -> Utterances:
    """What a model is measured on: of a test set where the data are there, and of a development set if quick."""
    count = FEW if setting.quick else UTTERANCES
    part = "dev" if setting.quick else "test"
    if name == "digits" and setting.data is not None and (setting.data / "fsdd").is_dir():
        return strings(setting.data / "fsdd", part, min(count, STRINGS), folder)
    if name == "english" and setting.data is not None and (setting.data / "speechocean762").is_dir():
        from recipes.corpora import speechocean762

        found = speechocean762.divided(setting.data / "speechocean762", seed=0)[part]
        found = [found[k] for k in np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]
        return Utterances(f"speechocean762 {part}", [one.path for one in found], [one.text for one in found])
    subject.leave_out(
        f"a corpus for {name}", "--data DIR is not given, or lacks it; the recording of asr/demo is heard"
    )
    return Utterances("the recording of asr/demo", [RECORDING], [SAID])


def strings(data: Path, part: str, count: int, folder: Path) -> Utterances:
    """Strings of clips, joined as the recipe fsdd_connected joins them."""
    from recipes.fsdd.prepare import WORDS, clips
    from recipes.fsdd_connected.prepare import RATE as RATE_OF_CLIPS
    from recipes.fsdd_connected.prepare import draw_strings, pieces

    found = [clip for clip in clips(data) if clip.part == part]
    drawn = draw_strings(found, rounds=1, rng=np.random.default_rng(0))
    chosen = [drawn[k] for k in np.random.default_rng(1).permutation(len(drawn))[:count]]
    paths, texts = [], []
    for number, string in enumerate(chosen):
        paths.append(folder / f"{number}.wav")
        samples_S = np.concatenate(pieces(string, rng=np.random.default_rng([number])))
        audio.write(paths[-1], samples_S, RATE_OF_CLIPS)
        texts.append(" ".join(WORDS[clip.digit] for clip in string))
    return Utterances(f"strings of FSDD, {part}", paths, texts)


def compare(setting: Setting, subject: Subject, peer: Peer | None, name: str, chosen: Utterances, folder: Path) -> None:
    """Time and errors of everybody on the same utterances."""
    recognizer = asr.load(name, threads=setting.threads)
    heard: dict[str, list[str]] = {}

    def ours() -> None:
        heard[OURS] = [recognizer.transcribe(path).text for path in chosen.paths]

    gauges = {OURS: processor_time(ours)}
    seconds = 0.0
    decoded = []
    for number, path in enumerate(chosen.paths):
        samples_S, _ = audio.read(path, rate=RATE)
        seconds += len(samples_S) / RATE
        decoded.append(str(folder / f"{number}.npy"))
        np.save(decoded[-1], np.clip(32768 * samples_S, -32768, 32767).astype(np.int16))
    if peer is not None:
        grammars = {PEER: None, **({GRAMMAR: grammar(folder)} if name == "digits" else {})}
        gauges |= of_peer(subject, peer, name, grammars, decoded, heard)
    taken = take_turns(gauges, min(setting.rounds, MOST_ROUNDS))
    factors = {who: [one / seconds for one in values] for who, values in taken.items()}
    of = f"{name}, {len(chosen.paths)} of {chosen.source}, {seconds:.0f} s"
    subject.add(f"{of}: real-time factor", factors, unit="")
    rates = {who: [100 * word_errors(chosen.texts, texts).rate] for who, texts in heard.items()}
    subject.add(f"{of}: word error rate", {who: rates[who] for who in gauges}, unit="%")
    subject.aims.append(Aim(f"transcription, {name}: real-time factor", statistics.median(factors[OURS]), 0.01))
    if PEER in taken:
        speed = ratio(taken[PEER], taken[OURS])
        subject.aims.append(Aim(f"transcription, {name}: speed in times pocketsphinx's", speed, 50, at_most=False))
        if name != "digits":  # whose recordings are of 8 kHz, and its words few
            share = rates[OURS][0] / max(rates[PEER][0], 1e-9)
            subject.aims.append(Aim(f"transcription, {name}: errors in times pocketsphinx's", share, 0.5))


def of_peer(
    subject: Subject,
    peer: Peer,
    name: str,
    grammars: dict[str, str | None],
    paths: list[str],
    heard: dict[str, list[str]],
) -> dict[str, Gauge]:
    """Gauges of the peer with each grammar with which it can hear at all; the texts go into `heard`."""

    def seconds(who: str) -> float:
        answer = peer.ask("transcribe", who=who, paths=paths)
        heard[who] = answer["texts"]
        return answer["seconds"]

    gauges: dict[str, Gauge] = {}
    for who, path in grammars.items():
        try:
            peer.ask("open", who=who, grammar=path)
            peer.ask("transcribe", who=who, paths=paths[:1])  # what cannot run is found out before the rounds
        except PeerError as error:
            subject.leave_out(f"{who}, {name}", error)
        else:
            gauges[who] = partial(seconds, who)
    return gauges


def grammar(folder: Path) -> str:
    """A grammar of digits in any number, for pocketsphinx."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    path = folder / "digits.gram"
    path.write_text(DIGITS.format(words=" | ".join(words)) + "\n", encoding="utf-8")
    return str(path)


def word_errors(references: Sequence[str], texts: Sequence[str]) -> ErrorCounts:
    """Of all texts together."""
    total = ErrorCounts.zero()
    for reference, text in zip(references, texts, strict=True):
        total += align_tokens(normalize(reference).split(), normalize(text).split())[0]
    return total

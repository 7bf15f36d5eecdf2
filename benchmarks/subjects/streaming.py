"""Live streams of the shipped models, each with the search that it carries, and of drawn weights of 4 x 320 units a
direction that say the blank (a floor for what is decoded), features and decoding included.

A stream alone hears the recording that ships in blocks of 20 ms; its delay is the algorithmic latency of chunk and
look-ahead and the computing of the block that completes a chunk (of the blocks of a recording the median, and the
most). Many streams hear the utterances that are transcribed, one after the other, each begun elsewhere in them (what
ships where there are none: then all say the same few words, which a search remembers). They are pushed in quarters of a
chunk; a round is a chunk of each, scored by `inference.stream_pool` in batches of all that are full; streams a core are
the sound of a round over the processor time of everything in it, and a step is the scoring and decoding of a round: one
batch, and what endpoints have put out of step with the others. What is aimed at is judged by streams that there were:
of more than a core keeps up with so many count as it does. How long steps take is judged where as many streams are
stepped as are aimed at. Chunks are rounded up to whole steps, 400 ms to 420.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import asr
from asr import shipped
from asr.listen import BLOCK_SECONDS
from asr.recognizer import Recognizer
from asr.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS
from benchmarks.measure import Aim, Gauge, Setting, Subject, take_turns
from benchmarks.networks import in_int8, model_of_letters
from benchmarks.sounds import RECORDING
from benchmarks.subjects.transcription import utterances
from features import audio
from inference.stream_pool import StreamPool

LATENCIES = ((0.8, 0.4), (0.4, 0.2), (0.2, 0.1), (0.1, 0.05))
BLOCKS_A_CHUNK = 4
# Streams a core that are to be reached in int8, by model; the drawn one stands for the larger of what ships.
REACH = {"digits": 200, "english": 80, "4 x 320": 80}
# The first rounds of a pool fill its windows, and warm up.
FILLING = 2
# Steps that a 99th percentile is of, at least, and the most streams at once that so many rounds are measured of.
STEPS, MOST_FOR_STEPS = 100, 256


def measure(setting: Setting, subject: Subject) -> None:
    """A stream alone at each latency, then many at once."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        named = {name: asr.load(name, threads=setting.threads) for name in shipped.names()}
        if not setting.quick:
            named["4 x 320"] = Recognizer(model_of_letters(folder / "drawn", 4, 320))
        for name, recognizer in named.items():
            model = recognizer.model
            rate = model.extractor.rate
            samples_S, _ = audio.read(RECORDING, rate=rate)
            kinds = {"int8": recognizer}
            if model.int8 is None:
                kinds = {"float32": recognizer, "int8": Recognizer(in_int8(model, folder / f"{name} int8", samples_S))}
            alone(setting, subject, name, kinds, samples_S)
            if name in shipped.names():
                samples_S = said(setting, subject, name, rate, folder)
            together(setting, subject, name, kinds, samples_S)


def said(setting: Setting, subject: Subject, name: str, rate: int, folder: Path) -> np.ndarray:
    """Utterances of what a model is for, one after the other (S)."""
    chosen = utterances(setting, subject, name, folder)
    return np.concatenate([audio.read(path, rate=rate)[0] for path in chosen.paths])


def alone(setting: Setting, subject: Subject, name: str, kinds: dict[str, Recognizer], samples_S: np.ndarray) -> None:
    """Share of a core that one stream takes, and how long it computes where a chunk is complete."""
    typical: dict[str, list[float]] = {}
    slowest: dict[str, list[float]] = {}
    gauges: dict[str, Gauge] = {}
    notes: dict[str, str] = {}

    def heard(who: str, recognizer: Recognizer, chunk: float, lookahead: float) -> float:
        session = recognizer.stream(chunk=chunk, lookahead=lookahead)
        rate = recognizer.model.extractor.rate
        block = round(BLOCK_SECONDS * rate)
        spent = []
        for start in range(0, len(samples_S), block):
            begun = time.process_time()
            session.push(samples_S[start : start + block])
            spent.append(time.process_time() - begun)
        seconds = len(samples_S) / rate
        # Pushes that complete a chunk cost more than those that wait for one.
        scoring = sorted(spent)[-max(1, int((seconds - session.lookahead) / session.chunk)) :]
        notes[who] = f"algorithmic latency {1000 * (session.chunk + session.lookahead):.0f} ms"
        typical.setdefault(who, []).append(float(np.median(scoring)))
        slowest.setdefault(who, []).append(scoring[-1])
        return 100 * sum(spent) / seconds

    for kind, recognizer in kinds.items():
        for chunk, lookahead in LATENCIES:
            who = f"saywave {kind}, {1000 * chunk:.0f} + {1000 * lookahead:.0f} ms"
            gauges[who] = lambda who=who, one=recognizer, c=chunk, r=lookahead: heard(who, one, c, r)
    subject.add(f"{name}, one stream, share of a core", take_turns(gauges, setting.rounds), unit="%")
    for what, delays in (("computing", typical), ("most computing", slowest)):
        counted = {who: values[-setting.rounds :] for who, values in delays.items()}
        subject.add(f"{name}, one stream, {what} where a chunk is complete", counted, notes=notes)


class Crowd:
    """As many streams as a batch takes, and what they have cost.

    Attributes:
        seconds: Sound of each stream in a round, a chunk.
        rounds, steps: Processor time of each round, and of what the pool scores and decodes in it.
    """

    def __init__(self, recognizer: Recognizer, samples_S: np.ndarray, batch: int, chunk: float, lookahead: float):
        model = recognizer.model
        self._pool = StreamPool(model.scorer, streams=batch, batch=batch)
        sessions = [recognizer.stream(chunk=chunk, lookahead=lookahead) for _ in range(batch)]
        self._streams = [self._pool.open(session) for session in sessions]
        self.seconds = sessions[0].chunk
        self._block = round(self.seconds * model.extractor.rate / BLOCKS_A_CHUNK)
        self._samples_S = samples_S
        self._at = [len(samples_S) * k // batch for k in range(batch)]
        self.steps: list[float] = []
        self.rounds: list[float] = []

    def round(self) -> None:
        """A chunk of each stream."""
        begun = time.process_time()
        for _ in range(BLOCKS_A_CHUNK):
            for k, stream in enumerate(self._streams):
                places = np.arange(self._at[k], self._at[k] + self._block)
                stream.accept(self._samples_S.take(places, mode="wrap"))
                self._at[k] += self._block
        stepping = time.process_time()
        while self._pool.step():
            pass
        self.steps.append(time.process_time() - stepping)
        for stream in self._streams:
            stream.read()
        self.rounds.append(time.process_time() - begun)


def together(
    setting: Setting, subject: Subject, name: str, kinds: dict[str, Recognizer], samples_S: np.ndarray
) -> None:
    """Cost by streams at once, over three decades, and how many a core serves."""
    reached: list[Reached] = []
    aimed = REACH.get(name, 80)
    for batch in (1, 10) if setting.quick else sorted({1, 2, 4, 8, 16, 32, 64, 128, 256, 1000, aimed}):
        crowds = {k: Crowd(one, samples_S, batch, CHUNK_SECONDS, LOOKAHEAD_SECONDS) for k, one in kinds.items()}
        turns = max(setting.rounds, STEPS) if batch <= MOST_FOR_STEPS and not setting.quick else setting.rounds
        for number in range(turns + FILLING):
            for crowd in list(crowds.values())[:: -1 if number % 2 else 1]:
                crowd.round()
        where = {"size": batch, "axis": "streams at once"}
        rounds = {f"saywave {kind}": crowd.rounds[FILLING:] for kind, crowd in crowds.items()}
        steps = {f"saywave {kind}": crowd.steps[FILLING:] for kind, crowd in crowds.items()}
        counts = {
            f"saywave {k}": [batch * one.seconds / taken for taken in one.rounds[FILLING:]] for k, one in crowds.items()
        }
        subject.add(f"{name}, a chunk of each of many streams", rounds, **where)
        subject.add(f"{name}, a step of many streams", steps, **where)
        subject.add(f"{name}, streams a core at real time", counts, unit="", **where)
        late = {who: float(np.percentile(taken, 99)) for who, taken in steps.items()}
        if turns >= STEPS:
            latest = {who: [one] for who, one in late.items()} | {"a chunk": [crowds["int8"].seconds]}
            subject.add(f"{name}, 99th percentile of a step, beside a chunk", latest, **where)
        reached.append(Reached(batch, float(np.median(counts["saywave int8"])), late["saywave int8"]))
    subject.aims += aims(reached, f"streaming, {name}, int8, 400 + 200 ms", aimed)


class Reached(NamedTuple):
    """With so many streams at once: how many a core serves at that cost, and the 99th percentile of a step."""

    streams: int
    served: float
    latest: float


def aims(reached: list[Reached], what: str, bound: int) -> list[Aim]:
    """How many streams a core serves, and the slowest steps of as many as are aimed at (of the most if they are fewer).

    Args:
        reached: What was measured, the fewest streams first.
    """
    most = max(min(one.streams, one.served) for one in reached)
    enough = next((one for one in reached if one.streams >= bound), reached[-1])
    slowest = f"{what}: 99th percentile of a step of {enough.streams} streams, in seconds"
    return [
        Aim(f"{what}: streams a core at real time", most, bound, at_most=False),
        Aim(slowest, enough.latest, CHUNK_SECONDS),
    ]

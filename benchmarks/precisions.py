"""Two forms of one model of words, such as float32 and 8 bits, on the same recordings, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.precisions MODEL OTHER DATA [--rounds 7]

Prints a Markdown table of processor time, features and decoding included: medians of rounds, and of the ratios within
them. Files are heard one by one with full context; a stream is pushed in blocks of 100 ms, in chunks of 400 ms with
200 ms of look-ahead; many streams are scored as one batch, each begun elsewhere in the sound.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

import asr
from asr.recognizer import Recognizer
from asr.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS
from benchmarks.measure import Gauge, processor_time, ratio, take_turns
from benchmarks.subjects.streaming import FILLING, Crowd
from features import audio
from training.manifests import read

STREAMED_SECONDS = 60.0  # of the sound, which is enough for streams
BLOCK_SECONDS = 0.1
STREAMS = (16, 64)
CHUNKS = 10  # of each of many streams, in a round


def main() -> None:
    """Print a row for each way of hearing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs=2, metavar="MODEL")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    forms = [asr.load(name) for name in options.models]
    rate = forms[0].model.extractor.rate
    sounds = [audio.read(item.path, rate=rate)[0] for item in read(options.data, untold=True)]
    samples_S = np.concatenate(sounds)[: round(STREAMED_SECONDS * rate)]
    print(f"| processor time | {' | '.join(options.models)} | ratio |\n| --- | ---: | ---: | ---: |")
    ways = {
        "opening it": [processor_time(lambda name=name: asr.load(name).model.scorer) for name in options.models],
        "files, a second of sound": [_files(one, sounds, rate) for one in forms],
        "a stream, a second of sound": [_stream(one, samples_S, rate) for one in forms],
    }
    for streams in STREAMS:
        ways[f"{streams} streams, a second of sound of each"] = [_crowd(one, samples_S, streams) for one in forms]
    for what, gauges in ways.items():
        found = take_turns(dict(enumerate(gauges)), options.rounds)
        shown = [f"{1e3 * statistics.median(found[k]):.3g} ms" for k in (0, 1)]
        print(f"| {what} | {' | '.join(shown)} | {ratio(found[1], found[0]):.2f} |", flush=True)


def _files(recognizer: Recognizer, sounds: list[np.ndarray], rate: int) -> Gauge:
    seconds = sum(map(len, sounds)) / rate
    call = processor_time(lambda: [recognizer.transcribe((samples_S, rate)) for samples_S in sounds])
    return lambda: call() / seconds


def _stream(recognizer: Recognizer, samples_S: np.ndarray, rate: int) -> Gauge:
    block = round(BLOCK_SECONDS * rate)

    def hear() -> None:
        session = recognizer.stream(rate=rate)
        for first in range(0, len(samples_S), block):
            session.push(samples_S[first : first + block])
        session.flush()

    call = processor_time(hear)
    return lambda: call() * rate / len(samples_S)


def _crowd(recognizer: Recognizer, samples_S: np.ndarray, streams: int) -> Gauge:
    crowd = Crowd(recognizer, samples_S, streams, CHUNK_SECONDS, LOOKAHEAD_SECONDS)
    for _ in range(FILLING):
        crowd.round()

    def chunks() -> float:
        for _ in range(CHUNKS):
            crowd.round()
        return sum(crowd.rounds[-CHUNKS:]) / (CHUNKS * crowd.seconds)

    return chunks


if __name__ == "__main__":
    main()

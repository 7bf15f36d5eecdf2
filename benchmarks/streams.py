"""Streams a core at real time, scored as batches by `inference.stream_pool`: features, scoring and decoding.

    OMP_NUM_THREADS=1 python benchmarks/streams.py asr/models/digits asr/demo/digits.flac

Prints a Markdown table of processor time, for the model and for drawn weights of 4 x 320 units whose output is the
blank (a floor for what is decoded). In each round every stream gets a chunk of sound in blocks of 100 ms, and one step
scores all of them; float32 and int8 products take turns. Each stream begins elsewhere in the recording. Streams a core
are the sound of a round over the processor time of everything; a step is the scoring and decoding of one batch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from asr.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS, SpeechSession
from encoders.blstm import EncoderConfig
from encoders.export import export
from encoders.int8 import PRODUCTS, Int8
from encoders.network import Network
from encoders.ranges import input_ranges
from features import audio
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import BLANK, Model
from inference.model_changes import store_int8
from inference.stream_pool import StreamPool
from training.run import network_of

BLOCK_SECONDS = 0.1
LABELS = (BLANK, "<space>", *"abcdefghijklmnopqrstuvwxyz")


class Crowd:
    """As many streams as a batch takes, and what they have cost."""

    def __init__(self, model: Model, samples_S: np.ndarray, batch: int, chunk: float, lookahead: float):
        self._pool = StreamPool(model.scorer, streams=batch, batch=batch)
        self._streams = [self._pool.open(SpeechSession(model, chunk=chunk, lookahead=lookahead)) for _ in range(batch)]
        self._block = round(BLOCK_SECONDS * model.extractor.rate)
        self._blocks = round(chunk / BLOCK_SECONDS)
        self._sounds = [np.roll(samples_S, -len(samples_S) * k // batch) for k in range(batch)]
        self._at = 0
        self.steps: list[float] = []
        self.rounds: list[float] = []

    def round(self) -> None:
        """A chunk of each stream."""
        begun = time.process_time()
        for _ in range(self._blocks):
            places = np.arange(self._at, self._at + self._block)
            for stream, sound_S in zip(self._streams, self._sounds, strict=True):
                stream.accept(sound_S.take(places, mode="wrap"))
            self._at += self._block
        while True:
            stepping = time.process_time()
            if not self._pool.step():
                break
            self.steps.append(time.process_time() - stepping)
        for stream in self._streams:
            stream.read()
        self.rounds.append(time.process_time() - begun)


def drawn(folder: Path, layers: int, hidden: int) -> Model:
    """A model with drawn weights, of 80 bins and 30 ms steps, that says the blank."""
    torch.manual_seed(0)
    config = {"layers": layers, "hidden_size": hidden, "subsampling": [3]}
    network = Network(80, len(LABELS), EncoderConfig(**config)).eval()
    with torch.no_grad():
        network.head.linear.bias[0] = 5.0
    exported = export(network)
    extractor = FeatureExtractor(FeatureConfig(fbank=FbankConfig()), mean=np.zeros(80), std=np.ones(80))
    return models.save(
        folder, graph=exported.graph, weights=exported.weights, extractor=extractor, labels=LABELS, encoder=config,
        tokens={"unit": "char"}, card="",
    )  # fmt: skip


def in_int8(model: Model, folder: Path, samples_S: np.ndarray) -> Model:
    """The same with int8 products, whose ranges are those of the recording."""
    network = network_of(model)
    int8 = Int8(PRODUCTS, input_ranges(network, [model.extractor(samples_S)]))
    exported = export(network, int8)
    said = {"kind": PRODUCTS, "ranges": {name: list(ends) for name, ends in int8.ranges.items()}}
    return store_int8(model, folder, graph=exported.graph, weights=exported.weights, int8=said, note="drawn")


def main() -> None:
    """A row for each model, precision and batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--chunk", type=float, default=CHUNK_SECONDS)
    parser.add_argument("--lookahead", type=float, default=LOOKAHEAD_SECONDS)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128])
    options = parser.parse_args()
    latency = options.chunk, options.lookahead
    print(f"{1000 * latency[0]:.0f} + {1000 * latency[1]:.0f} ms, {options.rounds} rounds\n")
    print("| model | precision | streams in a batch | streams a core | step, ms: median | 99 % | ms a window |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        named = {"given": models.load(options.model)}
        if named["given"].int8:
            raise SystemExit(f"{options.model}: has weights of 8 bits already; give the model that it was made from")
        named[f"{options.layers} x {options.hidden}"] = drawn(Path(folder) / "drawn", options.layers, options.hidden)
        for name, model in named.items():
            samples_S, _ = audio.read(options.recording, rate=model.extractor.rate)
            kinds = {"float32": model, "int8": in_int8(model, Path(folder) / f"{name} int8", samples_S)}
            for batch in options.batches:
                crowds = {kind: Crowd(one, samples_S, batch, *latency) for kind, one in kinds.items()}
                for _ in range(options.rounds):
                    for crowd in crowds.values():
                        crowd.round()
                for kind, crowd in crowds.items():
                    # The first two rounds fill the windows.
                    streams = batch * options.chunk / float(np.mean(crowd.rounds[2:]))
                    middle, high = 1000 * np.percentile(crowd.steps, [50, 99])
                    row = f"{streams:.0f} | {middle:.1f} | {high:.1f} | {middle / batch:.2f}"
                    print(f"| {name} | {kind} | {batch} | {row} |", flush=True)


if __name__ == "__main__":
    main()

"""A step of streams as the scorer takes it, against one whose states and outputs stay where ONNX Runtime has them.

    OMP_NUM_THREADS=1 python -m benchmarks.pinned_state
    OMP_NUM_THREADS=1 python -m benchmarks.pinned_state --drawn 4 320 --streams 1 16

Pinned are inputs and outputs in arrays that are there already, and states in two sets that a step reads and writes in
turn (IO binding); frames are copied into theirs. Beside a step stands what a session computes for a chunk of its own,
with features and decoding: what can be saved is a part of that.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from asr.shipped import find
from asr.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS, SpeechSession
from benchmarks.measure import processor_time, ratio, take_turns
from benchmarks.networks import in_int8, model_of_letters
from benchmarks.sounds import speechlike
from inference import model as models
from inference.model import Model
from inference.onnx_session import open_graph

AT_LEAST = 0.02


def main() -> None:
    """Print a Markdown table: medians of rounds, and of the ratios within them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--drawn", type=int, nargs=2, metavar=("LAYERS", "UNITS"), help="weights instead of digits")
    options = parser.parse_args()
    print("| model | streams | step, ms | pinned, ms | ratio | a chunk of a session, ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        named = {"digits": models.load(find("digits"))}
        if options.drawn:
            drawn = model_of_letters(folder / "drawn", *options.drawn)
            samples_S = speechlike(10.0, rate=drawn.extractor.rate)
            named = {"drawn, float32": drawn, "drawn, int8": in_int8(drawn, folder / "int8", samples_S)}
        for name, model in named.items():
            for streams in options.streams:
                gauges = {how: processor_time(call) for how, call in steps(model, streams).items()}
                if streams == 1:
                    gauges["session"] = processor_time(pushes(model))
                found = take_turns(gauges, options.rounds, at_least=AT_LEAST)
                shown = {how: f"{1e3 * statistics.median(taken):.3f}" for how, taken in found.items()}
                kept = ratio(found["pinned"], found["scorer"])
                said = [name, str(streams), shown["scorer"], shown["pinned"], f"{kept:.3f}", shown.get("session", "-")]
                print(f"| {' | '.join(said)} |", flush=True)


def steps(model: Model, streams: int) -> dict[str, Callable[[], np.ndarray]]:
    """Both ways, each with a state of its own that it carries on; their scores are the same to the bit."""
    scorer, shift = model.scorer, model.extractor.shift_seconds
    chunk, lookahead = (scorer.frames(seconds, shift) for seconds in (CHUNK_SECONDS, LOOKAHEAD_SECONDS))
    draw = np.random.default_rng(0)
    frames_BTF = draw.standard_normal((streams, chunk + lookahead, scorer.features)).astype(np.float32)
    lengths_B = np.full(streams, chunk + lookahead)
    state = scorer.start(streams)

    def scored() -> np.ndarray:
        nonlocal state
        found = scorer(frames_BTF, lengths_B, chunk=chunk, state=state)
        state = found.state
        return found.scores_BTV

    ways = {"scorer": scored, "pinned": pinned(model, frames_BTF, lengths_B, chunk)}
    for _ in range(3):
        scores = [way() for way in ways.values()]
        assert np.array_equal(*scores), "pinned states change no score"
    return ways


def pinned(model: Model, frames_BTF: np.ndarray, lengths_B: np.ndarray, chunk: int) -> Callable[[], np.ndarray]:
    """A step by IO binding."""
    session = open_graph(model.directory / models.GRAPH)
    states = model.scorer.start(len(frames_BTF))
    held_BTF = np.empty_like(frames_BTF)
    scores_BTV = model.scorer(frames_BTF, lengths_B, chunk=chunk, state=states).scores_BTV.copy()
    place = onnxruntime.OrtValue.ortvalue_from_numpy
    inputs = {"frames": place(held_BTF), "lengths": place(lengths_B), "chunk": place(np.array(chunk))}
    outputs = {"scores": place(scores_BTV), "score_lengths": place(np.empty_like(lengths_B))}
    names = [value.name.removeprefix("state_") for value in session.get_inputs() if value.name.startswith("state_")]
    turns = [[place(part.copy()) for part in states] for _ in range(2)]
    bindings = []
    for before, after in (turns, turns[::-1]):
        binding = session.io_binding()
        read = inputs | {f"state_{name}": value for name, value in zip(names, before, strict=True)}
        written = outputs | {f"next_{name}": value for name, value in zip(names, after, strict=True)}
        for name, value in read.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in written.items():
            binding.bind_ortvalue_output(name, value)
        bindings.append(binding)

    def step() -> np.ndarray:
        held_BTF[...] = frames_BTF
        session.run_with_iobinding(bindings[0])
        bindings.reverse()
        return scores_BTV

    return step


def pushes(model: Model) -> Callable[[], object]:
    """A chunk of a live stream: features, a step, what is decoded of it."""
    session = SpeechSession(model, chunk=CHUNK_SECONDS, lookahead=LOOKAHEAD_SECONDS)
    samples_S = speechlike(session.chunk, rate=model.extractor.rate)
    return lambda: session.push(samples_S)


if __name__ == "__main__":
    main()

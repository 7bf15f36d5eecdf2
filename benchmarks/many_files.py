"""Processor time a file of many short recordings: one process with batches, and several, one by one and with batches.

    OMP_NUM_THREADS=1 python -m benchmarks.many_files
    OMP_NUM_THREADS=1 python -m benchmarks.many_files --drawn 4 320 --files 160 --longest 4

Recordings are parts of the demonstration with drawn lengths. All that the command and its processes compute is counted,
less what the same way computes for a file of each process, which is their start.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from asr.task import Recording, Settings, Transcriber
from asr.together import AT_ONCE, InBatches
from benchmarks.measure import ratio, take_turns
from benchmarks.sounds import RECORDING
from features import audio
from inference.workers import Pool, Processes


def main() -> None:
    """Print a Markdown table; the ratio is to processes that hear one file after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=800)
    parser.add_argument("--shortest", type=float, default=0.5)
    parser.add_argument("--longest", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--drawn", type=int, nargs=2, metavar=("LAYERS", "UNITS"), help="weights instead of digits")
    options = parser.parse_args()
    if not 1 <= options.jobs < options.files:
        parser.error("--jobs takes 1 or more, and --files more than that")
    one_by_one = f"{options.jobs} processes, one by one"
    pools: dict[str, Callable[[], Pool]] = {
        "one process, batches": InBatches,
        one_by_one: lambda: Processes(options.jobs, program="asr"),
        f"{options.jobs} processes, batches": lambda: Processes(options.jobs, program="asr", at_once=AT_ONCE),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch), "digits"
        if options.drawn:
            from benchmarks.networks import model_of_letters

            model = str(model_of_letters(folder / "drawn", *options.drawn).directory)
        recordings = parts(folder, options.files, options.shortest, options.longest)
        begin = partial(Transcriber, Settings(model=model))
        gauges = {name: partial(seconds_a_file, pool, begin, recordings, options.jobs) for name, pool in pools.items()}
        values = take_turns(gauges, options.rounds)
    print("| how | ms a file | ratio |\n| --- | ---: | ---: |")
    for name, taken in values.items():
        print(f"| {name} | {1e3 * statistics.median(taken):.2f} | {ratio(taken, values[one_by_one]):.2f} |")


def parts(folder: Path, count: int, shortest: float, longest: float) -> list[Recording]:
    """Recordings in a folder, of so many seconds each."""
    samples_S, rate = audio.read(RECORDING)
    draw, recordings = np.random.default_rng(0), []
    for number in range(count):
        path, begin = folder / f"{number}.wav", draw.integers(len(samples_S))
        places = begin + np.arange(int(draw.uniform(shortest, longest) * rate))
        audio.write(path, samples_S.take(places, mode="wrap"), rate)
        recordings.append(Recording(str(path), path.name, path.stem, several=True))
    return recordings


def seconds_a_file(
    pool: Callable[[], Pool], begin: Callable[[], Transcriber], recordings: Sequence[Recording], few: int
) -> float:
    """Processor time of each recording beyond the first few, for which all processes start, too."""
    start, all_ = (spent(pool(), begin, some) for some in (recordings[:few], recordings))
    return (all_ - start) / (len(recordings) - few)


def spent(pool: Pool, begin: Callable[[], Transcriber], recordings: Sequence[Recording]) -> float:
    """Processor time of this process and of those that it has started and that are over."""
    before = used_so_far()
    assert len(list(pool.run(begin, recordings, lambda *_: None))) == len(recordings)
    return used_so_far() - before


def used_so_far() -> float:
    """Processor time in seconds, exact to microseconds: the ticks of `os.times` are longer than a short file takes."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()

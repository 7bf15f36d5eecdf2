"""Training time and memory against the amount of data: one pass over 1, 2 and 4 times as much, in fresh processes.

    OMP_NUM_THREADS=1 python -m benchmarks.training_scale DATA --rounds 3 --json scale.json
    OMP_NUM_THREADS=1 python -m benchmarks.training_scale DATA --seconds 300 --encoder.hidden_size 128

DATA is whatever `asr train` takes: a folder, a table, a manifest, kaldi:DIR. Its recordings are shuffled; a few are
kept as development set, and the others become manifests of 1, 2 and 4 parts of equal length, each within the next.
Every run is `asr train` for one pass with a small network, in a process of its own. Options that are not listed below
go to `asr train`, where they win over what is set here.

What a run costs whatever the data (imports, the development set, the model directory) is measured by a run that trains
on the development set, and taken away before the fit: time beyond it grows with the data to the power that is printed,
1 being linear; a straight line through all runs is the second view of it. Memory is fitted as it is: 0 is constant.
The cache of decoded recordings, which grows to what `--loop.cache_mb` says, is off.

Prints a Markdown table of medians: processor time of all processes of a run; wall time; the most memory that they held
together, looked at every 0.1 s, shared pages counted once (Linux alone); the highest resident memory of the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.items import Item
from training.manifests import cut, read, write

ROOT = Path(__file__).resolve().parent.parent
LOOK_SECONDS = 0.1
SETTINGS = {
    "loop.epochs": 1,
    "loop.batch_frames": 3000,
    "loop.workers": 0,
    "loop.threads": 1,
    "loop.cache_mb": 0,
    "loop.keep": "last",
    "loop.patience": 0,
    "encoder.layers": 3,
    "encoder.hidden_size": 192,
}


class Run(NamedTuple):
    """One training: `parts` of the data (0 is the development set alone), and what it cost, memory in MB."""

    parts: int
    hours: float
    recordings: int
    processor_seconds: float
    wall_seconds: float
    together_mb: float
    largest_mb: float


class Held(NamedTuple):
    """Memory in MB: of all processes, pages that several share counted once, and the most that one of them had."""

    together_mb: float
    largest_mb: float


class Fit(NamedTuple):
    """The powers of the data that time beyond the fixed cost and memory grow with."""

    time: float
    together: float
    largest: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table and the fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4], help="how many parts (default: 1 2 4)")
    parser.add_argument("--seconds", type=float, help="sound in a part (default: all there is, divided by the most)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each size, in turns (default: 1)")
    parser.add_argument("--dev", type=int, default=20, help="recordings of the development set (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run and the fit to FILE")
    options, settings = parser.parse_known_args(arguments)
    sizes = sorted({*options.parts})
    if len(sizes) < 2 or sizes[0] < 1 or options.rounds < 1 or options.dev < 1:
        parser.error("give two different --parts at least, and 1 or more of --parts, --rounds and --dev")
    settings = [*(f"--{name}={value}" for name, value in SETTINGS.items()), *settings]
    dev, sets = divided(read(options.data), sizes, dev=options.dev, seconds=options.seconds, seed=options.seed)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sets = {0: dev, **sets}
        manifests = {parts: write_manifest(folder / f"{parts}.jsonl.gz", items) for parts, items in sets.items()}
        trained(manifests[0], manifests[0], folder / "out", settings)  # what is compiled and cached once
        for _ in range(options.rounds):
            for parts, items in sets.items():
                figures = trained(manifests[parts], manifests[0], folder / "out", settings)
                runs.append(Run(parts, hours_of(items), len(items), *figures))
                print(f"{parts} parts: {figures[0]:.1f} s of processor time", file=sys.stderr, flush=True)
    print(table(runs))
    fits = [fitted(runs[k : k + len(sets)]) for k in range(0, len(runs), len(sets))]
    print(f"\n{said(fits)}")
    hourly, fixed, off = straight(runs)
    print(
        f"A straight line: {hourly:.0f} s an hour of sound and {fixed:.1f} s besides; runs are {off:.1%} off at most."
    )
    if too_little(runs):
        print(
            "The smallest size costs less than half of the fixed cost beyond it: give more data, or a larger network."
        )
    if options.json:
        found = {"settings": settings, "runs": [run._asdict() for run in runs], "fits": [fit._asdict() for fit in fits]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def divided(
    items: Sequence[Item], sizes: Sequence[int], *, dev: int, seconds: float | None, seed: int
) -> tuple[list[Item], dict[int, list[Item]]]:
    """A development set, and so many parts of the rest for each size, as near to `seconds` each as items allow."""
    order = np.random.default_rng(seed).permutation(len(items))
    shuffled = [items[k] for k in order]
    kept, rest = shuffled[:dev], shuffled[dev:]
    ends = np.cumsum([item.duration for item in rest])
    there = float(ends[-1]) if len(rest) else 0.0
    part = there / sizes[-1] if seconds is None else seconds
    if not 0 < part * sizes[-1] <= there + 1e-6:
        raise SystemExit(
            f"{part * sizes[-1]:.0f} s are wanted besides the development set, and {there:.0f} s are there"
        )
    sets = {size: rest[: int(np.searchsorted(ends, part * size - 1e-6)) + 1] for size in sizes}
    if len({len(found) for found in sets.values()}) < len(sizes):
        raise SystemExit("the recordings are too few for parts of different size; give more data or fewer --parts")
    return kept, sets


def write_manifest(path: Path, items: Sequence[Item]) -> Path:
    """A manifest of these recordings, or of the stretches of them that the items are."""
    cuts = []
    for number, item in enumerate(items):
        whole = cut(f"{number}-{item.id}", item.path, item.text, speaker=item.speaker)
        is_part = item.start > 0 or item.duration < whole.duration - 1e-3
        cuts.append(whole.truncate(offset=item.start, duration=item.duration) if is_part else whole)
    return write(path, cuts)


def hours_of(items: Sequence[Item]) -> float:
    """Hours of sound."""
    return sum(item.duration for item in items) / 3600


def trained(train: Path, dev: Path, out: Path, settings: Sequence[str]) -> tuple[float, float, float, float]:
    """Train in a new process; processor and wall time (s), memory of all its processes and of the largest (MB)."""
    with tempfile.TemporaryDirectory(dir=out.parent) as fresh, open(out.with_suffix(".log"), "w+b") as log:
        command = [sys.executable, "-m", "asr", "train", str(train), "--dev", str(dev), "--out", fresh, *settings]
        started = time.monotonic()
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            held, status, usage = watched(child.pid)
        except BaseException:
            child.kill()
            raise
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"asr train ended with {child.returncode}:\n{log.read().decode(errors='replace')[-2000:]}")
    # What the kernel says at the end is never less than what this process held when it started the other.
    largest = held.largest_mb or usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    return usage.ru_utime + usage.ru_stime, wall, held.together_mb, largest


def watched(process: int) -> tuple[Held, int, resource.struct_rusage]:
    """Wait for a process: the most memory that was seen, how it ended, and what it used."""
    most = Held(0.0, 0.0)
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return most, status, usage
        most = Held(*map(max, most, held_by(process)))
        time.sleep(LOOK_SECONDS)


def held_by(process: int) -> Held:
    """The memory of a process and of all below it; zeros where it cannot be seen."""
    together, largest, waiting = 0, 0, [process]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        try:
            share, highest = (
                kilobytes(folder / file, of) for file, of in (("smaps_rollup", "Pss"), ("status", "VmHWM"))
            )
            below = [children.read_text(encoding="ascii").split() for children in folder.glob("task/*/children")]
        except OSError:
            continue  # it has ended meanwhile, or there is no such file system
        together, largest = together + share, max(largest, highest)
        waiting += [int(child) for found in below for child in found]
    return Held(together * 1.024e-3, largest * 1.024e-3)


def kilobytes(file: Path, name: str) -> int:
    """An amount of 1,024 bytes that a file of Linux's /proc names; 0 if it does not, as of what has ended."""
    lines = (line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [f"{name}:"]), 0)


def power(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """The p of costs = a * amounts ** p, by least squares of the logarithms; not a number where a cost is none."""
    if min(costs) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(amounts), np.log(costs), 1)[0])


def straight(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Processor seconds an hour of sound and besides, by least squares, and how far off a run is, as a share of it."""
    hours, seconds = (np.array([getattr(run, name) for run in runs]) for name in ("hours", "processor_seconds"))
    hourly, fixed = np.polyfit(hours, seconds, 1)
    return float(hourly), float(fixed), float(np.max(np.abs(hourly * hours + fixed - seconds) / seconds))


def fitted(runs: Sequence[Run]) -> Fit:
    """The fit of one round: the run on the development set, then the others."""
    base, *others = runs
    hours = [run.hours for run in others]
    return Fit(
        power(
            [more - base.hours for more in hours], [run.processor_seconds - base.processor_seconds for run in others]
        ),
        power(hours, [run.together_mb for run in others]),
        power(hours, [run.largest_mb for run in others]),
    )


def table(runs: Sequence[Run]) -> str:
    """Medians of the rounds, a row for each size."""
    lines = [
        "| parts | hours | recordings | processor s | beyond fixed | wall s | MB together | MB of the largest |",
        "| ---: " * 8 + "|",
    ]
    by_size: dict[int, list[Run]] = {}
    for run in runs:
        by_size.setdefault(run.parts, []).append(run)
    fixed = 0.0
    for parts, found in by_size.items():
        seconds, wall, together, largest = (statistics.median(column) for column in list(zip(*found, strict=True))[3:])
        fixed = fixed if parts else seconds
        beyond = f"{seconds - fixed:.1f}" if parts else "-"
        row = f"{found[0].hours:.3f} | {found[0].recordings} | {seconds:.1f} | {beyond} | {wall:.1f} | {together:.0f}"
        lines.append(f"| {parts or 'development'} | {row} | {largest:.0f} |")
    return "\n".join(lines)


def said(fits: Sequence[Fit]) -> str:
    """The median of each power, with the least and the most of the rounds."""
    names = ("Processor time beyond the fixed cost", "memory together", "memory of the largest process")
    spread = []
    for name, values in zip(names, zip(*fits, strict=True), strict=True):
        # Zero is added so that no zero is negative.
        middle, least, most = (round(found, 2) + 0.0 for found in (statistics.median(values), min(values), max(values)))
        rounds = f" ({least:.2f} to {most:.2f})" if len(values) > 1 else ""
        spread.append(f"{name}: data to the power {middle:.2f}{rounds}")
    return "; ".join(spread) + "."


def too_little(runs: Sequence[Run]) -> bool:
    """Whether the smallest size costs so little beyond the fixed cost that the fit is of noise."""
    seconds = {
        parts: [run.processor_seconds for run in runs if run.parts == parts] for parts in {run.parts for run in runs}
    }
    fixed, least = (statistics.median(seconds[parts]) for parts in sorted(seconds)[:2])
    return least < 1.5 * fixed


if __name__ == "__main__":
    main()

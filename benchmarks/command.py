"""The command `python -m benchmarks`: every subject in one run, and a report of it.

Threads are chosen before NumPy and torch are loaded, which read their number once: nothing is imported above that
loads them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inference.shell import CommandParser, guarded

PROGRAM = "python -m benchmarks"
SUBJECTS = (
    "features",
    "encoder",
    "decoders",
    "transcription",
    "streaming",
    "startup",
    "memory",
    "training",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ROUNDS, QUICK_ROUNDS = 9, 2


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = CommandParser(
        prog=PROGRAM,
        description="Measure everything beside its peers in one run, and write report.md, report.json and a plot for "
        "each subject. Everything that is compared takes its turn in each round; times are processor time.",
    )
    made.add_argument("--out", type=Path, default=Path("report"), help="folder of the report (report)")
    made.add_argument("--only", nargs="+", choices=SUBJECTS, metavar="SUBJECT", help=f"some of {', '.join(SUBJECTS)}")
    made.add_argument("--rounds", type=_positive, help=f"turns of everything ({ROUNDS}; {QUICK_ROUNDS} with --quick)")
    made.add_argument("--quick", action="store_true", help="small sizes and few rounds: whether it runs, not how fast")
    made.add_argument("--threads", type=_positive, default=1, help="threads of everything that is timed (1)")
    made.add_argument(
        "--peers",
        type=Path,
        metavar="DIR",
        help="environments of the peers that the training environment has not got; made here with pip where they are "
        "not there yet (without it these peers are named as absent)",
    )
    made.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with fsdd/ and speechocean762/, whose utterances are transcribed and streamed (the recording that "
        "comes with it)",
    )
    return made


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        0; 1 where a subject could not be measured, which the report says; 2 where the report cannot be written.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    typed = parser()
    options = typed.parse_args(given)
    if options.data is not None and not options.data.is_dir():
        typed.error(f"--data {options.data}: there is no such folder")
    for name in THREADS:
        os.environ[name] = str(options.threads)
    os.environ["MPLBACKEND"] = "Agg"
    return guarded(PROGRAM, partial(run, options, command=f"{PROGRAM} {shlex.join(given)}".rstrip()))


def run(options: argparse.Namespace, *, command: str) -> int:
    """Measure the subjects that were asked for, one after the other, and write the report."""
    # What these import reads how many threads there are to be.
    from importlib import import_module

    from benchmarks import machine, report
    from benchmarks.measure import Setting, Subject
    from benchmarks.peers import Peers

    options.out.mkdir(parents=True, exist_ok=True)  # what cannot be written takes no time first
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    subjects: list[Subject] = []
    with Peers(options.peers) as peers:
        setting = Setting(rounds, options.quick, options.threads, peers, options.data)
        about = machine.about(command, threads=options.threads, rounds=rounds, quick=options.quick)
        for name in [name for name in SUBJECTS if name in (options.only or SUBJECTS)]:
            begun = time.monotonic()
            print(f"{name} ...", end="", file=sys.stderr, flush=True)
            subject = Subject(name, "")
            try:
                module = import_module(f"benchmarks.subjects.{name}")
                subject.text = module.__doc__
                module.measure(setting, subject)
            except Exception as error:  # one subject that fails must not take the others' hours with it
                subject.failed = f"{type(error).__name__}: {error}"
            subjects.append(subject)
            print(f" {time.monotonic() - begun:.0f} s {subject.failed or ''}", file=sys.stderr, flush=True)
            about |= machine.loaded_packages(peers.versions)
            report.write(options.out, about, subjects)  # what is measured is kept, whatever comes
    print(options.out / report.MARKDOWN)
    return 1 if any(subject.failed for subject in subjects) else 0

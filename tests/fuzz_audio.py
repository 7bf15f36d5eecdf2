"""Damages sound files at random and checks that each ends in text or in one line that says what is wrong.

    python tests/fuzz_audio.py --cases 2000 --seed 0                        # features.audio.read
    python tests/fuzz_audio.py --cases 2000 --target transcribe             # asr.cli.main(["transcribe", FILE])
    python tests/fuzz_audio.py --cases 50 --command "asr transcribe {}"     # a fresh process each

Decoders are C libraries that can bring a process down, so the files are opened in child processes. A child lives on
from case to case, is replaced when it dies, and is killed when one case takes too long. Good endings are exit code 0,
and exit code 1 or 2 with exactly one line on standard error; a traceback, a signal, any other code, a hang, and for
`read` any output of a library are failures. Their files are kept, with a note on each.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import select
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from damaged_audio import make_seeds, mutate

# Python puts the script's folder first, where `asr` and `features` are folders of tests.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

TIME_LIMIT = 20.0  # seconds a case
MEMORY_LIMIT = 8 << 30  # bytes of address space a child may have
UNEXPECTED = 70  # exit code of a target that raised what it should not

# ---------------------------------------------------------------- targets, in the child


def target_read(path: str) -> int:
    from features import audio

    try:
        samples, rate = audio.read(path, rate=16000)
    except audio.AudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(samples) / rate:.3f} s")
    return 0


def target_transcribe(path: str) -> int:
    from asr import cli

    try:
        return int(cli.main(["transcribe", path]) or 0)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0


TARGETS = {"read": target_read, "transcribe": target_transcribe}


def serve(target: Callable[[str], int]) -> None:
    """The child: run the target on each case that comes on standard input, its output going to the files named."""
    import faulthandler
    import resource

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        case = json.loads(line)
        for descriptor, name in ((1, case["out"]), (2, case["err"])):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, descriptor)
            os.close(file)
        try:
            code = target(case["path"])
        except BaseException:
            traceback.print_exc()
            code = UNEXPECTED
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps(code), file=answers, flush=True)


# ---------------------------------------------------------------- parent


@dataclass
class Ending:
    """How a case ended: `code` is the exit code, None if the process hung or died, which `problem` then says."""

    code: int | None
    problem: str
    errors: str


class Child:
    """A process that runs one case after another."""

    def __init__(self, target: str, folder: Path, number: int) -> None:
        self._arguments = [sys.executable, str(Path(__file__).resolve()), "--serve", "--target", target]
        self._out, self._err = (folder / f"child{number}.{kind}" for kind in ("out", "err"))
        self._process: subprocess.Popen[str] | None = None

    def run(self, path: Path) -> Ending:
        if self._process is None:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        process = self._process
        for file in (self._out, self._err):
            file.write_bytes(b"")
        case = {"path": str(path), "out": str(self._out), "err": str(self._err)}
        with contextlib.suppress(BrokenPipeError):  # dead already: seen below, where nothing comes back
            print(json.dumps(case), file=process.stdin, flush=True)
        code, problem = None, ""
        if not select.select([process.stdout], [], [], TIME_LIMIT)[0]:
            problem = f"hung for {TIME_LIMIT:.0f} s"
            self.close()
        else:
            answer = process.stdout.readline()
            if answer:
                code = json.loads(answer)
            else:
                problem = f"process died with {process.wait()}"
                self.close()
        return Ending(code, problem, self._err.read_text(errors="replace"))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def run_command(command: str, path: Path) -> Ending:
    """One case in a process of its own; `{}` in the command stands for the file."""
    arguments = [str(path) if word == "{}" else word for word in shlex.split(command)]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return Ending(None, f"hung for {TIME_LIMIT:.0f} s", "")
    if done.returncode < 0:
        return Ending(None, f"process died with {done.returncode}", done.stderr)
    return Ending(done.returncode, "", done.stderr)


def judge(ending: Ending, *, strict: bool) -> str:
    """What is wrong with the way a case ended; empty if nothing is."""
    lines = [line for line in ending.errors.splitlines() if line.strip()]
    if ending.problem:
        return ending.problem
    if "Traceback (most recent call last)" in ending.errors:
        return "traceback"
    if ending.code not in (0, 1, 2):
        return f"exit code {ending.code}"
    if ending.code and len(lines) != 1:
        return f"exit code {ending.code} with {len(lines)} lines on standard error"
    if strict and not ending.code and lines:
        return "noise on standard error"
    return ""


@dataclass
class Report:
    """How many cases ended in which way, a line on each that failed, and the longest that one took, in seconds."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0


def fuzz(
    *, cases: int, seed: int, target: str, command: str | None, keep: Path, jobs: int, recordings: Path | None
) -> Report:
    """Run the cases, `jobs` at a time. Case i is damaged in the same way for the same seed."""
    report = Report()
    lock = threading.Lock()
    numbers = iter(range(cases))

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name)
        seeds = make_seeds(folder)
        if recordings is not None:
            seeds += sorted(path for path in recordings.iterdir() if path.is_file())

        def run_case(number: int, child: Child) -> None:
            data, suffix, what = mutate(seeds, np.random.default_rng([seed, number]))
            path = folder / f"case{number}{suffix}"
            path.write_bytes(data)
            began = time.monotonic()
            ending = run_command(command, path) if command else child.run(path)
            seconds = time.monotonic() - began
            problem = judge(ending, strict=target == "read" and not command)
            path.unlink()
            with lock:
                report.counts[problem or ("text" if ending.code == 0 else "one-line error")] += 1
                report.slowest = max(report.slowest, seconds)
                if problem:
                    report.failures.append(f"{path.name} ({what}): {problem}")
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(data)
                    (keep / f"{path.name}.txt").write_text(f"{what}\n{problem}\n\n{ending.errors}")

        def work(worker: int) -> None:
            child = Child(target, folder, worker)
            try:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        break
                    run_case(number, child)
            finally:
                child.close()

        for finished in [pool.submit(work, worker) for worker in range(jobs)]:
            finished.result()
    return report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS), default="read", help="what the children run")
    parser.add_argument("--command", help="instead: a command line, run for each case, with {} for the file")
    parser.add_argument("--seeds", type=Path, help="folder of further recordings to damage")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where the files that fail are kept")
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(TARGETS[options.target])
        return 0
    began = time.monotonic()
    report = fuzz(
        cases=options.cases,
        seed=options.seed,
        target=options.target,
        command=options.command,
        keep=options.keep,
        jobs=options.jobs,
        recordings=options.seeds,
    )
    for failure in report.failures:
        print(failure)
    for ending, count in report.counts.most_common():
        print(f"{count:6d}  {ending}")
    print(
        f"{options.cases} cases, {len(report.failures)} failures, "
        f"{time.monotonic() - began:.0f} s, the slowest case {report.slowest:.1f} s"
    )
    if report.failures:
        print(f"the files are in {options.keep}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())

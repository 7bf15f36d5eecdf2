"""What using a model costs: the light install, the first word after the shell prompt, and memory over an hour of sound.

    python benchmarks/footprint.py [--repeat 7]

Makes a fresh environment in a temporary folder, installs this checkout into it with pip, and measures there:
size and time of the install, `asr --help`, `asr transcribe` on three seconds of the shipped recording, and the highest
memory of `asr transcribe` on a minute, ten minutes and an hour of it, repeated. Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDING = ROOT / "asr" / "demo" / "digits.flac"
MINUTES = (1, 10, 60)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7, help="runs of each command; the median is shown")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        print("| what | figure |\n| --- | --- |")
        python, bare = environment(folder)
        started = time.monotonic()
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)], check=True
        )
        print(f"| light install, time | {time.monotonic() - started:.0f} s |")
        print(f"| light install, size beyond an empty environment | {(size(folder / 'env') - bare) / 1e6:.0f} MB |")
        asr = folder / "env" / "bin" / "asr"
        three = folder / "three.wav"
        subprocess.run([python, "-c", CUT, str(RECORDING), str(three)], check=True)
        for name, command in (
            ("`asr --help`", [asr, "--help"]),
            ("`asr transcribe` on three seconds", [asr, "transcribe", three]),
        ):
            seconds = [timed(command) for _ in range(repeat)]
            spread = f"{min(seconds):.2f}, {max(seconds):.2f}"
            print(f"| {name}, median of {repeat} (least, most) | {statistics.median(seconds):.2f} s ({spread}) |")
        for minutes in MINUTES:
            long = folder / "long.wav"
            subprocess.run([python, "-c", REPEAT, str(RECORDING), str(long), str(minutes * 60)], check=True)
            seconds, peak = measured([asr, "transcribe", long])
            print(f"| {minutes} min of sound: highest memory, time | {peak:.0f} MB, {seconds:.1f} s |")


CUT = (
    "import sys; from features import audio; s, r = audio.read(sys.argv[1], duration=3.0); "
    "audio.write(sys.argv[2], s, r)"
)
REPEAT = (
    "import sys, numpy; from features import audio; s, r = audio.read(sys.argv[1]); "
    "audio.write(sys.argv[2], numpy.resize(s, int(float(sys.argv[3]) * r)), r)"
)


def environment(folder: Path) -> tuple[Path, int]:
    """A fresh virtual environment: its Python, and its size in bytes."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    return folder / "env" / "bin" / "python", size(folder / "env")


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def timed(command: list) -> float:
    """Seconds that a command takes."""
    return measured(command)[0]


def measured(command: list) -> tuple[float, float]:
    """Seconds that a command takes, and the most memory that it held, in MB."""
    started = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, cwd=os.sep)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command}: exit code {child.returncode}")
    return time.monotonic() - started, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()

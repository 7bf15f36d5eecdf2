"""Other implementations, each in an environment of its own, where their versions disturb nothing of ours.

A peer is a program of `peer_programs` that runs in its environment, reads requests as lines of JSON and answers so:
see `peer_programs/serve.py`. It measures its own processor time, so that it takes its turn as what runs here does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.environments import of_their_own
from benchmarks.measure import Gauge

PROGRAMS = Path(__file__).resolve().parent / "peer_programs"
READY = ".installed"
# What pip installs for each: kaldi-native-fbank and the others of features do not disturb each other.
REQUIREMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "features": ("kaldi-native-fbank>=1.20", "librosa>=0.11", "python_speech_features==0.6", "numpy>=2,<2.5"),
        "pyctcdecode": ("pyctcdecode==0.5.0", "kenlm", "numpy<2"),
        "pocketsphinx": ("pocketsphinx==5.1.1", "numpy>=2"),
        "speechbrain": ("speechbrain==1.1.*", "torch==2.11.*", "torchaudio==2.11.*"),
    }
)


class PeerError(ValueError):
    """A peer cannot be installed, does not start, or fails; the message says why, in one line."""


class Peer:
    """A program in another environment.

    Args:
        python: Interpreter of that environment.
        program: File to run.
    """

    def __init__(self, python: Path | str, program: Path):
        self._name = program.stem
        answers, written = os.pipe()
        # A pipe that nobody reads would fill; `close` closes it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), str(program), str(written)],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            pass_fds=[written],
            env=of_their_own(),
        )
        os.close(written)
        self._answers = open(answers, encoding="utf-8")  # noqa: SIM115

    def ask(self, do: str, **values: object) -> Any:
        """The answer to a request.

        Raises:
            PeerError: it says that it cannot, or has ended.
        """
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip().splitlines()
            raise PeerError(f"{self._name} has ended: {said[-1] if said else 'it says nothing'}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self._name}: {answer['error']}")
        return answer["result"]

    def gauge(self, do: str, **values: object) -> Gauge:
        """A gauge that asks it for the processor time of something."""
        return lambda: float(self.ask(do, **values))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._answers, self._said):
            file.close()


class Peers:
    """The environments in a folder, and the programs that run in them; closing ends these.

    Args:
        folder: Where environments are kept; none has no peers.

    Attributes:
        versions: Of what was opened so far.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._running: dict[str, Peer] = {}
        self._failed: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._running.values():
            peer.close()

    def open(self, name: str) -> Peer:
        """The running program of a peer, whose environment is made where it is not there yet.

        Raises:
            PeerError: it cannot be had.
        """
        if name not in self._running:
            peer = Peer(self.python(name), PROGRAMS / f"{name}_peer.py")
            try:
                self.versions |= peer.ask("versions")
            except PeerError as error:
                peer.close()
                self._failed[name] = str(error)
                raise
            self._running[name] = peer
        return self._running[name]

    def python(self, name: str) -> Path:
        """The interpreter of a peer's environment, which is made once; what failed is not tried again.

        Raises:
            PeerError: no environments are kept, or pip cannot make this one.
        """
        if self._folder is None:
            raise PeerError("needs an environment of its own: --peers DIR")
        if name in self._failed:
            raise PeerError(self._failed[name])
        try:
            return self._made(self._folder.resolve() / name, name)
        except PeerError as error:
            self._failed[name] = str(error)
            raise

    @staticmethod
    def _made(place: Path, name: str) -> Path:
        python = place / "bin" / "python"
        wanted = "\n".join(REQUIREMENTS[name])
        ready = place / READY
        if not (ready.exists() and ready.read_text(encoding="utf-8") == wanted):
            print(f" installing {name} ...", end="", file=sys.stderr, flush=True)
            _run([sys.executable, "-m", "venv", "--clear", place], f"{place}: no environment can be made")
            _run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]], f"pip cannot install {name}")
            ready.write_text(wanted, encoding="utf-8")
        return python


def _run(command: list, failed: str) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PeerError(f"{failed}: {said[-1] if said else f'exit code {done.returncode}'}")

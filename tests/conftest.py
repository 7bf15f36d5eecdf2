"""What every test may use: the place of the real recordings, and a fixed number of threads."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The arrays of tests are small: more threads would only wait for each other. Set before anything imports torch, and for
# child processes too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait sleep: spinning would take the processor from the tests of other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell's job in the background ignores Ctrl-C, and so would every program that a test starts and then interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about what else the machine does than about the program. The examples are the same
# each time, so that a change is blamed for what it broke alone, and more of them would tell little more;
# `--hypothesis-profile=explore` looks for new ones. Where an example takes long a test asks for a share of them.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("saywave", calm, max_examples=40, derandomize=True)
settings.register_profile("quick", settings.get_profile("saywave"), max_examples=20)
settings.register_profile("explore", calm, max_examples=500)
settings.load_profile("saywave")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """The quick suite draws half as many examples as all tests do."""
    if config.getoption("markexpr") == "not slow" and not config.getoption("--hypothesis-profile", None):
        settings.load_profile("quick")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings and landmarks that lies beside the checkout on the project's machines."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data beside the checkout: the real recordings are not here")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder that all processes of the run take: (name, what fills it) -> the folder.

    The first one that asks makes it, and the others wait; nobody may change it afterwards.
    """
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a folder of its own in that of the run
        base = base.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.made"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def lstm_directory(tmp_path_factory: pytest.TempPathFactory):
    """Makes the directory of an LSTM language model with drawn weights, of words (or letters) and a seed."""
    import numpy as np
    import torch

    from encoders.export_language import export
    from encoders.language import LanguageConfig, LanguageNetwork
    from inference import lstm_lm

    def make(words: list[str], unit: str = "word", *, seed: int = 0, layers: int = 1) -> Path:
        torch.manual_seed(seed)
        everything = ["</s>", "<unk>", *words]
        counts = np.arange(1, len(everything) + 1)
        shape = LanguageConfig(layers=layers, hidden_size=12, embedding_size=8)
        network = LanguageNetwork(np.log(counts / counts.sum()), shape).eval()
        for parameter in network.parameters():  # so that what comes next depends on what came before
            parameter.data.mul_(2.0)
        graph, weights = export(network)
        directory = tmp_path_factory.mktemp("lstm") / "model"
        lstm_lm.save(
            directory, graph=graph, weights=weights, words=everything, unit=unit, network={}, card="# A card\n"
        )
        return directory

    return make


@pytest.fixture(scope="session")
def on_terminal() -> Callable[[Sequence[str], Path], tuple[int, bytes]]:
    """Run a command whose standard error is a terminal: (command, file of its output) -> exit code, what it showed."""

    def run(command: Sequence[str], output: Path) -> tuple[int, bytes]:
        import pty  # there are none on Windows

        ours, theirs = pty.openpty()
        with open(output, "wb") as file:
            running = subprocess.Popen(command, stdout=file, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is gone when nobody holds it any more
            while read := os.read(ours, 4096):
                shown += read
        os.close(ours)
        return running.wait(timeout=120), shown

    return run


@pytest.fixture(scope="session")
def in_float32() -> Callable[[Path, Path], Path]:
    """Write a model that one of 8 bits, such as those that ship, may have been rounded from: (it, directory)."""
    import torch

    from encoders.export import export
    from inference import model as models
    from inference.model_changes import store_calibration
    from training.run import network_of

    def make(source: Path, directory: Path) -> Path:
        small = models.load(source)
        network, drawn = network_of(small), torch.Generator().manual_seed(0)
        # Off the grid of 8 bits, whose steps are a 127th of the largest, or rounding to it would change nothing.
        for weight in network.state_dict().values():
            weight += (torch.rand(weight.shape, generator=drawn) - 0.5) * weight.abs().max() / 150
        written = export(network)
        models.save(
            directory,
            graph=written.graph,
            weights=written.weights,
            extractor=small.extractor,
            labels=small.labels,
            encoder=small.encoder,
            head=small.head,
            tokens=small.tokens,
            latency=small.latency,
            card="# A card\n",
        )
        return store_calibration(directory, small.calibration).directory

    return make

"""One recipe with each cell of the LSTM family: same settings, same budget, several seeds, and what the cell changes.

After the ablation of Greff et al. 2017 (LSTM: A Search Space Odyssey). They search the settings of each variant at
random, 200 times, and compare its best tenth; here every cell has the settings of the recipe, and what spreads is the
seed. The hidden size is the same, so numbers of parameters differ and are in the table.

One thing differs besides the cell: rnn, lstm, lstmp and gru_cudnn have torch's parameters, two biases a gate that add
up, and so their sum moves twice as fast as the one bias of the others. The report says so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import ModuleType

import torch
from safetensors.numpy import load_file

from encoders.cells import CELLS
from inference.files import write_bytes, write_text
from inference.model import WEIGHTS
from inference.progress import with_bar
from inference.shell import one_line
from recipes import stages
from recipes.ablation_report import Comparison, Runs, plot, reference_of, summary, to_markdown
from training.loop import DivergedError
from training.manifests import ManifestError
from training.run import Settings, shell_command

SEEDS = (0, 1, 2)
# Of one cell and seed: why there is no model, and the seconds of processor time that its training took.
DIVERGED, SECONDS = "diverged.txt", "seconds.txt"
# In the place of seconds while a training runs: if it is killed, nobody knows how long it took.
UNKNOWN = "unknown"
# Of one cell, where several are trained side by side: what its process says.
OUTPUT = "training.txt"


class AblationError(ValueError):
    """The comparison cannot be begun or ended; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """Which networks are trained.

    Attributes:
        configs: The settings for each cell, but for the seed.
        seeds: Each cell is trained once with each.
        jobs: Cells that are trained side by side.
    """

    configs: dict[str, Settings]
    seeds: tuple[int, ...]
    jobs: int = 1

    @classmethod
    def of(cls, config: Settings, cells: Sequence[str], seeds: Sequence[int] | None, jobs: int) -> Plan:
        """The plan for some cells, or `all`.

        Raises:
            ValueError: a cell does not have an option of the encoder that is set, or there is no such seed.
        """
        if jobs < 1:
            raise AblationError(f"--jobs is {jobs}; it must be at least 1")
        chosen = CELLS if "all" in cells else dict.fromkeys(cells)
        seeds = tuple(dict.fromkeys(seeds or SEEDS))
        for seed in seeds:
            replace(config.loop, seed=seed)  # which refuses some
        return cls({cell: replace(config, encoder=replace(config.encoder, cell=cell)) for cell in chosen}, seeds, jobs)


def train(recipe: ModuleType, name: str, plan: Plan, out: Path, arguments: Sequence[str]) -> None:
    """Train every cell with every seed, or go on; what is finished is passed over.

    A training that diverges is noted, and stops no other.

    Args:
        recipe: Its module `prepare`.
        name: Its name.
        plan: Cells and seeds.
        out: Folder of the recipe's run; each network goes to `CELL/seedN` in it.
        arguments: The command line of the recipe.

    Raises:
        AblationError: the process of some cell failed; those of others have ended well before.
        ValueError, OSError: as any training.
    """
    if plan.jobs > 1 and len(plan.configs) > 1:
        _train_side_by_side(name, plan, out, arguments)
        return
    command = shell_command(["python", "-m", "recipes", name, *arguments])
    manifests = out / "manifests"
    start_from = {
        cell: stages.pretrained(recipe, name, config.loop, manifests, out / cell, command=command, cell=cell)
        for cell, config in plan.configs.items()
    }
    # Seeds outside: a comparison that is cut short has every cell.
    for number, (seed, cell) in enumerate(product(plan.seeds, plan.configs), start=1):
        folder = out / cell / f"seed{seed}"
        stages.say(f"train {number} of {len(plan.seeds) * len(plan.configs)}: {cell}, seed {seed} -> {folder}")
        config = replace(plan.configs[cell], loop=replace(plan.configs[cell].loop, seed=seed))
        (folder / DIVERGED).unlink(missing_ok=True)
        try:
            with nullcontext() if (folder / "model").is_dir() else _timed(folder / SECONDS):
                stages.train(recipe, config, manifests, folder, start_from=start_from[cell], command=command)
        except DivergedError as error:
            write_text(folder / DIVERGED, f"{one_line(error)}\n")
            stages.say(f"{cell}, seed {seed}: {one_line(error)}")


def evaluate(recipe: ModuleType, name: str, plan: Plan, out: Path, *, beam: int | None, command: str) -> str:
    """Measure every network, and write `out/ablation.md` and `out/ablation.png`; returns the lines of the result.

    Raises:
        ManifestError: a network is not trained, or there is nothing to measure it on.
    """
    manifests = out / "manifests"
    parts = stages.parts_to_test(manifests)
    found: dict[tuple[str, str], Comparison] = {}
    runs: dict[str, Runs] = {}
    for cell in plan.configs:
        runs[cell] = Runs()
        for seed in plan.seeds:
            folder = out / cell / f"seed{seed}"
            if not (folder / "model").is_dir():
                runs[cell].diverged[seed] = _why_none(folder)
                continue
            runs[cell].parameters = parameters(folder / "model" / WEIGHTS, cell)
            runs[cell].seconds.append(_seconds(folder / SECONDS))
            dev = stages.kind_of(recipe).measure(folder / "model", manifests / "dev.jsonl.gz", beam=beam).figures
            for part, manifest in parts.items():
                figures = stages.measure(recipe, folder, part, manifest, beam=beam).figures
                for figure in stages.results_of(recipe):
                    if figure in figures:
                        comparison = found.setdefault((part, figure), Comparison(part, figure))
                        comparison.add(cell, figures[figure], dev.get(figure))
    comparisons = list(found.values())
    if not comparisons:
        raise AblationError(f"{out}: every training diverged; lower optimizer.learning_rate or loop.clip_norm")
    reference = reference_of(list(plan.configs))
    report = out / "ablation.md"
    write_text(report, to_markdown(name, command, comparisons, runs, seeds=plan.seeds, reference=reference))
    write_bytes(out / "ablation.png", plot(comparisons, list(plan.configs), reference=reference))
    return "\n".join(f"{summary(comparison, reference)}; {report}" for comparison in comparisons)


def parameters(weights: Path, cell: str) -> int:
    """Numbers that are trained in a network of `cell` with the stored `weights`.

    Two biases that are only ever added count as one: whether both are trained is a matter of who computes the cell. In
    the GRU of cuDNN a gate stands between the two of n, a third of them, and so these count as two.
    """
    count = 0
    for name, array in load_file(weights).items():
        if name.endswith(".B"):
            count += array.size // 2 + (array.size // 6 if cell == "gru_cudnn" else 0)
        else:
            count += array.size
    return count


def _train_side_by_side(name: str, plan: Plan, out: Path, arguments: Sequence[str]) -> None:
    """A process for each cell, so many at once: the same command for this cell alone, with its share of the threads."""
    failed = []
    with _ended_like_ctrl_c():
        for cell, code in with_bar(_processes(name, plan, out, arguments), "cells trained", total=len(plan.configs)):
            said = (out / cell / OUTPUT).read_text(encoding="utf-8", errors="replace").split("\n")
            if code:
                why = f"killed by signal {-code}" if code < 0 else next((line for line in reversed(said) if line), "")
                failed.append(f"{cell}: {why}")
            stages.say(f"train: {cell} is {'not trained, it failed' if code else 'trained'}")
    if failed:
        raise AblationError(f"{len(failed)} of {len(plan.configs)} cells are not trained: {'; '.join(failed)}")


def _processes(name: str, plan: Plan, out: Path, arguments: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Cells and the exit codes of their processes, as these end. Closed early, it interrupts those that run."""
    waiting, running = list(plan.configs), {}
    try:
        while waiting or running:
            while waiting and len(running) < plan.jobs:
                cell = waiting.pop(0)
                stages.say(f"train: {cell}, seeds {', '.join(map(str, plan.seeds))} -> {out / cell / OUTPUT}")
                running[cell] = _begun(name, cell, plan, out, arguments)
            for cell in [cell for cell, process in running.items() if process.poll() is not None]:
                yield cell, running.pop(cell).returncode
            time.sleep(0.1)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()


def _begun(name: str, cell: str, plan: Plan, out: Path, arguments: Sequence[str]) -> subprocess.Popen:
    threads = plan.configs[cell].loop.threads or max(1, torch.get_num_threads() // plan.jobs)
    # Of an option that is given twice the later one holds.
    own = ["--stages", "train", "--cells", cell, "--seeds", *map(str, plan.seeds), "--jobs", "1"]
    (out / cell).mkdir(parents=True, exist_ok=True)
    with open(out / cell / OUTPUT, "w", encoding="utf-8") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "recipes", name, *arguments, *own, "--loop.threads", str(threads)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches this process alone, which tells the others, once.
            start_new_session=True,
        )


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """What else would end this process, and leave those that it began to themselves, interrupts it."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays so: nohup.
    before = {number: signal.getsignal(number) for number in ends if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _timed(path: Path) -> Iterator[None]:
    """Add the processor time that the block takes to the seconds in the file, also where it is interrupted.

    Where it is killed they stay unknown, also after it has gone on.
    """
    before, started = _seconds(path) if path.exists() else 0.0, _processor_seconds()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"{UNKNOWN}\n")
    try:
        yield
    finally:
        if before is not None:
            write_text(path, f"{before + _processor_seconds() - started:.1f}\n")


def _processor_seconds() -> float:
    """Of this process and those it has seen end, all their threads: other work on the machine changes it little."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _seconds(path: Path) -> float | None:
    said = path.read_text(encoding="utf-8").strip() if path.exists() else UNKNOWN
    try:
        return None if said == UNKNOWN else float(said)
    except ValueError:
        raise AblationError(f"{path}: is damaged; remove it, and this training's time will be missing") from None


def _why_none(folder: Path) -> str:
    """Why a training has left no model."""
    try:
        return (folder / DIVERGED).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ManifestError(f"{folder}: is not trained to its end; run the stage train first") from None

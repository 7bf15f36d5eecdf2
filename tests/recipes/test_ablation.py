"""Cells compared on one recipe: what is trained, what the table says, and what goes on where it stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.special import betainc

from encoders.blstm import EncoderConfig
from encoders.cells import CELLS
from encoders.export import export
from encoders.network import Network
from inference import model as models
from recipes import ablation
from recipes.ablation import parameters
from recipes.ablation_report import Comparison, Runs, plot, reference_of, significance, summary, to_markdown
from recipes.cli import main
from recipes.natops import prepare as natops

TINY = [
    "--encoder.layers=1",
    "--encoder.hidden_size=8",
    "--encoder.subsampling=[1]",
    "--loop.workers=0",
    "--loop.threads=1",
]


def arguments(corpus: Path, out: Path, *more: str, epochs: int = 1) -> list[str]:
    return ["natops", "--data", str(corpus), "--out", str(out), f"--loop.epochs={epochs}", *TINY, *more]


def rows(report: str) -> dict[str, list[str]]:
    """The cells of one table of a report by its first column."""
    lines = [line.strip("| ").split(" | ") for line in report.splitlines() if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in lines}


def accuracy_of(folder: Path) -> float:
    of, wrong = map(int, re.search(r"(\d+) clips .* (\d+) of them wrong", (folder / "test.md").read_text()).groups())
    return 1 - wrong / of


# From corpus to table


@pytest.fixture(scope="module")
def trained(
    natops_files: Path, small_clips: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """A command that has been run, and its folder."""
    out = tmp_path_factory.mktemp("compared")
    command = arguments(natops_files, out, "--cells", "lstm", "rnn", "--seeds", "3", "8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(natops, "CLIPS", small_clips)
        assert main(command) == 0
    return command, out


@pytest.fixture
def compared(trained: tuple[list[str], Path], small_natops: Path, tmp_path: Path) -> list[str]:
    """A command that has been run; its folder is the test's own."""
    command, out = trained
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    return [str(tmp_path) if word == str(out) else word for word in command]


def test_two_cells_from_corpus_to_table_and_again(
    compared: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = (tmp_path / "ablation.md").read_text()
    table = rows(report)
    assert list(table) == ["lstm", "rnn"]
    shares = {cell: [accuracy_of(tmp_path / cell / f"seed{seed}") for seed in (3, 8)] for cell in table}
    for cell, values in shares.items():
        _, _, _, test, each, *_ = table[cell]
        assert test == f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"
        assert each == ", ".join(f"{value:.4f}" for value in values)
        for seed in (3, 8):
            model = models.load(tmp_path / cell / f"seed{seed}" / "model")
            assert model.encoder["cell"] == cell
            assert f"- Seed: {seed}\n" in (model.directory / "README.md").read_text()
    assert "--cells lstm rnn --seeds 3 8" in report
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/seed*/*/model.onnx")}
    assert len(written) == 4
    seconds = [path.read_text() for path in sorted(tmp_path.glob("*/seed*/seconds.txt"))]
    capsys.readouterr()
    assert main(compared) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy: lowest ")
    assert {path: path.stat().st_mtime_ns for path in written} == written, "what is finished is not done again"
    assert [path.read_text() for path in sorted(tmp_path.glob("*/seed*/seconds.txt"))] == seconds
    assert rows((tmp_path / "ablation.md").read_text()) == table


def test_a_training_that_is_not_there_is_named_and_one_that_diverged_is_told(
    compared: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "rnn" / "seed8"
    (gone / "model").rename(gone / "elsewhere")
    assert main([*compared, "--stages", "evaluate"]) == 2
    assert f"{gone}: is not trained to its end; run the stage train first" in capsys.readouterr().err
    (gone / "diverged.txt").write_text("the loss is nan at step 7\n")
    assert main([*compared, "--stages", "evaluate"]) == 0
    report = (tmp_path / "ablation.md").read_text()
    assert "`rnn`, seed 8, diverged: the loss is nan at step 7\n" in report
    assert rows(report)["rnn"][4] == f"{accuracy_of(tmp_path / 'rnn' / 'seed3'):.4f}"
    assert rows(report)["rnn"][6] == "–", "one value has no spread"


def test_diverging_stops_no_other_training(
    small_natops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(small_natops, tmp_path, "--cells", "lstm", "rnn", "--seeds", "0", epochs=3)
    assert main([*command, "--optimizer.learning_rate=3e37"]) == 2
    assert "every training diverged; lower optimizer.learning_rate" in capsys.readouterr().err
    for cell in ("lstm", "rnn"):
        assert re.match(r"the loss is (nan|inf) at step", (tmp_path / cell / "seed0" / "diverged.txt").read_text())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--cells", "all", "--encoder.layer_norm", "true"], "encoder.layer_norm is not defined for cell gru"),
        (["--cells", "rnn", "--seeds", "-1"], "loop.seed is -1"),
        (["--cells", "rnn", "--jobs", "0"], "--jobs is 0; it must be at least 1"),
        (["--jobs", "2"], "--jobs is 2, but it is for --cells alone"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    wrong: list[str], message: str, small_natops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(small_natops, tmp_path / "out", *wrong)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unknown_cell(small_natops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments(small_natops, tmp_path, "--cells", "lstm", "gur"))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "gur" in said
    assert "gru_cudnn" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_table_for_each_figure_on_each_test_set(small_natops: Path, tmp_path: Path) -> None:
    _, *rest = arguments(small_natops, tmp_path, "--cells", "cifg", "gru", "--seeds", "0")
    assert main(["signs_joined", *rest]) == 0
    report = (tmp_path / "ablation.md").read_text()
    headings = re.findall(r"^## (.*)$", report, re.MULTILINE)
    assert {"test streams label error rate", "test streams event F", "test none false events"} <= set(headings)
    assert report.count("less `cifg`") == len(headings)
    assert report.count("| `gru` |") == len(headings)


@pytest.mark.slow
def test_side_by_side_gives_what_one_after_the_other_gives(
    compared: list[str], small_natops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    command = arguments(small_natops, other, "--cells", "lstm", "rnn", "--seeds", "3", "8", "--jobs", "2")
    assert main(command) == 0
    for path in tmp_path.glob("*/seed*/model/weights.safetensors"):
        assert (other / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    one, two = (rows((folder / "ablation.md").read_text()) for folder in (tmp_path, other))
    assert {cell: row[:-1] for cell, row in one.items()} == {cell: row[:-1] for cell, row in two.items()}
    capsys.readouterr()
    assert main([*command, "--loop.epochs=2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("recipes natops: 2 of 2 cells are not trained: ")
    changed = "holds a run with other settings (loop.epochs 1, now 2)"
    assert f"lstm: recipes natops: {other / 'lstm' / 'seed3'}: {changed}" in said


def test_a_process_that_is_killed_is_told_by_its_signal(small_natops: Path, tmp_path: Path, capsys) -> None:
    """Its last words are about the training, and say nothing of it."""
    command = arguments(small_natops, tmp_path, "--cells", "lstm", "rnn", "--seeds", "0", "--jobs", "2", epochs=60)

    def begun(name: str, cell: str, *rest: object) -> subprocess.Popen:
        if cell == "rnn":
            return subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
        return subprocess.Popen([sys.executable, "-c", ""])

    for cell in ("lstm", "rnn"):
        (tmp_path / cell).mkdir()
        (tmp_path / cell / "training.txt").write_text("interval   1  step     12\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "_begun", begun)
        assert main(command) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("cells are not trained: rnn: killed by signal 9")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_runs_side_by_side_and_the_same_command_goes_on(
    number: signal.Signals, small_natops: Path, tmp_path: Path
) -> None:
    assert main(arguments(small_natops, tmp_path, "--stages", "prepare")) == 0
    command = arguments(small_natops, tmp_path, "--cells", "lstm", "rnn", "--seeds", "0", "--jobs", "2", epochs=60)
    whole = [sys.executable, "-m", "recipes", *command, "--stages", "train", "evaluate"]
    logs = [tmp_path / cell / "seed0" / "run" / "train.log" for cell in ("lstm", "rnn")]
    process = subprocess.Popen(whole, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not all(log.exists() and "interval   2" in log.read_text() for log in logs):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "recipes natops: stopped; the same command goes on from here"
    ended = [log.read_text() for log in logs]
    time.sleep(0.5)
    assert [log.read_text() for log in logs] == ended, "no training goes on"
    assert subprocess.run(whole, capture_output=True).returncode == 0
    assert "going on from" in logs[0].read_text()
    assert list(rows((tmp_path / "ablation.md").read_text())) == ["lstm", "rnn"]


# The table


def known() -> Comparison:
    values = {"lstm": [0.90, 0.92, 0.94], "gru": [0.96, 0.97, 0.98], "rnn": [0.5]}
    comparison = Comparison("test", "accuracy")
    for cell, each in values.items():
        for value in each:
            comparison.add(cell, value, value - 0.1)
    return comparison


def test_table_of_known_numbers() -> None:
    runs = {
        "gru": Runs(1234, [30.0, 20.4, None]),
        "lstm": Runs(2345, [10.0, 12.0, 11.0]),
        "rnn": Runs(345, [5.0], {1: "the loss is nan", 2: "the loss is inf"}),
        "cifg": Runs(diverged={0: "a", 1: "b", 2: "c"}),
    }
    report = to_markdown("fsdd", "python x", [known()], runs, seeds=(0, 1, 2), reference="lstm")
    assert "## test accuracy\n" in report
    # t = 0.05 / sqrt(0.0001 / 3 + 0.0004 / 3) = 3.873 with 2.941 degrees of freedom: p = 0.0316, three times.
    assert rows(report) == {
        "gru": ["", "1,234", "0.8700 ± 0.0100", "0.9700 ± 0.0100", "0.9600, 0.9700, 0.9800", "+0.0500", "0.095",
                "20.4 s (2.04)"],
        "lstm": ["NP", "2,345", "0.8200 ± 0.0200", "0.9200 ± 0.0200", "0.9000, 0.9200, 0.9400", "–", "–",
                 "10.0 s (1.00)"],
        "rnn": ["", "345", "0.4000", "0.5000", "0.5000", "-0.4200", "–", "5.0 s (0.50)"],
        "cifg": ["CIFG, NP", "–", "–", "–", "diverged", "–", "–", "–"],
    }  # fmt: skip
    for said in ("`rnn`, seed 1, diverged: the loss is nan", "`rnn`, seed 2, diverged: the loss is inf"):
        assert said in report


def test_an_error_rate_is_in_per_cent() -> None:
    comparison = Comparison("test other", "WER", {"lstm": [0.02, 0.03], "peephole": [0.01, 0.01]})
    runs = {"lstm": Runs(10, [1.0, 1.0]), "peephole": Runs(12, [2.0, 3.0])}
    table = rows(to_markdown("an4", "x", [comparison], runs, seeds=(0, 1), reference="lstm"))
    assert table["peephole"][:6] == ["V", "12", "–", "1.00 % ± 0.00 %", "1.00 %, 1.00 %", "-1.50 %"]
    assert summary(comparison, "lstm") == "test other WER: lowest peephole 1.00 %, highest lstm 2.50 %, lstm 2.50 %"


def test_a_chance_that_rounds_to_nothing_is_said_to_be_less() -> None:
    comparison = Comparison("test", "accuracy", {"lstm": [0.1, 0.1001, 0.1002], "gru": [0.9, 0.9001, 0.9002]})
    runs = {"lstm": Runs(10, [1.0] * 3), "gru": Runs(12, [2.0, None, 3.0])}
    assert significance(*comparison.test.values(), tests=1) < 1e-6
    assert rows(to_markdown("an4", "x", [comparison], runs, seeds=(0, 1, 2), reference="lstm"))["gru"][6] == "< 0.001"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_time_is_added_up_over_interruptions_and_unknown_after_a_kill(tmp_path: Path) -> None:
    def interrupted_after(seconds: float) -> None:
        started = time.process_time()
        while time.process_time() - started < seconds:
            pass
        raise KeyboardInterrupt

    def work(seconds: float) -> None:
        with pytest.raises(KeyboardInterrupt), ablation._timed(tmp_path / "run" / "seconds.txt"):
            interrupted_after(seconds)

    def known() -> float | None:
        return ablation._seconds(tmp_path / "run" / "seconds.txt")

    assert known() is None
    work(0.2)
    first = known()
    assert first >= 0.2
    work(0.3)
    assert known() >= first + 0.3
    child = os.fork()
    if not child:
        with ablation._timed(tmp_path / "run" / "seconds.txt"):
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert known() is None
    work(0.1)
    assert known() is None, "of a part of it nobody should think that it is all"


def test_reference_is_lstm_or_the_first() -> None:
    assert reference_of(["rnn", "lstm", "gru"]) == "lstm"
    assert reference_of(["peephole", "cifg_peephole"]) == "peephole"


def test_significance_is_the_formula_of_welch() -> None:
    rng = np.random.default_rng(0)
    for sizes in ((3, 3), (3, 5), (2, 8)):
        one, other = (rng.normal(place, 1 + place, size) for place, size in enumerate(sizes))
        a, b = one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)
        t = (one.mean() - other.mean()) / np.sqrt(a + b)
        freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
        p = betainc(freedom / 2, 0.5, freedom / (freedom + t**2))  # two-sided tail of Student's distribution
        assert significance(one, other, tests=1) == pytest.approx(p)
        assert significance(other, one, tests=8) == pytest.approx(min(1.0, 8 * p))


def test_without_spread_nothing_is_said_of_chance() -> None:
    assert significance([0.9], [0.8, 0.7], tests=1) is None
    assert significance([0.9, 0.9], [0.8, 0.8], tests=1) is None
    assert significance([0.9, 0.9], [0.8, 0.7], tests=1) is not None


def test_plot_of_several_figures() -> None:
    other = Comparison("test streams", "event F", {"gru": [0.4]})
    assert plot([known(), other], ["lstm", "gru", "rnn", "cifg"], reference="lstm").startswith(b"\x89PNG")


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_are_those_of_the_equations(cell: str, tmp_path: Path) -> None:
    """Of each direction W, R, one bias a gate, peepholes and projection; F 3, H 4, and a head of 5 labels."""
    gates = len(CELLS[cell].gates)
    out = 2 if cell == "lstmp" else 4
    direction = gates * 4 * (3 + out + 1) + (4 * (gates - 1) if CELLS[cell].peepholes else 0)
    direction += {"lstmp": 2 * 4, "gru_cudnn": 4}.get(cell, 0)
    network = Network(3, 5, EncoderConfig(cell=cell, layers=1, hidden_size=4, subsampling=[1]), head="ctc")
    (tmp_path / "weights").write_bytes(export(network).weights)
    assert parameters(tmp_path / "weights", cell) == 2 * direction + 2 * out * 5 + 5

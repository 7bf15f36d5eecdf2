"""The command `python -m recipes`: its stages, its last line, and what it says to those who mistype or interrupt."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_only

from recipes.cli import TO_TRAIN, experiments, main, names
from recipes.run import result_line
from training.manifests import read

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
TINY = ["--encoder.layers=1", "--encoder.hidden_size=8", "--loop.workers=0", "--loop.threads=1"]


def arguments(corpus: Path, out: Path, *more: str, epochs: int = 1, name: str = "yesno") -> list[str]:
    return [name, "--data", str(corpus), "--out", str(out), f"--loop.epochs={epochs}", *TINY, *more]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on standard error, which nothing follows and no traceback comes before."""
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.err.splitlines()[-1]


def test_overview_names_each_recipe_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"digits", "fsdd", "fsdd_connected", "librispeech", "yesno"} <= set(names())
    for wanted in ([], ["--help"], ["-h"]):
        assert main(wanted) == 0
        shown = capsys.readouterr().out
        assert "python -m recipes NAME --data FOLDER --out FOLDER" in shown
        for name in names():
            title = (FOLDER / name / "README.md").read_text(encoding="utf-8").splitlines()[0]
            assert title.startswith(f"# {name}: ")
            assert re.search(rf"^  {name} +{re.escape(title.split(': ', 1)[1])}$", shown, re.MULTILINE)


def test_overview_is_there_at_once_without_pytorch() -> None:
    code = "import sys, recipes.cli; recipes.cli.main([]); sys.exit(not {'torch', 'lhotse'}.isdisjoint(sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_unknown_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yesyes", "--data", "x", "--out", "y"]) == 2
    assert error_of(capsys) == f"recipes: no recipe is called 'yesyes'; there are: {', '.join(names())}"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--loop.epohcs", "3"], "--loop.epohcs"),
        (["--stages", "trian"], "trian"),
        (["--prepare.held_out", "anna"], "--prepare.held_out"),
        (["--loop.epochs", "many"], "many"),
        (["--config", "absent.yaml"], "absent.yaml"),
    ],
)
def test_what_is_mistyped_is_named_in_a_few_lines(
    wrong: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["yesno", "--data", "x", "--out", "y", *wrong])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--loop.epochs", "0"], "recipes yesno: loop.epochs and loop.batch_frames must be at least 1"),
        (["--augment.speed", "[1.1, 0.9]"], "recipes yesno: augment.speed is (1.1, 0.9): give the lowest"),
        (["--stages", "train"], "manifests/train.jsonl.gz: no such file"),
        (["--stages", "evaluate"], "manifests: no test manifest; run the stage prepare first"),
        ([], "absent: 0 recordings such as"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    wrong: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["yesno", "--data", str(tmp_path / "absent"), "--out", str(tmp_path / "out"), *wrong]) == 2
    assert message in error_of(capsys)


def test_missing_packages_are_named_with_their_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.cli.TO_TRAIN", (*TO_TRAIN, "not_a_package"))
    assert main(["yesno"]) == 2
    assert error_of(capsys) == "recipes: training needs not_a_package: pip install 'saywave[train]'"


@pytest.mark.parametrize("name", sorted({*names()} - experiments()))
def test_help_explains_the_recipe_and_its_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: python -m recipes {name} --data FOLDER --out FOLDER [SETTING ...]" in shown
    assert f"{name}: " in shown
    for option in ("--stages", "--seeds", "--beam", "--config", "--loop.epochs", "--augment.speed", "--encoder.layers"):
        assert re.search(rf"^  {re.escape(option)} ", shown, re.MULTILINE)
    assert "lambda" not in shown
    own = {
        "fsdd": ["held_out"],
        "fsdd_connected": ["held_out", "seed"],
        "librispeech": ["size", "dev_other"],
        "digits": ["synthetic", "all_real"],
    }
    for option in own.get(name, []):
        assert f"--prepare.{option} " in shown


def test_stages_alone_do_their_own_part(small_yesno: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(small_yesno, tmp_path, "--stages", "prepare")) == 0
    assert last_line(capsys) == f"yesno: prepare done in {tmp_path}"
    assert len(read(tmp_path / "manifests" / "test.jsonl.gz")) == 30
    assert not (tmp_path / "model").exists()
    assert main(arguments(small_yesno, tmp_path, "--stages", "train")) == 0
    assert last_line(capsys) == f"yesno: train done in {tmp_path}"
    assert (tmp_path / "model" / "model.onnx").is_file()
    assert not (tmp_path / "test.md").exists()
    before = (tmp_path / "model" / "model.onnx").stat().st_mtime_ns
    assert main(arguments(small_yesno, tmp_path, "--stages", "evaluate")) == 0
    result = last_line(capsys)
    assert re.fullmatch(r"test WER \d+\.\d\d %", result)
    report = (tmp_path / "test.md").read_text()
    assert result.removeprefix("test WER ") in report
    assert main(arguments(small_yesno, tmp_path)) == 0
    assert last_line(capsys) == result
    assert (tmp_path / "model" / "model.onnx").stat().st_mtime_ns == before, "what is finished is not done again"
    assert "python -m recipes yesno --data" in (tmp_path / "model" / "README.md").read_text()


def test_other_settings_do_not_overwrite_a_run(
    small_yesno: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(small_yesno, tmp_path, "--stages", "prepare", "train")) == 0
    assert main(arguments(small_yesno, tmp_path, epochs=2)) == 2
    assert "holds a run with other settings (loop.epochs 1, now 2); give another --out" in error_of(capsys)


def test_several_seeds_end_in_mean_and_spread(
    small_fsdd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(small_fsdd, tmp_path, "--seeds", "3", "8", name="fsdd")) == 0
    result = last_line(capsys)
    shares = []
    for seed in (3, 8):
        assert f"- Seed: {seed}\n" in (tmp_path / f"seed{seed}" / "model" / "README.md").read_text()
        report = (tmp_path / f"seed{seed}" / "test.md").read_text()
        count, wrong = map(int, re.search(r"(\d+) utterances, (\d+) of them with errors", report).groups())
        shares.append(1 - wrong / count)
    assert result == (
        f"test accuracy {statistics.mean(shares):.4f} (mean of 2 seeds; {min(shares):.4f} to {max(shares):.4f}, "
        f"standard deviation {statistics.stdev(shares):.4f})"
    )


def test_form_of_the_result() -> None:
    assert result_line("test", "WER", [0.00416]) == "test WER 0.42 %"
    assert result_line("test", "accuracy", [0.991]) == "test accuracy 0.9910"
    assert result_line("test other", "WER", [0.03, 0.01, 0.02]) == (
        "test other WER 2.00 % (mean of 3 seeds; 1.00 % to 3.00 %, standard deviation 1.00 %)"
    )


def test_ctrl_c_in_training_ends_in_a_line_and_the_same_command_goes_on(
    small_yesno: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run" / "train.log"
    command = arguments(small_yesno, tmp_path, epochs=20)

    def press_ctrl_c() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if log.exists() and "interval   2" in log.read_text():
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.01)

    presses = threading.Thread(target=press_ctrl_c)
    presses.start()
    try:
        assert main(command) == 130
    finally:
        presses.join()
    assert error_of(capsys) == "recipes yesno: stopped; the same command goes on from here"
    assert not (tmp_path / "model").exists()
    assert main(command) == 0
    assert re.fullmatch(r"test WER \d+\.\d\d %", last_line(capsys))
    lines = log.read_text().splitlines()
    resumed = next(place for place, line in enumerate(lines) if line.startswith("going on from"))
    numbers = [int(line.split()[1]) for line in lines if line.startswith("interval")]
    assert 2 <= resumed < 20
    assert set(numbers) == set(range(1, 21))
    assert len(numbers) <= 21, "at most the interval that Ctrl-C fell into is trained twice"


def test_processes_side_by_side_prepare_nothing_and_one_evaluates(tmp_path: Path, capsys, monkeypatch) -> None:
    for setting in (["--loop.nodes=2"], ["--loop.nodes=2", "--stages", "train", "--cells", "lstm"]):
        assert main(arguments(tmp_path, tmp_path / "out", *setting)) == 2
        assert ("--cells" if "--cells" in setting else "run --stages prepare first") in error_of(capsys)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert main(arguments(tmp_path, tmp_path / "out")) == 2
    assert "several processes would prepare the data at once" in error_of(capsys)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert main(arguments(tmp_path, tmp_path / "out", "--stages", "evaluate")) == 0, "nothing is there to evaluate"
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()

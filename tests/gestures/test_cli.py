"""The command `gestures`: help, exit codes, training and evaluation, and that no mistake ends in a traceback.

What `gestures recognize`, `extract` and `doctor` do is tested beside their modules.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features import landmark_files
from gestures import recognize, shipped
from gestures.cli import main

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main)

COMMANDS = ("recognize", "watch", "record", "train", "evaluate", "extract", "doctor")


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_names_every_command(capsys, arguments: list[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: gestures")
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("recognize", ["FILE", "--model", "--format", "--output", "--clip", "--chunk", "--enter", "--cooldown"]),
        ("evaluate", ["data", "--model", "--output", "--jobs", "--chunk"]),
        ("train", ["DATA", "--out", "--dev", "--from", "--config", "--loop.epochs", "--head.none", "--augment.speed"]),
        ("extract", ["FOLDER", "--output", "--jobs", "--landmarker-models", "--mirrored"]),
        ("record", ["LABEL", "--signer", "--camera"]),
        ("watch", ["--camera", "--model", "--chunk", "--hold", "--headless"]),
        ("doctor", ["usage"]),
    ],
)
def test_help_of_a_command_names_its_options(capsys, command: str, options: list[str]) -> None:
    code, out, err = call(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: gestures {command}")
    for option in options:
        assert option in out


def test_help_of_training_explains_every_setting_and_says_how_signers_are_known(capsys) -> None:
    _, out, _ = call(capsys, "train", "--help")
    unexplained = [
        line for line in re.findall(r"^  --\S+ .*(?:\n {6,}.*)*", out, re.MULTILINE) if len(line.split()) < 4
    ]
    assert unexplained == []
    assert "SIGNER_NUMBER" in out


def test_help_imports_nothing_heavy() -> None:
    program = """if True:
        import sys
        from gestures.cli import main
        try:
            main(sys.argv[1:])
        except SystemExit:
            pass
        heavy = {"torch", "lightning", "lhotse", "onnxruntime", "numpy", "av", "cv2", "mediapipe", "yaml", "rich"}
        print(sorted(heavy & set(sys.modules)), file=sys.stderr)
        """
    for arguments in (["--help"], ["recognize", "--help"], ["watch", "--help"], []):
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
        assert ran.stderr.strip() == "[]", arguments


def test_no_command_and_a_wrong_one(capsys) -> None:
    code, out, _ = call(capsys)
    assert code == 2
    assert out.startswith("usage: gestures")
    code, _, err = call(capsys, "recognise", "a.mp4")
    assert code == 2
    assert "recognise" in err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--threads", "-1"],
        ["--format", "doc"],
        ["--enter", "2"],
        ["--hold", "200"],
        ["--threshold", "much"],
        ["--volume", "3"],
        [],
    ],
)
def test_wrong_options_say_what_is_wrong(capsys, wrong: list[str]) -> None:
    code, out, err = call(capsys, "recognize", *(["a.pose", *wrong] if wrong else []))
    assert (code, out) == (2, "")
    assert (wrong[0] if wrong else "FILE") in err


def test_ctrl_c(capsys, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(recognize, "recognize_files", interrupted)
    assert call(capsys, "recognize", "a.pose") == (130, "", "gestures: stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
def test_a_reader_that_has_gone_away(clip_folder, untrained, tmp_path: Path) -> None:
    folder, model = clip_folder(tmp_path / "clips", 3, labels=("wave",)), untrained(("raise", "wave"))
    command = [sys.executable, "-m", "gestures", "recognize", folder, "--model", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        said = running.stderr.read()
    assert (running.returncode, said) == (141, b"")


def test_using_a_model_imports_nothing_that_the_light_install_lacks(clip, untrained, tmp_path: Path) -> None:
    program = """if True:
        import sys
        from gestures.cli import main
        code = main(sys.argv[1:])
        lacking = {"torch", "lightning", "lhotse", "onnx", "jiwer", "av", "cv2", "mediapipe", "scipy", "matplotlib"}
        print(code, sorted(lacking & set(sys.modules)))
        """
    landmark_files.write(tmp_path / "a.pose", clip("wave"))
    for labels in (("raise", "wave"), ("none", "raise", "wave")):
        arguments = ["recognize", tmp_path / "a.pose", "--model", untrained(labels)]
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
        assert ran.stdout.splitlines()[-1] == "0 []", ran.stderr


@pytest.mark.parametrize("damage", ["no such model", "an empty folder", "cut weights", "no labels"])
def test_a_model_that_is_none_is_one_line(capsys, clip_folder, untrained, tmp_path: Path, damage: str) -> None:
    folder, model = clip_folder(tmp_path / "clips", 1), tmp_path / "mine"
    if damage == "an empty folder":
        model.mkdir()
    elif damage != "no such model":
        shutil.copytree(untrained(("raise", "wave")), model)
        file = model / ("weights.safetensors" if damage == "cut weights" else "labels.txt")
        file.write_bytes(file.read_bytes()[:100]) if damage == "cut weights" else file.unlink()
    for command in ("recognize", "evaluate"):
        code, out, err = call(capsys, command, folder, "--model", model)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert str(model) in err


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluating_writes_a_report_with_its_picture(capsys, moves: Path, moves_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    code, out, err = call(capsys, "evaluate", moves / "test", "--model", moves_model)
    assert (code, err) == (0, "")
    assert out.startswith("accuracy 100.00 %")
    for output, page in ((tmp_path / "new" / "folder", "new/folder/report.md"), (tmp_path / "mine.md", "mine.md")):
        code, out, err = call(capsys, "evaluate", moves / "test", "--model", moves_model, "--output", output)
        picture = (tmp_path / page).with_suffix(".png")
        assert (code, err) == (0, f"report: {tmp_path / page} and {picture}\n")
        text = (tmp_path / page).read_text()
        assert "100.00 %" in text
        assert picture.name in text
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluating_goes_on_without_what_cannot_be_read(capsys, moves: Path, untrained, tmp_path: Path) -> None:
    data = Path(shutil.copytree(moves / "test", tmp_path / "test"))
    (data / "wave" / "fred_9.pose").write_text("text")
    code, out, err = call(capsys, "evaluate", data, "--model", untrained(("circle", "raise", "wave")))
    assert code == 1
    assert out.startswith("accuracy ")
    assert "1 clips could not be read and are not counted" in err
    assert str(data / "wave" / "fred_9.pose") in err


def test_evaluating_what_cannot_be_is_one_line(capsys, moves: Path, untrained, tmp_path: Path) -> None:
    model = untrained(("circle", "raise", "wave"))
    (tmp_path / "broken" / "wave").mkdir(parents=True)
    (tmp_path / "broken" / "wave" / "a.pose").write_text("text")
    (tmp_path / "file").write_text("mine")
    for data, options, why in (
        (tmp_path / "nowhere", [], "nowhere: no such file or folder"),
        (tmp_path / "file", [], "neither a folder of clips"),
        (tmp_path / "broken", [], "a.pose"),
        (moves / "test", ["--output", tmp_path / "file"], "file: is a file; give a folder to --output"),
        (moves / "test", ["--output", tmp_path / "no" / "report.md"], "no: no such folder; make it"),
    ):
        code, out, err = call(capsys, "evaluate", data, "--model", model, *options)
        assert (code, out) == (2, "")
        assert why in err
        assert len(err.splitlines()) == 1


# --- train ------------------------------------------------------------------------------------------------------------


def test_training_on_a_folder_with_none_makes_a_model_that_spots(
    capsys, moves: Path, small_settings, tmp_path: Path
) -> None:
    arguments = ["train", moves / "train", "--out", tmp_path / "run", *small_settings]
    code, out, err = call(capsys, *arguments)
    model = tmp_path / "run" / "model"
    assert code == 0
    assert out.splitlines()[-1] == str(model)
    assert "4 labels: circle (12), none (12), raise (12), wave (12)" in err
    assert "5 signers: anna (12), ben (12), cleo (8), dora (8), emil (8)" in err
    assert re.search(r"chosen on 8 clips of (cleo|dora|emil), who are not trained on", err)
    assert f"try it: gestures watch --model {model}" in err
    assert (model / "labels.txt").read_text().split() == ["none", "circle", "raise", "wave"]
    assert "latency:" in (model / "config.yaml").read_text()
    assert "gestures train" in (model / "README.md").read_text()
    clip = next(iter(sorted((moves / "test").rglob("*.pose"))))
    assert call(capsys, "recognize", clip, "--model", model)[0] == 0
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert "already trained" in out
    code, _, err = call(capsys, *arguments, "--head.smoothing", 0.3)
    assert code == 2
    assert "holds a run with other settings (head.smoothing 0.0, now 0.3)" in err


def test_training_without_none_and_with_broken_clips_makes_a_model_that_names(
    capsys, clip_folder, small_settings, tmp_path: Path
) -> None:
    data = clip_folder(tmp_path / "clips", 5, labels=("raise", "wave"), signers=("anna",))
    (data / "wave" / "anna_99.pose").write_text("broken")
    code, out, err = call(capsys, "train", data, "--out", tmp_path / "run", *small_settings)
    model = tmp_path / "run" / "model"
    assert (code, out.splitlines()[-1]) == (1, str(model)), "1: a clip was left out"
    assert "1 clips are left out:" in err
    assert "anna_99.pose" in err
    assert "all clips are of anna: the error on unseen clips will say nothing about other people" in err
    assert f"gestures recognize FILE --model {model}" in err
    assert "gestures record none" in err
    assert (model / "labels.txt").read_text().split() == ["raise", "wave"]


def test_training_with_development_data_from_another_model(
    capsys, moves: Path, moves_model: Path, small_settings, tmp_path: Path
) -> None:
    arguments = ["--dev", moves / "train", "--from", moves_model, "--loop.epochs=1", "--loop.workers=0"]
    code, out, err = call(capsys, "train", moves / "test", "--out", tmp_path / "run", *arguments)
    assert code == 0
    assert "chosen on" not in err
    card = (Path(out.splitlines()[-1]) / "README.md").read_text()
    assert "Trained on: 20 clips" in card
    assert "Best weights chosen on: 48 clips" in card
    arguments = ["--dev", moves / "test", *small_settings]
    code, _, err = call(capsys, "train", moves / "test", "--out", tmp_path / "shared", *arguments)
    assert "2 signers are in both DATA and --dev, such as fred" in err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--loop.epoks", "3"], "epoks"),
        (["--loop.epochs", "0"], "loop.epochs"),
        (["--head.kind", "words"], "head.kind"),
        (["--encoder.cell", "gru9"], "gru9"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--dev", "nowhere"], "nowhere: no such file or folder"),
        (["--from", "nowhere"], "nowhere: neither a shipped model"),
    ],
)
def test_training_with_wrong_settings_names_them(
    capsys, moves: Path, small_settings, tmp_path: Path, wrong: list[str], named: str
) -> None:
    code, out, err = call(capsys, "train", moves / "train", "--out", tmp_path / "run", *small_settings, *wrong)
    assert (code, out) == (2, "")
    assert named in err


def test_training_on_what_will_not_do_is_one_line(capsys, clip_folder, small_settings, tmp_path: Path) -> None:
    few = clip_folder(tmp_path / "few", 3, labels=("raise", "wave", "none"))
    idle = clip_folder(tmp_path / "idle", 6, labels=("none",))
    (tmp_path / "empty").mkdir()
    for data, out, why in (
        (few, tmp_path / "run", "each gesture needs 5 clips at least, and raise has 3, wave has 3: record more"),
        (idle, tmp_path / "run", "no clips of a gesture are left"),
        (tmp_path / "empty", tmp_path / "run", "no clips in this folder"),
        (tmp_path / "nowhere", tmp_path / "run", "nowhere: no such file or folder"),
        (few, few / "run", "lies in the folder of the clips; give an --out beside it"),
    ):
        code, said, err = call(capsys, "train", data, "--out", out, *small_settings)
        assert (code, said) == (2, "")
        assert why in err.splitlines()[-1]
        assert err.splitlines()[-1].startswith("gestures: ")
    one = clip_folder(tmp_path / "one", 6, labels=("wave",))
    code, _, err = call(capsys, "train", one, "--out", tmp_path / "run", *small_settings)
    assert code == 2
    assert "one label, wave: two at least are needed" in err


def test_a_model_of_speech_is_no_start(capsys, moves: Path, small_settings, tmp_path: Path) -> None:
    from asr import shipped as speech

    start = speech.FOLDER / speech.DEFAULT
    code, out, err = call(capsys, "train", moves / "train", "--out", tmp_path / "run", "--from", start, *small_settings)
    assert (code, out) == (2, "")
    assert f"{start}: cannot be trained on from: it reads other data than these" in err


# --- what is there ----------------------------------------------------------------------------------------------------


def test_what_an_extra_brings_is_named_where_it_is_missing(capsys, moves: Path, monkeypatch) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "lhotse") else there(name))
    code, _, err = call(capsys, "train", moves / "train", "--out", "nowhere")
    assert (code, err) == (2, "gestures: training needs torch, lhotse: pip install 'saywave[train]'\n")
    code, _, err = call(capsys, "evaluate", moves / "test")
    assert (code, err) == (2, "gestures: evaluating needs lhotse: pip install 'saywave[train]'\n")


def test_doctor_prints_its_report(capsys) -> None:
    code, out, err = call(capsys, "doctor")
    assert (code, err) == (0, "")
    assert out.startswith("saywave ")


def test_models_are_found_by_name_and_by_path(untrained, tmp_path: Path, monkeypatch) -> None:
    model = untrained(("raise", "wave"))
    shutil.copytree(model, tmp_path / "arms")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert shipped.names() == ["arms"]
    assert shipped.find("arms") == tmp_path / "arms"
    assert shipped.find(str(model)) == model
    with pytest.raises(ValueError, match=r"hands: neither a shipped model \(arms\)"):
        shipped.find("hands")

"""The command `asr transcribe`: what it prints and writes, and that no mistake ends in a traceback."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr import transcribe
from asr.cli import _parser, main
from features import audio

COMMANDS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))
call, run = COMMANDS["calling"](main), COMMANDS["running"]("asr")
RATE = 8000


@pytest.fixture
def folder(tmp_path: Path, speak) -> Path:
    """Three recordings, one in a subfolder, and a file that is none."""
    for name, words in (("b.wav", ["so"]), ("a.wav", ["la", "mi"]), ("deep/c.flac", ["mi", "mi"])):
        path = tmp_path / "sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path.with_suffix(".wav"), speak(words), RATE)
    (tmp_path / "sounds" / "notes.txt").write_text("not a recording")
    return tmp_path / "sounds"


def test_one_file(capsys, folder: Path, tone_model: Path) -> None:
    assert call(capsys, "transcribe", folder / "a.wav", "--model", tone_model) == (0, "la mi\n", "")
    assert call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--beam", 4) == (0, "la mi\n", "")


def test_json(capsys, folder: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--format", "json")
    assert (code, err) == (0, "")
    read = json.loads(out)
    assert read["text"] == "la mi"
    [la, mi] = [word for segment in read["segments"] for word in segment["words"]]
    assert (la["word"], mi["word"]) == ("la", " mi"), "with the space before, as whisper's"
    assert 0 <= la["start"] < la["end"] <= mi["start"] < mi["end"] < 1
    assert 0 <= la["probability"] <= 1


def test_a_folder_is_all_sound_files_in_it_in_order(capsys, folder: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", folder, folder / "a.wav", "--model", tone_model)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{folder / 'a.wav'}: la mi",
        f"{folder / 'b.wav'}: so",
        f"{folder / 'deep' / 'c.wav'}: mi mi",
    ]


def test_json_of_several_files_is_a_line_each(capsys, folder: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", folder, "--model", tone_model, "--format", "json")
    assert (code, err) == (0, "")
    read = [json.loads(line) for line in out.splitlines()]
    assert [Path(one["file"]).name for one in read] == ["a.wav", "b.wav", "c.wav"]
    assert [one["text"] for one in read] == ["la mi", "so", "mi mi"]
    _, out, _ = call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--format", "json")
    assert json.loads(out) == {name: value for name, value in read[0].items() if name != "file"}


def test_ctm_of_several_files_is_one_file_with_their_names(capsys, folder: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", folder, "--model", tone_model, "--format", "ctm")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [(line[0], line[4]) for line in lines] == [
        ("a", "la"), ("a", "mi"), ("b", "so"), ("c", "mi"), ("c", "mi"),
    ]  # fmt: skip


@pytest.mark.parametrize("format", ["srt", "vtt", "tsv", "textgrid"])
def test_several_files_do_not_make_one(capsys, folder: Path, tone_model: Path, format: str) -> None:
    code, out, err = call(capsys, "transcribe", folder, "--model", tone_model, "--format", format)
    assert (code, out) == (2, "")
    assert err == f"asr: 3 files do not make one {format} file; give a folder to --output\n"


def test_several_formats_at_once(capsys, folder: Path, tone_model: Path, tmp_path: Path) -> None:
    """Also where files follow the formats, which must not be taken for formats."""
    out = tmp_path / "out"
    code, *said = call(
        capsys, "transcribe", "--model", tone_model, "--output", out, "--format", "srt", "json", "srt", folder / "a.wav"
    )
    assert (code, said) == (0, ["", ""])
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.srt"]
    assert (out / "a.srt").read_text().splitlines()[2] == json.loads((out / "a.json").read_text())["text"] == "la mi"
    code, *said = call(capsys, "transcribe", folder / "b.wav", "--format=all", "--model", tone_model, "--output", out)
    assert (code, said) == (0, ["", ""])
    assert sorted(path.name for path in out.glob("b.*")) == [
        "b.TextGrid", "b.ctm", "b.json", "b.srt", "b.tsv", "b.txt", "b.vtt",
    ]  # fmt: skip
    code, printed, err = call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--format", "txt", "vtt")
    assert (code, printed) == (2, "")
    assert err == "asr: txt, vtt do not go to one output together; give a folder to --output\n"


def test_formats_end_at_the_first_word_that_is_none() -> None:
    for words, formats, files in (
        ("a --format srt vtt", ["srt", "vtt"], ["a"]),
        ("--format srt vtt a txt", ["srt", "vtt"], ["a", "txt"]),
        ("--format=srt vtt a", ["srt", "vtt"], ["a"]),
        ("--format srt --beam 2 txt", ["srt"], ["txt"]),
        ("a --format srt --format json", ["srt", "json"], ["a"]),
        ("txt json", None, ["txt", "json"]),
    ):
        parsed = _parser().parse_args(["transcribe", *words.split()])
        assert (parsed.format, parsed.files) == (formats, files), words


def test_one_format_on_standard_output_is_what_the_file_holds(capsys, folder: Path, tone_model: Path, tmp_path) -> None:
    call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--format", "all", "--output", tmp_path)
    for path in tmp_path.glob("a.*"):
        format = path.suffix[1:].lower()
        assert call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--format", format) == (
            0, path.read_text(), "",
        )  # fmt: skip


def test_rules_of_subtitles(capsys, folder: Path, tone_model: Path) -> None:
    command = ["transcribe", folder / "a.wav", "--model", tone_model]
    code, out, _ = call(capsys, *command, "--format", "srt", "--max-line-width", 4)
    assert (code, out.splitlines()[2:]) == (0, ["la", "mi", ""])
    code, out, _ = call(capsys, *command, "--format", "vtt", "--max-line-width", 4, "--max-line-count", 1)
    assert (code, out.count(" --> ")) == (0, 2)
    code, out, _ = call(capsys, *command, "--format", "srt", "--max-cue-duration", "100ms")
    starts_and_ends = re.findall(r"00:00:(\S+)", out)
    assert code == 0
    assert all(
        float(end.replace(",", ".")) - float(start.replace(",", ".")) <= 0.1001
        for start, end in zip(starts_and_ends[::2], starts_and_ends[1::2], strict=True)
    )
    code, out, err = call(capsys, *command, "--format", "srt", "--max-line-width", 0)
    assert (code, out, err) == (2, "", "asr: max line width of subtitles is 0; at least 1\n")
    code, out, err = call(capsys, *command, "--format", "json", "--max-line-width", 30)
    assert (code, out, err) == (
        2,
        "",
        "asr: --max-line-width goes with --format srt or vtt; add one, or leave it out\n",
    )


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_a_name_that_is_no_text(folder: Path, tone_model: Path, tmp_path: Path) -> None:
    name = folder / os.fsdecode(b"\xff.wav")
    shutil.copy(folder / "a.wav", name)
    for format, named in (("txt", "?.wav: la mi"), ("json", "?.wav"), ("ctm", "? 1 ")):
        ran = run("transcribe", name, folder / "b.wav", "--model", tone_model, "--format", format)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert named in ran.stdout.decode()


@pytest.mark.parametrize("format", ["txt", "json"])
def test_transcripts_go_into_a_folder_that_is_made(
    capsys, folder: Path, tone_model: Path, tmp_path, format: str
) -> None:
    texts = tmp_path / "not" / "yet"
    code, out, err = call(capsys, "transcribe", folder, "--model", tone_model, "--output", texts, "--format", format)
    assert (code, out, err) == (0, "", "")
    assert sorted(path.name for path in texts.iterdir()) == [f"a.{format}", f"b.{format}", f"c.{format}"]
    content = (texts / f"c.{format}").read_text()
    assert (content if format == "txt" else json.loads(content)["text"] + "\n") == "mi mi\n"


def test_a_folder_that_cannot_be_made(capsys, folder: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", folder, "--model", tone_model, "--output", folder / "a.wav" / "texts")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "a.wav" in err


def test_transcripts_of_the_same_name_do_not_overwrite_each_other(capsys, tmp_path: Path, tone_model, speak) -> None:
    for name, words in (("x/a.wav", ["la"]), ("y/a.wav", ["mi"]), ("y/a.WAV", ["so"])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        audio.write(tmp_path / name, speak(words), RATE)
    code, _, _ = call(capsys, "transcribe", tmp_path, "--model", tone_model, "--output", tmp_path / "out")
    assert code == 0
    assert sorted(path.read_text().strip() for path in (tmp_path / "out").iterdir()) == ["la", "mi", "so"]


@pytest.mark.parametrize("order", [("broken.wav", "a.wav", "b.wav"), ("a.wav", "broken.wav", "b.wav")])
def test_one_broken_file_does_not_stop_the_others(capsys, folder: Path, tone_model: Path, order) -> None:
    (folder / "broken.wav").write_text("this is text")
    code, out, err = call(capsys, "transcribe", *(folder / name for name in order), "--model", tone_model)
    assert code == 1
    assert out.splitlines() == [f"{folder / 'a.wav'}: la mi", f"{folder / 'b.wav'}: so"]
    first, second = err.splitlines()
    assert first == "asr: 1 of 3 files failed:"
    assert second.startswith(f"  {folder / 'broken.wav'}: is a text file")


def test_all_of_several_are_broken(capsys, tmp_path: Path, tone_model: Path) -> None:
    code, out, err = call(capsys, "transcribe", tmp_path / "a.wav", tmp_path / "b.wav", "--model", tone_model)
    assert (code, out) == (1, "")
    assert "2 of 2 files failed" in err


@pytest.mark.parametrize("content", [None, b"", b"this is text", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_the_only_file_is_broken(capsys, tmp_path: Path, tone_model: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    code, out, err = call(capsys, "transcribe", tmp_path / "a.wav", "--model", tone_model)
    assert (code, out) == (2, "")
    assert err.startswith(f"asr: {tmp_path / 'a.wav'}: ")
    assert len(err.splitlines()) == 1


def test_samples_that_are_no_numbers(capsys, tmp_path: Path, tone_model: Path) -> None:
    import soundfile

    samples = np.zeros(RATE, np.float32)
    samples[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    code, out, err = call(capsys, "transcribe", tmp_path / "nan.wav", "--model", tone_model)
    assert (code, out) == (2, "")
    assert "nan.wav" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("seconds", [0.0, 0.001, 2.0])
def test_silence_is_an_empty_line(capsys, tmp_path: Path, tone_model: Path, seconds: float) -> None:
    audio.write(tmp_path / "silence.wav", np.zeros(round(seconds * RATE), np.float32), RATE)
    assert call(capsys, "transcribe", tmp_path / "silence.wav", "--model", tone_model) == (0, "\n", "")
    code, out, _ = call(capsys, "transcribe", tmp_path / "silence.wav", "--model", tone_model, "--format", "json")
    assert code == 0
    assert json.loads(out)["text"] == ""


def test_a_folder_without_sound(capsys, tmp_path: Path, tone_model: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    code, out, err = call(capsys, "transcribe", tmp_path, "--model", tone_model)
    assert (code, out) == (2, "")
    assert "no sound files in this folder" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("damage", ["no such model", "an empty folder", "cut weights", "no labels"])
def test_a_model_that_is_none_is_one_line(capsys, folder: Path, tone_model: Path, tmp_path: Path, damage: str) -> None:
    model = tmp_path / "mine"
    if damage == "an empty folder":
        model.mkdir()
    elif damage != "no such model":
        shutil.copytree(tone_model, model)
        file = model / ("weights.safetensors" if damage == "cut weights" else "labels.txt")
        file.write_bytes(file.read_bytes()[:100]) if damage == "cut weights" else file.unlink()
    for command in ("transcribe", "evaluate"):
        code, out, err = call(capsys, command, folder, "--model", model)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert str(model) in err


@pytest.mark.parametrize(
    "wrong", [["--threads", "-1"], ["--threads", "two"], ["--beam", "-1"], ["--format", "doc"], ["--volume", "3"], []]
)
def test_wrong_options_say_what_is_wrong(capsys, folder: Path, wrong: list[str]) -> None:
    code, out, err = call(capsys, "transcribe", *([folder / "a.wav", *wrong] if wrong else []))
    assert (code, out) == (2, "")
    assert (wrong[0] if wrong else "FILE") in err


def test_more_threads_than_there_are_cores(capsys, folder: Path, tone_model: Path) -> None:
    for threads in (0, 100_000):
        code, out, _ = call(capsys, "transcribe", folder / "a.wav", "--model", tone_model, "--threads", threads)
        assert (code, out) == (0, "la mi\n")


def test_standard_input(folder: Path, tone_model: Path, tmp_path: Path) -> None:
    sound = (folder / "a.wav").read_bytes()
    ran = run("transcribe", "-", "--model", tone_model, input=sound)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"la mi\n", b"")
    ran = run("transcribe", "-", "--model", tone_model, "--output", tmp_path / "out", input=sound)
    assert (ran.returncode, (tmp_path / "out" / "stdin.txt").read_text()) == (0, "la mi\n")
    ran = run("transcribe", "-", "--model", tone_model, input=b"nothing that sounds")
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"asr: standard input: ")
    assert len(ran.stderr.splitlines()) == 1


def test_using_a_model_imports_nothing_that_the_light_install_lacks(folder: Path, tone_model: Path) -> None:
    program = """if True:
        import sys
        from asr.cli import main
        code = main(sys.argv[1:])
        lacking = {"torch", "torchaudio", "lightning", "lhotse", "onnx", "jiwer", "librosa", "av", "scipy"}
        print(code, sorted(lacking & set(sys.modules)))
        """
    arguments = ["transcribe", folder / "a.wav", "--model", tone_model, "--beam", "2"]
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines() == ["la mi", "0 []"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
def test_a_reader_that_has_gone_away(folder: Path, tone_model: Path) -> None:
    command = [sys.executable, "-m", "asr", "transcribe", *[folder / "a.wav"] * 2, folder, "--model", tone_model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        said = running.stderr.read()
    assert (running.returncode, said) == (141, b"")


def test_ctrl_c(capsys, folder: Path, tone_model: Path, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(transcribe, "transcribe_files", interrupted)
    assert call(capsys, "transcribe", folder, "--model", tone_model) == (130, "", "asr: stopped\n")


def test_a_pipe_is_read_once(capsys, tone_model: Path, tones: Path) -> None:
    sound = next(iter(sorted(tones.rglob("*.wav"))))
    _, plain, _ = call(capsys, "transcribe", sound, "--model", tone_model)
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -P -m asr transcribe <(cat '{sound}') --model '{tone_model}'"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (piped.returncode, piped.stdout) == (0, plain), piped.stderr


def test_output_is_checked_before_the_work(capsys, tone_model: Path, tones: Path, tmp_path: Path) -> None:
    sound = next(iter(sorted(tones.rglob("*.wav"))))
    file = tmp_path / "file"
    file.write_text("mine")
    code, out, err = call(capsys, "transcribe", sound, "--model", tone_model, "--output", file)
    assert (code, out) == (2, "")
    assert f"{file}: is a file; give a folder to --output" in err
    beside = sound.with_suffix(".txt").read_text()
    code, out, err = call(capsys, "transcribe", sound, "--model", tone_model, "--output", sound.parent)
    assert (code, out) == (2, "")
    assert "may be its transcript" in err
    code, out, err = call(
        capsys, "transcribe", sound, "--model", tone_model, "--output", sound.parent, "--format", "srt", "txt"
    )
    assert (code, out) == (2, "")
    assert not sound.with_suffix(".srt").exists()
    assert sound.with_suffix(".txt").read_text() == beside


def test_an_empty_folder_does_not_stop_the_others(capsys, tone_model: Path, tones: Path, tmp_path: Path) -> None:
    sound = next(iter(sorted(tones.rglob("*.wav"))))
    code, out, err = call(capsys, "transcribe", tmp_path, sound, "--model", tone_model)
    assert code == 1
    assert out
    assert f"1 of 2 files failed:\n  {tmp_path}: no sound files in this folder" in err

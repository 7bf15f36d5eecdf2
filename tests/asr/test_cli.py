"""The command line: what it prints, what it answers with, and that no mistake ends in a traceback."""

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

from asr import shipped, transcribe
from asr.cli import _parser, main
from features import audio

COMMANDS = ("transcribe", "align", "evaluate", "check", "train", "lm", "doctor")
RATE = 8000


def run(*arguments: object, **settings) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "asr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, **settings)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit code, standard output, standard error."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as ended:  # how argparse ends
        code = ended.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


@pytest.fixture
def folder(tmp_path: Path, speak) -> Path:
    """Three recordings, one in a subfolder, and a file that is none."""
    for name, words in (("b.wav", ["so"]), ("a.wav", ["la", "mi"]), ("deep/c.flac", ["mi", "mi"])):
        path = tmp_path / "sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path.with_suffix(".wav"), speak(words), RATE)
    (tmp_path / "sounds" / "notes.txt").write_text("not a recording")
    return tmp_path / "sounds"


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_names_every_command(capsys, arguments: list[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: asr")
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("transcribe", ["FILE", "--model", "--format", "--output", "--threads", "--beam", "--lm", "--hot-word"]),
        ("evaluate", ["DATA", "--model", "--output", "--threads", "--beam", "--form"]),
        ("check", ["DATA", "--alphabet", "--model", "--form", "--output"]),
        (
            "train",
            ["data", "--out", "--dev", "--from", "--config", "--loop.epochs", "--encoder.layers", "--tokens.unit"],
        ),
        ("doctor", ["usage"]),
    ],
)
def test_help_of_a_command_names_its_options(capsys, command: str, options: list[str]) -> None:
    code, out, err = call(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: asr {command}")
    for option in options:
        assert option in out


def test_help_of_training_explains_every_setting(capsys) -> None:
    _, out, _ = call(capsys, "train", "--help")
    unexplained = [
        line for line in re.findall(r"^  --\S+ .*(?:\n {6,}.*)*", out, re.MULTILINE) if len(line.split()) < 4
    ]
    assert unexplained == []


def test_help_imports_nothing_heavy() -> None:
    program = """if True:
        import sys
        from asr.cli import main
        try:
            main(sys.argv[1:])
        except SystemExit:
            pass
        heavy = {"torch", "lightning", "lhotse", "onnxruntime", "numpy", "soundfile", "soxr", "yaml", "rich"}
        print(sorted(heavy & set(sys.modules)), file=sys.stderr)
        """
    for arguments in (["--help"], ["transcribe", "--help"], ["evaluate", "--help"], []):
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert ran.stderr.strip() == "[]", arguments


def test_no_command_and_a_wrong_one(capsys) -> None:
    code, out, _ = call(capsys)
    assert code == 2
    assert out.startswith("usage: asr")
    code, _, err = call(capsys, "transcrive", "a.wav")
    assert code == 2
    assert "transcrive" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["transcribe", "a.wav", "--format", "doc"], "asr transcribe: argument --format: invalid choice: 'doc'"),
        (["transcribe"], "asr transcribe: name sound files or folders as FILE, or a list of them"),
        (["train", "data"], "asr train: the following arguments are required: out"),
        (["train", "data", "--out", "o", "--bogus", "3"], "asr train: unrecognized arguments: --bogus 3"),
        (["train", "data", "--out", "o", "--loop.epochs", "x"], "asr train: loop.epochs is x; it must be int"),
        (["train", "data", "--out", "o", "--features.fbank.bins", "x"], "asr train: features.fbank.bins is x; it must"),
        (
            ["train", "data", "--out", "o", "--latency.chunk_ms", "400"],
            "asr train: latency.chunk_ms is 400; it must be tuple[float, float] or null, in brackets as [1,2] is",
        ),
    ],
)
def test_a_mistyped_command_is_told_on_one_line(capsys, arguments: list[str], said: str) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.endswith(f"; see asr {arguments[0]} --help\n")
    assert err.count("\n") == 1


# --- transcribe -------------------------------------------------------------------------------------------------------


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


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluating_counts_errors_and_writes_a_report(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tones / "test", tmp_path / "test"))
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model)
    assert code == 0
    assert out.startswith("WER 0.00 %")
    words = sum(len(path.read_text().split()) for path in data.rglob("*.txt"))
    assert f"in {words} words" in out
    wrong = data / "speaker0" / "u0.txt"
    wrong.write_text(wrong.read_text() + " la")
    report = tmp_path / "report.md"
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model, "--output", report)
    assert code == 0
    assert "0 substitutions, 1 deletions, 0 insertions" in out
    assert str(report) in err
    assert "speaker0/u0" in report.read_text()


def test_evaluating_goes_on_without_what_cannot_be_read(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    """One is no sound, which shows at once, and one is cut short, which shows when it is read."""
    data = Path(shutil.copytree(tones / "test", tmp_path / "test"))
    (data / "speaker1" / "u1.wav").write_text("text")
    cut = data / "speaker2" / "u2.wav"
    cut.write_bytes(cut.read_bytes()[:700])
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model)
    assert code == 1
    assert out.startswith("WER 0.00 %")
    assert "2 recordings could not be read and are not counted" in err
    assert str(data / "speaker1" / "u1.wav") in err
    assert str(cut) in err


def test_evaluating_where_nothing_can_be_read(capsys, tmp_path: Path, tone_model: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").write_text("text")
        (tmp_path / f"{name}.txt").write_text("la")
    code, out, err = call(capsys, "evaluate", tmp_path, "--model", tone_model)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "no recording could be read" in err
    code, _, err = call(capsys, "evaluate", tmp_path / "nowhere", "--model", tone_model)
    assert code == 2
    assert "no such file or folder" in err


# --- train ------------------------------------------------------------------------------------------------------------

SMALL = [
    "--features.fbank.rate=8000",
    "--features.fbank.bins=12",
    "--encoder.layers=1",
    "--encoder.hidden_size=8",
    "--loop.epochs=2",
    "--loop.workers=0",
]


def test_training_from_a_folder_to_a_model(capsys, tones: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("tokens: {unit: word}\nloop: {epochs: 9, batch_frames: 3000}\n")
    arguments = ["train", tones / "train", "--out", tmp_path / "run", "--config", tmp_path / "own.yaml", *SMALL]
    code, out, err = call(capsys, *arguments)
    model = tmp_path / "run" / "model"
    assert code == 0
    assert out.splitlines()[-1] == str(model)
    assert f"asr transcribe FILE --model {model}" in err
    assert "asr train" in (model / "README.md").read_text()
    assert len(re.findall("^interval", (tmp_path / "run" / "run" / "train.log").read_text(), re.MULTILINE)) == 2
    assert call(capsys, "transcribe", tones / "test" / "speaker0" / "u0.wav", "--model", model)[0] == 0
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert "already trained" in out
    code, _, err = call(capsys, *arguments, "--loop.epochs", 3)
    assert code == 2
    assert "holds a run with other settings (loop)" in err


def test_training_from_a_table_with_development_data_from_a_model(
    capsys, tones: Path, tone_model: Path, tmp_path
) -> None:
    rows = ["path\ttext\tspeaker"]
    rows += [
        f"{p.with_suffix('.wav')}\t{p.read_text()}\t{p.parent.name}" for p in sorted((tones / "train").rglob("*.txt"))
    ]
    (tmp_path / "data.tsv").write_text("\n".join(rows) + "\n")
    arguments = ["--dev", tones / "dev", "--from", tone_model, "--tokens.unit", "word", *SMALL[-2:]]
    code, out, _ = call(capsys, "train", tmp_path / "data.tsv", "--out", tmp_path / "run", *arguments)
    assert code == 0
    model = Path(out.splitlines()[-1])
    card = (model / "README.md").read_text()
    assert "96 utterances" in card
    assert "16 utterances" in card
    assert re.search(r"Trained on from: trained\d+/model\n", card)
    code, out, _ = call(capsys, "evaluate", tones / "test", "--model", model)
    assert (code, out.splitlines()[0][:10]) == (0, "WER 0.00 %")


def test_training_on_one_speaker_says_what_the_error_is_worth(capsys, tones: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tones / "train" / "speaker0", data / "anna")
    code, _, err = call(capsys, "train", data, "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "all is spoken by anna" in err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--loop.epoks", "3"], "epoks"),
        (["--colour", "red"], "colour"),
        (["--loop.epochs", "0"], "loop.epochs"),
        (["--loop.epochs", "many"], "loop.epochs"),
        (["--encoder.cell", "gru9"], "gru9"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--dev", "nowhere"], "nowhere: no such file or folder"),
        (["--from", "nowhere"], "nowhere: neither a shipped model"),
        (["--augment.noise", "nowhere", "--augment.noise_probability", "1"], "nowhere"),
    ],
)
def test_training_with_wrong_settings_names_them(
    capsys, tones: Path, tmp_path: Path, wrong: list[str], named: str
) -> None:
    code, out, err = call(capsys, "train", tones / "train", "--out", tmp_path / "run", *SMALL, *wrong)
    assert (code, out) == (2, "")
    assert named in err


def test_an_unknown_key_in_a_file_of_settings_is_named(capsys, tones: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("loop:\n  epochs: 3\n  epoks: 4\n")
    code, out, err = call(
        capsys, "train", tones / "train", "--out", tmp_path / "run", "--config", tmp_path / "own.yaml"
    )
    assert (code, out) == (2, "")
    assert "epoks" in err


@pytest.mark.parametrize("content", ["nothing", "one utterance", "no words"])
def test_training_on_too_little_is_one_line(capsys, tmp_path: Path, speak, content: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if content != "nothing":
        for name in ("a",) if content == "one utterance" else ("a", "b", "c"):
            audio.write(data / f"{name}.wav", speak(["la"]), RATE)
            (data / f"{name}.txt").write_text("la" if content == "one utterance" else "")
    code, out, err = call(capsys, "train", data, "--out", tmp_path / "run", *SMALL)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("asr: ")


# --- doctor and the shipped models ------------------------------------------------------------------------------------


def test_doctor_says_what_is_there(capsys) -> None:
    code, out, err = call(capsys, "doctor")
    assert (code, err) == (0, "")
    assert out.startswith("saywave ")
    for line in (
        "ok       transcribe wav",
        "ok       evaluate, calibrate, tune: jiwer",
        "ok       train: torch",
        "training runs on",
    ):
        assert line in out
    for name in shipped.names():
        assert f"ok       model {name}: " in out


def test_doctor_says_what_is_missing(capsys, monkeypatch) -> None:
    import asr.doctor as doctor

    there = doctor.importlib.util.find_spec
    lacking = {"torch", "lhotse", "av", "sounddevice"}
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in lacking else there(name))
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert "missing  transcribe m4a, mp4, webm: av; pip install 'saywave[video]'" in out
    assert "missing  listen to a microphone: sounddevice; pip install 'saywave[mic]'" in out
    assert "missing  evaluate, calibrate, tune: lhotse; pip install 'saywave[train]'" in out
    assert "missing  train: torch, lhotse; pip install 'saywave[train]'" in out
    assert "ok       transcribe wav" in out


def test_doctor_lists_microphones_or_says_why_there_is_none(tmp_path: Path) -> None:
    virtual = runpy.run_path(str(Path(__file__).resolve().parents[1] / "virtual_microphone.py"))
    with virtual["virtual_microphone"](np.zeros(RATE, np.float32), RATE, names=["desk"]) as microphone:
        ran = run("doctor", env=microphone.env)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"ok       microphone 0: desk (ALSA), 44100 Hz\n" in ran.stdout
        assert b"ok       microphone 1: default (ALSA), 44100 Hz, the default\n" in ran.stdout
    ran = run("doctor", env=virtual["environment"](tmp_path))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"ok       listen to a microphone: sounddevice " in ran.stdout
    assert b"missing  microphone: no microphone was found: plug one in" in ran.stdout


def test_what_an_extra_brings_is_named_where_it_is_missing(capsys, tones: Path, tone_model: Path, monkeypatch) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "jiwer") else there(name))
    code, _, err = call(capsys, "train", tones / "train", "--out", "nowhere")
    assert (code, err) == (2, "asr: training needs torch, jiwer: pip install 'saywave[train]'\n")
    code, _, err = call(capsys, "evaluate", tones / "test", "--model", tone_model)
    assert (code, err) == (2, "asr: evaluating needs jiwer: pip install 'saywave[train]'\n")
    code, _, err = call(capsys, "tune", tones / "test", "--model", tone_model, "--lm", "none.arpa")
    assert (code, err) == (2, "asr: tuning needs jiwer: pip install 'saywave[train]'\n")


def test_models_are_found_by_name_and_by_path(tone_model: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(tone_model, tmp_path / "tones")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert shipped.names() == ["tones"]
    assert shipped.find("tones") == tmp_path / "tones"
    assert shipped.find(str(tone_model)) == tone_model
    with pytest.raises(ValueError, match=r"digits: neither a shipped model \(tones\)"):
        shipped.find("digits")


def test_a_pipe_is_read_once(tone_model: Path, tones: Path) -> None:
    sound = next(iter(sorted(tones.rglob("*.wav"))))
    plain = subprocess.run(
        [sys.executable, "-P", "-m", "asr", "transcribe", sound, "--model", tone_model], capture_output=True, text=True
    )
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -P -m asr transcribe <(cat '{sound}') --model '{tone_model}'"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (piped.returncode, piped.stdout) == (0, plain.stdout), piped.stderr


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

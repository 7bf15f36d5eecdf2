"""A command in a Markdown file is a promise: every one parses, extras and links exist, and the README's Python runs."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import asr
from asr import cli as asr_cli
from features import audio
from gestures import cli as gestures_cli
from recipes import cli as recipes_cli

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "recipes/*/README.md", "*/demo/*.md", "*/models/*/*.md")
    for path in REPOSITORY.glob(pattern)
)
README = REPOSITORY / "README.md"
RECORDING = REPOSITORY / "asr" / "demo" / "digits.flac"
LANDMARKS = REPOSITORY / "gestures" / "demo" / "hand.pose"
# They are not installed. What is installed comes first.
sys.path.append(str(REPOSITORY))
from benchmarks.command import parser as benchmarks_parser  # noqa: E402

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"asr": asr_cli, "gestures": gestures_cli}
INLINE = re.compile(r"`((?:asr|gestures|make|python -m recipes|python -m benchmarks) [^`\n]+)`")
INDENTED = re.compile(r"^ {4}((?:asr|gestures|make|python -m recipes|python -m benchmarks) .+)$", re.MULTILINE)
MODULES = ("recipes", "benchmarks")
ENDS = {"&&", "||", "|", ";", ">", "2>"}


def split(line: str) -> list[list[str]]:
    """A shell line as its commands."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in ENDS:
            found.append([])
        else:
            found[-1].append(word)
    return found


def commands(text: str) -> list[tuple[str, ...]]:
    """The commands of ours in a Markdown text, each once."""
    lines = [line for language, block in FENCE.findall(text) if language in ("sh", "console", "bash", "")
             for line in block.replace("\\\n", " ").splitlines()]  # fmt: skip
    rest = FENCE.sub("", text)
    lines += INLINE.findall(rest) + INDENTED.findall(rest)
    found = [command for line in lines for command in split(line.removeprefix("$ "))]
    ours = [
        command
        for command in found
        if {*command[:1]} & {*PROGRAMS, "make"} or (command[:2] == ["python", "-m"] and command[2] in MODULES)
    ]
    return list(dict.fromkeys(tuple(command) for command in ours))


EVERY = [
    pytest.param(command, id=f"{path.relative_to(REPOSITORY)}: {shlex.join(command)}")
    for path in PAGES
    for command in commands(path.read_text(encoding="utf-8"))
]


@functools.cache
def parser_of(program: str) -> argparse.ArgumentParser:
    return PROGRAMS[program]._parser()


def trains(arguments: list[str]) -> bool:
    """Whether a command trains, which has a parser of its own."""
    return arguments[0] == "train" or arguments[:2] == ["lm", "train"]


def exit_code(program: str, arguments: list[str]) -> int | str | None:
    """How a program ends, where it parses and then shows instead of running."""
    try:
        if program == "recipes":
            return recipes_cli.main(arguments)
        if program == "benchmarks":
            benchmarks_parser().parse_args(arguments)
            return 0
        if trains(arguments):
            return PROGRAMS[program].main(arguments)
        parser_of(program).parse_args(arguments)
        return 0
    except SystemExit as ended:
        return ended.code


def dry_run(arguments: list[str]) -> int:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # What a surrounding make hands down would apply to this one as well.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    command = ["make", "--dry-run", f"PYTHON={sys.executable}", *(a for a in arguments if not a.startswith("PYTHON="))]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True).returncode


def accepted(command: tuple[str, ...]) -> bool:
    """Whether a command parses. One that only names a subcommand must have it."""
    program, *arguments = command
    if program == "make":
        return dry_run(arguments) == 0
    # Paths are those of a clone, where commands are typed.
    with contextlib.chdir(REPOSITORY):
        return _accepted(program, arguments)


def _accepted(program: str, arguments: list[str]) -> bool:
    if program in PROGRAMS:
        if len(arguments) == 1:
            arguments = [*arguments, "--help"]
        return exit_code(program, [*arguments, "--print_config"] if trains(arguments) else arguments) == 0
    if arguments[1] == "benchmarks":
        return exit_code("benchmarks", arguments[2:]) == 0
    recipe = arguments[2:]
    if not recipe or "--help" in recipe:
        return exit_code("recipes", recipe) == 0
    needed = {"--out"} if recipe[0] in recipes_cli.experiments() else {"--data", "--out"}
    return needed <= set(recipe) and exit_code("recipes", [*recipe, "--print_config"]) == 0


@pytest.mark.parametrize("command", EVERY)
def test_command_parses(command: tuple[str, ...]) -> None:
    assert accepted(command)


@pytest.mark.parametrize(
    "line",
    [
        "asr transcribe",
        "asr transcribe a.wav --format docx",
        "asr write a.wav",
        "asr train data --out model --loop.passes 3",
        "asr train data --out model --loop.epochs many",
        "asr lm train text --out model --network.cells 2",
        "gestures recognise a.mp4",
        "gestures record wave hello",
        "gestures train clips --out model --head.kind regression",
        "make tset",
        "python -m recipes fsdd --data a",
        "python -m recipes fsdd --data a --out b --seeds one",
        "python -m recipes absent --data a --out b",
        "python -m recipes long_time_lag --tasks adding",
        "python -m recipes long_time_lag --out a --tasks subtracting",
        "python -m benchmarks --only speed",
        "python -m benchmarks --rounds 0",
    ],
)
def test_wrong_commands_would_be_noticed(line: str) -> None:
    command = tuple(shlex.split(line))
    if line == "asr transcribe":
        with pytest.raises(SystemExit):
            asr_cli._parser().parse_args(list(command[1:]))
    else:
        assert not accepted(command)


def test_commands_are_found_in_every_form() -> None:
    fenced = "```sh\ncat a | asr transcribe - # x\nmake \\\n  test\n```\n"
    text = f"`asr doctor`, `--help`\n\n{fenced}\n    asr train x --out y\n"
    found = [" ".join(command) for command in commands(text)]
    assert found == ["asr transcribe -", "make test", "asr doctor", "asr train x --out y"]


def test_readme_names_its_two_commands_every_extra_and_every_recipe() -> None:
    text = README.read_text(encoding="utf-8")
    assert {("make", "demo"), ("make", "test")} <= set(commands(text))
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(re.findall(r"'\.\[(\w+)\]'", text)) == set(extras) - {"test"}
    assert set(re.findall(r"\(recipes/(\w+)/README\.md\)", text)) == set(recipes_cli.names())


HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What `#` may be followed by in links to a page, by the rule of GitHub: words of its headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost_links(path: Path, text: str) -> list[str]:
    """Links to files and headings that are not there, and names of links that the page does not define."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    defined = dict(DEFINITION.findall(prose))
    lost = [name for name in re.findall(r"\]\[([^\]]+)\]", prose) if name not in defined]
    for target in [*re.findall(r"\]\(([^)]+)\)", prose), *defined.values()]:
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        if "://" not in target and (not page.exists() or (anchor and anchor not in anchors(page))):
            lost.append(target)
    return lost


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(path: Path) -> None:
    assert lost_links(path, path.read_text(encoding="utf-8")) == []


def test_lost_links_would_be_noticed() -> None:
    text = "[a](#absent) [b][here] [c][nowhere]\n\n[here]: RESULTS.md#absent\n[there]: absent.md\n[x]: https://example.org#x\n"
    assert lost_links(README, text) == ["nowhere", "#absent", "RESULTS.md#absent", "absent.md"]
    assert lost_links(README, "`x[0][1]`, [a](RESULTS.md#beside-others)") == []


def run_block(number: int, folder: Path) -> list[str]:
    """Lines that the README's Python of this number prints where `a.wav` and `hand.pose` are what ships."""
    text = README.read_text(encoding="utf-8")
    code = [block for language, block in FENCE.findall(text) if language == "python"][number]
    samples_S, rate = audio.read(RECORDING)
    audio.write(folder / "a.wav", samples_S, rate)
    shutil.copy(LANDMARKS, folder)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_readme_python_runs(tmp_path: Path) -> None:
    text, *words = run_block(0, tmp_path)
    assert text == " ".join(line.split()[0] for line in words)
    assert text == asr.load("digits").transcribe(RECORDING).text
    times = [float(time) for line in words for time in line.split()[1:]]
    assert np.all(np.diff(times) >= 0)


def test_readme_python_of_a_stream_runs(tmp_path: Path) -> None:
    lines = [line.split(maxsplit=3) for line in run_block(1, tmp_path)]
    finals = [line for line in lines if line[2] == "True"]
    assert finals
    assert len(lines) > len(finals), "partial events come before"
    assert lines[-1] == finals[-1]


def test_readme_python_of_a_pool_runs(tmp_path: Path) -> None:
    lines = [line.split(maxsplit=2) for line in run_block(2, tmp_path)]
    finals = [[text for name, final, text in lines if (name, final) == (who, "True")] for who in ("anna", "ben")]
    assert finals[0] == finals[1] != []


def test_readme_python_of_gestures_runs(tmp_path: Path) -> None:
    assert [line.split()[0] for line in run_block(3, tmp_path)] == ["open", "close", "point", "clockwise"]


# What answers one question, `python -m benchmarks.NAME`, makes its parser where it runs: options are looked for in it.
STUDY = re.compile(r"python (?:-m benchmarks\.(\w+)|(benchmarks/\S+\.py))([^`\n]*)")
PLACEHOLDER = "NAME"


def study_runs(name: str, path: str, arguments: str) -> bool:
    """Whether there is such a benchmark, run as a module, with options that it knows or, dotted, hands on."""
    program = REPOSITORY / "benchmarks" / f"{name}.py"
    if path or not program.is_file():
        return False
    source = program.read_text(encoding="utf-8")
    options = re.findall(r"(?<!\S)--\w[\w.-]*", arguments)
    known = ["--help", *re.findall(r'"(--[\w-]+)"', source)]
    return '"__main__"' in source and all("." in option or option in known for option in options)


def test_benchmarks_of_their_own_are_there_with_their_options() -> None:
    pages = [*PAGES, *(REPOSITORY / "benchmarks").glob("*.py")]
    found = [(page.name, *one) for page in pages for one in STUDY.findall(page.read_text(encoding="utf-8"))]
    named = [one for one in found if one[1] != PLACEHOLDER]
    assert len(named) > 20, "the pattern finds them"
    assert [one for one in named if not study_runs(*one[1:])] == []
    assert not study_runs("absent", "", "")
    assert not study_runs("", "benchmarks/cells.py", "")
    assert not study_runs("cells", "", " --layers 3")

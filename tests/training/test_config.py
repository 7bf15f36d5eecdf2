"""Dataclasses to YAML to the command line: the later wins, nothing is lost, and an unknown key is named."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from asr.train import TrainConfig
from recipes.run import kind_of
from training.config import OUT_OPTION, LoopConfig, OptimizerConfig, parse

RECIPES = Path(__file__).resolve().parent.parent.parent / "recipes"


@dataclass
class Inner:
    """The inner settings.

    Args:
        number: A number.
        kind: A choice.
    """

    number: int = 3
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"inner.number is {self.number}; it must not be negative")


@dataclass
class Outer:
    """The settings.

    Args:
        inner: What is inside.
        name: A name.
        values: Some numbers.
    """

    inner: Inner = field(default_factory=Inner)
    name: str = "x"
    values: list[int] = field(default_factory=lambda: [1, 2])


def outer(*arguments: str, **settings) -> Outer:
    return parse(Outer, arguments=list(arguments), prog="program", **settings)[0]


def test_defaults() -> None:
    assert outer() == Outer()


def test_the_later_wins(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("name: default\ninner: {number: 1, kind: b}\nvalues: [7]\n")
    (tmp_path / "own.yaml").write_text("inner: {number: 2}\n")
    default, own = tmp_path / "default.yaml", str(tmp_path / "own.yaml")
    assert outer(default_file=default) == Outer(Inner(1, "b"), "default", [7])
    assert outer("--config", own, default_file=default) == Outer(Inner(2, "b"), "default", [7])
    assert outer("--config", own, "--inner.number", "5", default_file=default) == Outer(Inner(5, "b"), "default", [7])
    assert outer("--inner.number", "5", "--config", own, default_file=default).inner.number == 2, (
        "in the order of the line"
    )
    assert outer("--values", "[4,5]", "--name", "own", default_file=default) == Outer(Inner(1, "b"), "own", [4, 5])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("colour: red\n", "colour"),
        ("inner: {shade: red}\n", "shade"),
        ("inner: {number: many}\n", "number"),
        ("inner: {kind: c}\n", "kind"),
        ("name: [\n", "config"),
    ],
)
def test_a_file_that_cannot_be_is_an_error_that_names_the_key(tmp_path: Path, capsys, content: str, named: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(SystemExit) as ended:
        outer("--config", str(tmp_path / "own.yaml"))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--colour", "red"], "colour"),
        (["--inner.shade", "red"], "shade"),
        (["--inner.number", "many"], "number"),
        (["--inner.kind", "c"], "kind"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["extra"], "extra"),
    ],
)
def test_a_line_that_cannot_be_is_an_error_that_names_the_key(capsys, arguments: list[str], named: str) -> None:
    with pytest.raises(SystemExit) as ended:
        outer(*arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "here", "--devices", "two"], "devices is two; it must be int or 'auto'"),
        (["--out", "here", "--batch_frames", "many"], "batch_frames is many; it must be int or null"),
        (["--out", "here", "--keep", "first"], "keep is first; it must be one of 'best', 'last'"),
        ([], "the following arguments are required: --out"),
    ],
)
def test_a_wrong_value_is_told_in_words(capsys, arguments: list[str], told: str) -> None:
    with pytest.raises(SystemExit):
        parse(LoopConfig, arguments=arguments, extras={"--out": OUT_OPTION}, prog="program")
    assert capsys.readouterr().err == f"program: {told}; see program --help\n"


def test_a_value_that_the_dataclass_refuses_is_told_in_its_words(capsys) -> None:
    with pytest.raises((SystemExit, ValueError)) as ended:
        outer("--inner.number", "-1")
    assert "inner.number is -1; it must not be negative" in capsys.readouterr().err + str(ended.value)


def test_help_is_made_of_the_docstrings(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        outer("--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for text in ("usage: program", "--inner.number", "A number.", "{a,b}", "default: 3", "--config"):
        assert text in said


def test_extras_and_functions_stand_beside_the_settings() -> None:
    def prepare(data: str, *, share: float = 0.5, speaker: str | None = None) -> None:
        """Prepare.

        Args:
            data: Where it is.
            share: How much.
            speaker: Whose.
        """

    made, options = parse(
        Outer,
        arguments=["--out", "o", "--prepare.share", "0.25", "--name", "n"],
        extras={"--out": {"type": str, "required": True}, "--count": {"type": int, "default": 4}},
        functions={"prepare": (prepare, {"data"})},
    )
    assert made == Outer(name="n")
    assert (options.out, options.count) == ("o", 4)
    assert options.prepare.as_dict() == {"share": 0.25, "speaker": None}


def as_yaml(config: object) -> str:
    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value

    return yaml.safe_dump(plain(asdict(config)))


def training_config(*arguments: str, **settings) -> TrainConfig:
    return parse(TrainConfig, arguments=list(arguments), **settings)[0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--loop.epochs", "3", "--loop.interval_batches", "17", "--loop.devices", "2", "--tokens.unit", "word"],
        ["--features.fbank", "null", "--features.mfcc.bins", "24", "--features.deltas", "2"],
        ["--encoder.subsampling", "[1,2,2]", "--augment.speed", "[0.9,1.1]", "--optimizer.learning_rate", "1e-4"],
    ],
)
def test_every_setting_survives_yaml(tmp_path: Path, arguments: list[str]) -> None:
    config = training_config(*arguments)
    (tmp_path / "all.yaml").write_text(as_yaml(config))
    again = training_config("--config", str(tmp_path / "all.yaml"))
    assert as_yaml(again) == as_yaml(config)
    assert again == config
    assert type(again.encoder.subsampling) is type(config.encoder.subsampling)


def holds(made: object, written: object) -> bool:
    """Whether settings are as they were written; what was not written has its default."""
    if isinstance(written, dict):
        return all(holds(made[key], value) for key, value in written.items())
    if isinstance(written, list):
        return len(made) == len(written) and all(map(holds, made, written))
    return made == written


@pytest.mark.parametrize(
    "path",
    sorted(path for path in RECIPES.glob("*/*.yaml") if (path.parent / "prepare.py").exists()),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_every_recipe_has_settings_that_can_be(path: Path) -> None:
    recipe = importlib.import_module(f"recipes.{path.parent.name}.prepare")
    kind, functions = kind_of(recipe).TrainConfig, {"prepare": (recipe.prepare, {"data", "out"})}
    config, others = parse(kind, arguments=[], default_file=path, functions=functions)
    assert config != kind()
    parts = asdict(config) | {"prepare": vars(others.prepare) if "prepare" in others else {}}
    for part, values in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        for key, value in values.items():
            assert holds(parts[part][key], value), f"{part}.{key}"
    changed, _ = parse(
        kind, arguments=["--loop.epochs", "1", "--encoder.layers", "4"], default_file=path, functions=functions
    )
    assert changed.encoder.layers == 4


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        (LoopConfig, {"epochs": 0}, "loop.epochs"),
        (LoopConfig, {"batch_frames": 0}, "loop.batch_frames"),
        (LoopConfig, {"interval_batches": 0}, "loop.interval_batches is 0"),
        (LoopConfig, {"clip_norm": 1.0, "clip_value": 1.0}, "loop.clip_norm is 1 and loop.clip_value 1"),
        (LoopConfig, {"keep": "last", "patience": 3}, "set loop.patience to 0"),
        (LoopConfig, {"average": 1.0}, "loop.average is 1.0"),
        (LoopConfig, {"average": -0.1}, "loop.average is -0.1"),
        (LoopConfig, {"seed": -1}, "loop.seed is -1"),
        (LoopConfig, {"seed": 1 << 31}, "loop.seed"),
        (OptimizerConfig, {"learning_rate": 0.0}, "optimizer.learning_rate is 0.0"),
        (OptimizerConfig, {"learning_rate": float("nan")}, "optimizer.learning_rate is nan"),
        (OptimizerConfig, {"warmup_steps": -1}, "optimizer.warmup_steps"),
        (OptimizerConfig, {"final_rate": 1.1}, "optimizer.final_rate"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(kind: type, settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        kind(**settings)
    # And on the command line, where a user meets them.
    part = "loop" if kind is LoopConfig else "optimizer"
    arguments = [f"--{part}.{key}={value}" for key, value in settings.items()]
    with pytest.raises((SystemExit, ValueError)):
        training_config(*arguments)

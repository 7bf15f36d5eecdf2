"""Rules of the tree that no linter knows: where files lie, how long they are, and what a recipe consists of."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from recipes import cli

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
LONGEST_MODULE = 400  # lines
LARGEST_FILE = 8_000_000  # bytes
# What a shipped model is made of: its weights, or its language model.
LARGEST_OF_A_MODEL = 12_000_000
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
RECIPES = sorted(path.parent for path in (REPOSITORY / "recipes").glob("*/prepare.py"))
# A path on somebody's machine, or the address of a package index.
PRIVATE = re.compile(r"(?:^|[^\w./-])/(?:root|work|home/\w+|Users/\w+|tmp/\w+)/|index-url|find-links")


def inside(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", MODULES, ids=inside)
def test_module_has_one_subject(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_MODULE, "split it by meaning"
    assert path.name not in ("utils.py", "util.py", "helpers.py", "common.py"), "name it after its subject"
    tree = ast.parse(source)
    assert not tree.body or ast.get_docstring(tree), "a module begins with why it is there"


def test_packages_are_typed() -> None:
    assert [package for package in PACKAGES if not (REPOSITORY / package / "py.typed").is_file()] == []


def test_tests_mirror_the_packages() -> None:
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {*PACKAGES, "project"}
    assert not list((REPOSITORY / "tests").rglob("__init__.py")), "test folders are no packages"


@pytest.mark.parametrize("folder", RECIPES, ids=lambda folder: folder.name)
def test_recipe_is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"__init__.py", "prepare.py", "config.yaml", "README.md"} <= {path.name for path in folder.iterdir()}
    assert folder.name in cli.names()
    with pytest.raises(SystemExit) as ended:
        cli.main([folder.name, "--data", "corpus", "--out", "out", "--print_config"])
    assert ended.value.code == 0
    assert "features:" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(cli.experiments()))
def test_experiment_is_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"__init__.py", "config.yaml", "README.md"} <= {path.name for path in (cli.FOLDER / name).iterdir()}
    assert name in cli.names()
    assert cli.main([name, "--out", "out", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)


def test_nothing_private_and_nothing_large() -> None:
    places = [
        *(REPOSITORY / name for name in (*PACKAGES, "tests", "benchmarks", ".ci")),
        REPOSITORY / "Makefile",
        *REPOSITORY.glob("[!.]*.*"),
    ]
    paths = [inner for place in places for inner in ([place] if place.is_file() else place.rglob("*"))]
    paths = [path for path in paths if path.is_file() and path != Path(__file__) and "__pycache__" not in path.parts]
    largest = {path: LARGEST_OF_A_MODEL if "models" in path.parts else LARGEST_FILE for path in paths}
    assert [inside(path) for path in paths if path.stat().st_size > largest[path]] == []
    text = [path for path in paths if path.suffix in (".py", ".md", ".toml", ".yaml", "")]
    assert [inside(path) for path in text if PRIVATE.search(path.read_text(encoding="utf-8"))] == []

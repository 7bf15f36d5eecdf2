"""What is installed is what the tree holds: nothing is missing or stale, and nothing lies beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
LARGEST_WHEEL = 30_000_000  # bytes; 22 MB of them are the model english

# Where each package is imported from, and what the distribution says it consists of.
FIND = """
import importlib, importlib.metadata, json, sys
print(json.dumps({
    "folders": {name: importlib.import_module(name).__path__[0] for name in sys.argv[1:]},
    "version": importlib.metadata.version("saywave"),
    "files": [str(path) for path in importlib.metadata.files("saywave") or []],
}))
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Files of the packages below `folder` by their path in it, without what Python and editors leave there."""
    paths = [path for package in PACKAGES for path in (folder / package).rglob("*")]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the tree by the setuptools that is installed."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools is older than the build needs")
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in REPOSITORY.glob("[!.]*"):
        if path.is_file():
            shutil.copy(path, tree)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    tree = contents(REPOSITORY)
    assert sorted(packed) == sorted(tree)
    assert packed == tree
    assert {"asr/demo/digits.flac", "asr/py.typed", "recipes/fsdd/config.yaml", "recipes/fsdd/README.md"} <= set(packed)


def test_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size < LARGEST_WHEEL


def test_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    (licence,) = (name for name in names if name.endswith("/LICENSE"))
    assert wheel.read(licence) == (REPOSITORY / "LICENSE").read_bytes()
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "asr = asr.cli:main" in wheel.read(entry_points).decode()
    about = metadata(wheel)
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] in (">=3.11,<3.14", "<3.14,>=3.11")


def test_base_installation_asks_for_nothing_of_training(wheel: zipfile.ZipFile) -> None:
    required = metadata(wheel).get_all("Requires-Dist") or []
    base = {line.split(";")[0].split("[")[0].split(">")[0].strip() for line in required if "extra ==" not in line}
    assert base == {"numpy", "soundfile", "soxr", "onnxruntime", "safetensors", "pyyaml", "jsonargparse", "rich"}


def test_all_means_every_extra_but_test() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = everything.removeprefix("saywave[").removesuffix("]").split(",")
    assert sorted(named) == sorted(set(extras) - {"all", "test"})


def test_installed_package_is_this_tree(tmp_path: Path) -> None:
    # -I: neither the current folder nor PYTHONPATH may help.
    command = [sys.executable, "-I", "-c", FIND, *PACKAGES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == PROJECT["project"]["version"]
    parents = {Path(folder).parent for folder in found["folders"].values()}
    assert len(parents) == 1
    installed = contents(parents.pop())
    tree = contents(REPOSITORY)
    different = sorted(name for name in {*installed, *tree} if installed.get(name) != tree.get(name))
    assert not different, "another version is installed: install this one (`make test` does)"
    top = {Path(name).parts[0] for name in found["files"]}
    allowed = {*PACKAGES, "..", "__pycache__"}
    assert not {name for name in top if name not in allowed and "saywave" not in name}

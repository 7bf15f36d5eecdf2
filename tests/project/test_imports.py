"""The import rules of pyproject.toml hold and bite, and the light installation does without torch."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

# Imports every module below the packages named, where the packages of training cannot be found.
IMPORT_ALL = """
import importlib, pkgutil, sys

ABSENT = {
    "torch", "torchaudio", "numba", "lightning", "lhotse", "onnx", "jiwer", "tensorboard", "av", "mediapipe", "cv2"
}
# What trains and evaluates, and reads manifests for it.
TRAINING = {
    "asr.train", "asr.train_export", "asr.train_gradients", "asr.train_labels", "asr.train_targets",
    "asr.language.train",
    *(f"gestures.{name}" for name in (
        "clips", "evaluate", "evaluate_cli", "reading", "stream_report", "train", "train_cli", "train_data",
        "train_defaults", "train_export", "windows",
    ))
}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
count = 0
for name in ("features", "inference", "asr", "gestures"):
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        if module.name not in TRAINING and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
importlib.import_module("training.metrics")
importlib.import_module("recipes.cli")
print(count)
"""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # The linter reads pyproject.toml and the packages of the folder that it is started in.
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


def test_the_rules_hold() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in done.stdout


def test_every_package_is_under_the_rules() -> None:
    found = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    # Benchmarks import everything and are not installed.
    assert {*PACKAGES, "benchmarks"} == found


def test_no_package_knows_the_benchmarks() -> None:
    paths = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    known = re.compile(r"^\s*(?:from|import) benchmarks\b", re.MULTILINE)
    assert [str(path) for path in paths if known.search(path.read_text(encoding="utf-8"))] == []
    assert known.search((REPOSITORY / "benchmarks" / "command.py").read_text(encoding="utf-8")), (
        "the pattern finds them"
    )


BROKEN = [
    ("features/mel.py", "import inference.ctc", "features.mel -> inference.ctc"),
    ("inference/scorer.py", "import encoders.cells", "inference.scorer -> encoders.cells"),
    ("encoders/cells.py", "import features.mel", "encoders.cells -> features.mel"),
    ("training/loop.py", "import asr.text", "training.loop -> asr.text"),
    ("features/mel.py", "import torch", "features.mel -> torch"),
    ("training/metrics.py", "from training import loop", "training.metrics -> training.loop"),
    ("asr/text.py", "import onnx.helper", "asr.text -> onnx"),
    ("asr/language/generate.py", "import torch", "asr.language.generate -> torch"),
    ("gestures/stream.py", "import asr.text", "gestures.stream -> asr.text"),
    ("gestures/draw.py", "import torch", "gestures.draw -> torch"),
]


@pytest.fixture(scope="module")
def broken_rules(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What the linter says of a copy in which all these rules are broken."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("[!_]*.[!p]*", "__pycache__")
        )
    for number, (module, line, _) in enumerate(BROKEN):
        with open(folder / module, "a", encoding="utf-8") as file:
            file.write(f"\n\ndef broken{number}():\n    {line}\n")
    return lint(folder)


@pytest.mark.parametrize("broken", [broken for *_, broken in BROKEN])
def test_a_broken_rule_is_found_inside_a_function(broken: str, broken_rules) -> None:
    assert broken_rules.returncode == 1, broken_rules.stdout + broken_rules.stderr
    assert broken in broken_rules.stdout


def test_using_a_model_imports_nothing_of_training(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20

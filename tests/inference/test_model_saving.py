"""Saving a model over another one: whoever dies while doing it, and however full the disk is, a whole one is there."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import textwrap
from operator import itemgetter
from pathlib import Path

import pytest

from inference import model as models
from inference.model import BLANK, GRAPH, WEIGHTS, ModelError

run_python, save = itemgetter("run_python", "save")(runpy.run_path(str(Path(__file__).with_name("small_model.py"))))


# Saves another model over the one at `sys.argv[1]` in a forked child for each place where it can be stopped, and says
# after each what lies there: the arrays' sums.
SAVER = """
import os, resource, signal, sys, hashlib
from pathlib import Path
from inference import model as models

place, source, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
other = models.load(source)
parts = dict(
    graph=(source / models.GRAPH).read_bytes(),
    weights=(source / models.WEIGHTS).read_bytes(),
    extractor=other.extractor,
    labels=other.labels,
    encoder=other.encoder,
    tokens=other.tokens,
    card=other.card,
)

def killed_at(number):
    left = number
    def hook(event, arguments):
        nonlocal left
        if event in EVENTS and any(str(place.parent) in str(argument) for argument in arguments):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

EVENTS = {
    "open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "shutil.rmtree",
    "tempfile.mkdtemp",
}

def full_disk_at(number):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number * 97, resource.RLIM_INFINITY))

for number in range(1000):
    child = os.fork()
    if not child:
        try:
            (killed_at if way == "killed" else full_disk_at)(number)
            models.save(place, **parts)
        except OSError as error:
            os._exit(3)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    there = hashlib.sha256((place / models.WEIGHTS).read_bytes()).hexdigest() if models.load(place) else ""
    print(status, there, len(list(place.parent.iterdir())), flush=True)
    if not status:
        break
"""


def sum_of(directory: Path) -> str:
    return hashlib.sha256((directory / WEIGHTS).read_bytes()).hexdigest()


def saved_over(tmp_path: Path, way: str) -> list[tuple[str, str, str]]:
    """Exit status, sum of the weights that are there, and number of files beside, after each try."""
    old, new = save(tmp_path / "place" / "model", seed=1).directory, save(tmp_path / "new", seed=2).directory
    sums = {sum_of(old): "old", sum_of(new): "new"}
    assert len(sums) == 2
    ran = run_python(SAVER, old, new, way)
    assert ran.returncode == 0, ran.stderr
    tries = [line.split() for line in ran.stdout.splitlines()]
    assert models.load(old).scorer.labels == 5
    return [(status, sums[found], beside) for status, found, beside in tries]


@pytest.mark.skipif(sys.platform != "linux", reason="two directories are swapped in one step on Linux alone")
def test_killed_at_any_moment_there_is_a_whole_model(tmp_path: Path) -> None:
    tries = saved_over(tmp_path, "killed")
    assert len(tries) > 20
    assert {status for status, _, _ in tries[:-1]} == {"-9"}
    assert tries[-1][:2] == ("0", "new")
    order = [found for _, found, _ in tries]
    assert order == sorted(order, reverse=True), "once the new model is there, it stays"
    assert order[0] == "old"


def test_a_full_disk_leaves_the_old_model_and_no_rubbish(tmp_path: Path) -> None:
    tries = saved_over(tmp_path, "full")
    assert len(tries) > 20
    assert {(status, found, beside) for status, found, beside in tries[:-1]} == {("3", "old", "1")}
    assert tries[-1] == ("0", "new", "1")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting needs root"
)
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    other = save(tmp_path / "other").directory
    (tmp_path / "disk").mkdir()
    program = f"""
        import sys
        from pathlib import Path
        from inference import model as models
        other = models.load(sys.argv[1])
        try:
            models.save(
                sys.argv[2], graph=(other.directory / "{GRAPH}").read_bytes(),
                weights=(other.directory / "{WEIGHTS}").read_bytes() + bytes(1 << 20), extractor=other.extractor,
                labels=other.labels, encoder=other.encoder, tokens=other.tokens, card=other.card,
            )
        except OSError as error:
            print(error.strerror, len(list(Path(sys.argv[2]).parent.iterdir())))
    """
    command = 'mount -t tmpfs -o size=256k saywave "$1" || exit 77; exec "$2" -c "$3" "$4" "$1/model"'
    arguments = [tmp_path / "disk", sys.executable, textwrap.dedent(program), other]
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", *arguments], capture_output=True, text=True, timeout=60
    )
    if ran.returncode == 77 or "unshare" in ran.stderr:
        pytest.skip(f"cannot mount here: {ran.stderr.strip()}")
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "No space left on device 0\n")


def test_where_directories_cannot_be_swapped_the_new_model_still_comes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(models.sys, "platform", "elsewhere")
    save(tmp_path / "model", seed=1)
    new = save(tmp_path / "model", seed=2)
    assert sum_of(new.directory) == sum_of(save(tmp_path / "again", seed=2).directory)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "model"]


def test_nothing_is_saved_that_cannot_be_loaded(tmp_path: Path) -> None:
    old = sum_of(save(tmp_path / "model").directory)
    for labels in (("a", BLANK, "b", "c", "d"), (BLANK, "a", "a", "b", "c"), (BLANK, "a\nb", "c", "d", "e")):
        with pytest.raises(ModelError):
            save(tmp_path / "model", seed=1, labels=labels)
    assert sum_of(tmp_path / "model") == old
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

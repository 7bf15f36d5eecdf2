"""A Ray cluster on this machine: the same outcomes as here, whatever becomes of its workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import asr
from asr.cli import main
from asr.ray_workers import RayCluster
from asr.task import Heard, Recording, Settings, Transcriber
from inference.workers import WorkerError

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="clusters are not tested there")]
DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
TEXT = "three one four one five nine two six"


@pytest.fixture(scope="module")
def head() -> Iterator:
    """The head of a cluster, which does no work."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            yield started
        finally:
            started.shutdown()


@pytest.fixture
def cluster(head) -> tuple:
    """The cluster, and its two workers of one core each; those that a test has lost are replaced."""
    while len(head.worker_nodes) < 2:
        head.add_node(num_cpus=1)
    head.wait_for_nodes()
    return head, list(head.worker_nodes)


def ignore(item: Recording, seconds: float) -> None:
    pass


def many(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03d}.flac").symlink_to(DEMO)
    return folder


def test_one_of_two_workers_is_killed_half_way_and_nothing_is_lost_or_doubled(cluster, tmp_path: Path) -> None:
    started, (first, _) = cluster
    folder, out = many(tmp_path, 60), tmp_path / "out"
    out.mkdir()
    items = [Recording(str(path), path.name, path.stem, True) for path in sorted(folder.iterdir())]
    begin = partial(Transcriber, Settings(model="digits", output=str(out)))
    outcomes, written_then = [], 0
    for outcome in RayCluster(started.address).run(begin, items, ignore):
        outcomes.append(outcome)
        if len(outcomes) == 20:
            started.remove_node(first, allow_graceful=False)
            written_then = len(list(out.iterdir()))
    assert written_then < len(items), "it was killed before the end"
    assert sorted(outcome.item for outcome in outcomes) == items, "each once"
    assert {outcome.result for outcome in outcomes} == {Heard()}
    assert sorted(path.name for path in out.glob("*.txt")) == [f"{item.name}.txt" for item in items]
    assert {path.read_text() for path in out.glob("*.txt")} == {TEXT + "\n"}


def test_the_command_says_what_it_says_here(cluster, tmp_path: Path, capsys, monkeypatch) -> None:
    """Paths from here, the order of the files, one that is no sound; and nothing of Ray's own on the terminal."""
    started, _ = cluster
    folder = many(tmp_path, 3)
    (folder / "001b.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    assert main(["transcribe", "talks", "--model", "digits", "--ray", started.address]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"talks/{number:03d}.flac: {TEXT}" for number in range(3)]
    assert err.splitlines()[0] == "asr: 1 of 4 files failed:"
    assert err.splitlines()[1].startswith(f"  {folder / '001b.wav'}: is a text file")
    assert len(err.splitlines()) == 2
    assert main(["transcribe", "talks", "--model", "digits", "--ray", started.address, "--output", "out"]) == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["000.txt", "001.txt", "002.txt"]
    assert main(["transcribe", "talks", "--ray", started.address, "--model", "talks"]) == 2


def test_all_workers_are_lost(cluster, tmp_path: Path) -> None:
    started, workers = cluster
    items = [Recording(str(DEMO), str(number), str(number)) for number in range(200)]
    run = RayCluster(started.address).run(partial(Transcriber, Settings(model="digits")), items, ignore)
    next(run)
    for worker in workers:
        started.remove_node(worker, allow_graceful=False)
    with pytest.raises(WorkerError, match="has no machine with 1 cores"):
        list(run)


def test_no_cluster_is_one_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "asr", "transcribe", str(DEMO), "--ray", "127.0.0.1:1"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1].startswith("asr: no Ray cluster at 127.0.0.1:1: ")
    assert len(ran.stderr.splitlines()) == 1

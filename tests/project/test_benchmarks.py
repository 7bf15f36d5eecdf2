"""`python -m benchmarks`: turns, fits, peers in other processes, the report, and a small run from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

REPOSITORY = Path(__file__).resolve().parents[2]
# They are not installed. What is installed comes first.
sys.path.append(str(REPOSITORY))

from benchmarks import report  # noqa: E402
from benchmarks.command import SUBJECTS  # noqa: E402
from benchmarks.environments import commands_in_turns, run_command  # noqa: E402
from benchmarks.fits import growth, power_law  # noqa: E402
from benchmarks.measure import Aim, Measurement, Subject, processor_time, ratio, take_turns  # noqa: E402
from benchmarks.peers import PROGRAMS, READY, Peer, PeerError, Peers  # noqa: E402


@given(st.floats(0.1, 3), st.floats(1e-6, 1e3), st.lists(st.floats(1e-2, 1e5), min_size=2, unique_by=round))
def test_a_power_law_is_found_exactly(exponent: float, factor: float, sizes: list[float]) -> None:
    fit = power_law(sizes, [factor * size**exponent for size in sizes])
    assert fit.exponent == pytest.approx(exponent, rel=1e-6)
    assert fit.factor == pytest.approx(factor, rel=1e-5)
    assert fit.off < 1e-6


def test_a_fixed_cost_shows_in_all_sizes_and_not_in_the_last_decade() -> None:
    sizes = [1.0, 10.0, 100.0, 1000.0, 10_000.0]
    fit = power_law(sizes, [50 + size for size in sizes])
    assert fit.decades == pytest.approx(4)
    assert fit.exponent < 0.7 < 0.95 < fit.last < 1
    assert fit.off > 0.5


def test_growth_is_of_each_case_and_who_and_needs_two_sizes() -> None:
    measured = [
        Measurement(case, who, "s", (float(size**power),), size, "frames")
        for case, who, power, sizes in (
            ("by length", "a", 1, (1, 10)),
            ("by length", "b", 2, (1, 10)),
            ("by batch", "a", 0.5, (1, 100)),
            ("by batch", "b", 1, (5,)),
        )
        for size in sizes
    ]
    found = growth([*measured, Measurement("once", "a", "s", (1.0,))])
    assert {key: round(fit.exponent, 9) for key, fit in found.items()} == {
        ("by length", "a"): 1,
        ("by length", "b"): 2,
        ("by batch", "a"): 0.5,
    }


def test_everything_takes_its_turn_after_a_round_that_warms_up() -> None:
    ran: list[str] = []
    gauges = {name: lambda name=name: float(len(ran) + bool(ran.append(name))) for name in "abc"}
    values = take_turns(gauges, 3)
    assert "".join(ran) == "abc" + "abc" + "cba" + "abc"
    assert values == {"a": [3, 8, 9], "b": [4, 7, 10], "c": [5, 6, 11]}


def test_what_is_short_is_repeated_and_its_mean_is_noted() -> None:
    ran = []
    values = take_turns({"short": lambda: ran.append(1) or 0.25, "long": lambda: 3.0}, 2, at_least=1.0)
    assert values == {"short": [0.25, 0.25], "long": [3.0, 3.0]}
    assert len(ran) == 2 + 2 * 4


def test_ratios_are_of_the_same_rounds() -> None:
    assert ratio([2.0, 20.0, 200.0], [1.0, 10.0, 400.0]) == 2.0
    assert processor_time(lambda: sum(range(300_000)))() > 0


REPORT = """# Benchmarks

| | |
| --- | --- |
| command | `python -m benchmarks` |
| threads | 1 |

## Aims

| what | measured | aim | |
| --- | ---: | ---: | --- |
| as fast as others | 0.5 | at most 1 | met |
| streams | 120 | at least 200 | **missed** |

## Things

What things cost.

Absent:

- kaldi: pip cannot install it

### One thing

| | median | least | most | times ours | |
| --- | ---: | ---: | ---: | ---: | --- |
| ours | 2 ms | 1 ms | 3 ms | 1.00 |  |
| theirs | 4 ms | 2 ms | 15 ms | 2.00 | another definition |
| memory | 1,234 MB | 1,234 MB | 1,234 MB |  |  |

### Things by size

| frames | ours |
| ---: | ---: |
| 10 | 120 µs |
| 1,000 | 12 ms |

| cost by size | exponent | of the last decade | decades | off the line at most |
| --- | ---: | ---: | ---: | ---: |
| ours | 1.00 | 1.00 | 2.0 | 0 % |

![things](things.png)

## Others

None.

**Not measured: ValueError: no disk**
"""


def found() -> list[Subject]:
    """Two subjects, the second of which failed."""
    things = Subject("things", "What things cost.\n")
    things.add("one thing", {"ours": [0.002, 0.001, 0.003]})
    things.add("one thing", {"theirs": [0.004, 0.002, 0.015]}, notes={"theirs": "another definition"})
    things.add("one thing", {"memory": [1234]}, unit="MB")
    for size in (1000, 10):
        things.add("things by size", {"ours": [12e-6 * size]}, size=size, axis="frames")
    for _ in range(2):
        things.leave_out("kaldi", PeerError("pip cannot\ninstall it"))
    things.aims += [Aim("as fast as others", 0.5, 1.0), Aim("streams", 120, 200, at_most=False)]
    return [things, Subject("others", "None.", failed="ValueError: no disk")]


def test_the_report_says_all_of_it(tmp_path: Path) -> None:
    report.write(tmp_path / "out", {"command": "python -m benchmarks", "threads": "1"}, found())
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8") == REPORT
    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    things, others = told["subjects"]
    assert things["measurements"][0]["values"] == [0.002, 0.001, 0.003]
    assert [aim["met"] for aim in things["aims"]] == [True, False]
    assert things["fits"][0]["exponent"] == pytest.approx(1)
    assert others["failed"] == "ValueError: no disk"
    assert (tmp_path / "out" / "things.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "out" / "others.png").exists()


def test_small_sizes_are_not_judged() -> None:
    about = {"quick": "small sizes"}
    text = report.as_text(about, found(), {})
    assert "| streams | 120 | at least 200 | not judged |" in text
    assert "met |" not in text
    assert [aim["met"] for aim in report.as_numbers(about, found())["subjects"][0]["aims"]] == [None, None]


def test_the_encoder_is_judged_by_the_faster_of_torch_and_of_the_floors() -> None:
    pytest.importorskip("torch")
    from benchmarks.subjects.encoder import INT8, OURS, PLAIN, TORCH, aims

    taken = {TORCH: [9.0], PLAIN: [4.0], OURS: [3.0], INT8: [2.0], "floor: slow": [6.0], "floor: fast": [2.0]}
    assert [(aim.value, aim.met) for aim in aims(taken, "encoder")] == [(1.5, False), (0.5, False)]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12.345, "s", "12.3 s"),
        (0.5, "s", "500 ms"),
        (2e-7, "s", "0.2 µs"),
        (98765.4, "MB", "98,765 MB"),
        (0.25, "", "0.25"),
    ],
)
def test_values_are_shown_in_three_digits(value: float, unit: str, text: str) -> None:
    assert report.shown(value, unit) == text


PEER = """
import os
import sys
sys.path.insert(0, {folder!r})
from serve import serve, timed
print("a library talks")
def fail():
    raise KeyError("who")
def path():
    return os.environ.get("PYTHONPATH")
def compute(count):
    print("and talks")
    return timed(lambda: sum(range(count)))[0]
def end():
    print("disk full", file=sys.stderr)
    sys.exit(3)
serve({{"fail": fail, "path": path, "compute": compute, "end": end}}, packages=["numpy"])
"""


def test_a_peer_measures_itself_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    program = tmp_path / "other_peer.py"
    program.write_text(PEER.format(folder=str(PROGRAMS)), encoding="utf-8")
    peer = Peer(sys.executable, program)
    try:
        assert set(peer.ask("versions")) == {"numpy"}
        assert peer.ask("path") is None, "packages of ours would stand before its own"
        assert 0 < peer.gauge("compute", count=300_000)() < 60
        with pytest.raises(PeerError, match=r"^other_peer: KeyError: 'who'$"):
            peer.ask("fail")
        assert peer.ask("compute", count=10) >= 0, "an error ends nothing"
        with pytest.raises(PeerError, match=r"^other_peer has ended: disk full$"):
            peer.ask("end")
    finally:
        peer.close()


def test_a_command_holds_its_own_memory_and_not_that_of_who_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    ours = bytearray(300_000_000)
    ours[::4096] = b"x" * len(ours[::4096])  # a page is held once it is written
    seen = "import os, sys; sys.exit('PYTHONPATH' in os.environ)"
    (took,) = commands_in_turns({"bare": [sys.executable, "-I", "-S", "-c", seen]}, 1)["bare"]
    assert 3 < took.megabytes < 100
    assert 0 < took.seconds < 60
    assert took.wall > 0


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"ends with 1: disk full$"):
        run_command([sys.executable, "-I", "-S", "-c", "import sys; sys.exit('disk full')"])
    with pytest.raises(RuntimeError, match=r"^absent ends with no start: .*absent"):
        run_command(["absent"])


def test_without_a_folder_peers_are_absent_by_name() -> None:
    with Peers(None) as peers, pytest.raises(PeerError, match="--peers DIR"):
        peers.open("pocketsphinx")


def test_a_peer_that_starts_and_hears_nothing_leaves_our_figures_there(tmp_path: Path) -> None:
    from benchmarks.measure import Setting
    from benchmarks.subjects.transcription import RECORDING, SAID, Utterances, compare

    class Deaf(Peer):
        def __init__(self) -> None:
            """Starts no process."""

        def ask(self, do: str, **values: object) -> object:
            if do == "transcribe":
                raise PeerError("pocketsphinx: no model")
            return None

    subject = Subject("transcription", "")
    chosen = Utterances("one recording", [RECORDING], [SAID])
    compare(Setting(1, True, 1, Peers(None), None), subject, Deaf(), "digits", chosen, tmp_path)
    assert {one.who for one in subject.measurements} == {"saywave"}
    assert [one.who for one in subject.absent] == ["pocketsphinx, digits", "pocketsphinx, grammar of digits, digits"]
    assert {one.reason for one in subject.absent} == {"pocketsphinx: no model"}


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.REQUIREMENTS", {"pocketsphinx": (str(tmp_path / "absent.whl"),)})
    with Peers(tmp_path / "peers") as peers:
        for had in (peers.open, peers.python):
            with pytest.raises(PeerError, match=r"^pip cannot install pocketsphinx: ERROR: .*absent\.whl"):
                had("pocketsphinx")
        assert not (tmp_path / "peers" / "pocketsphinx" / READY).exists()


def test_products_are_those_of_every_weight_at_every_step() -> None:
    pytest.importorskip("torch")
    from benchmarks.networks import floors, made, products, stacked

    network = made(stacked(2, 8, bins=5, labels=7))
    wanted = products(network, steps=11, batch=3)
    multiplied = sum(one.rows * one.inner * one.columns * one.times for one in wanted)
    weights = sum(parameter.numel() for parameter in network.parameters() if parameter.dim() == 2)
    assert multiplied == 11 * 3 * weights
    for call in floors(wanted).values():
        call()


def run(*arguments: str, module: str = "benchmarks", timeout: float) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_a_subject_is_measured_from_end_to_end(tmp_path: Path) -> None:
    done = run("--quick", "--only", "decoders", "--rounds", "1", "--out", str(tmp_path), timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'report.md'}\n"
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (decoders,) = told["subjects"]
    assert {"saywave", "saywave, 100 hot words", "saywave, lexicon"} <= {one["who"] for one in decoders["measurements"]}
    assert [one["reason"] for one in decoders["absent"] if one["who"] == "pyctcdecode"] != []
    assert all(value > 0 for one in decoders["measurements"] for value in one["values"])
    assert told["about"]["threads"].startswith("1 ")
    assert "numpy" in told["about"]["versions"]
    assert (tmp_path / "decoders.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "{file}"], "{file}: File exists"),
        (["--out", "{file}/report"], "{file}/report: Not a directory"),
        (["--data", "{file}"], "--data {file}: there is no such folder; see python -m benchmarks --help"),
        (["--rounds", "0"], "argument --rounds: '0' is not a whole number from 1 on; see python -m benchmarks --help"),
        (
            ["--threads", "two"],
            "argument --threads: 'two' is not a whole number from 1 on; see python -m benchmarks --help",
        ),
    ],
)
def test_what_cannot_be_is_a_line_before_anything_is_measured(arguments: list[str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run("--quick", *(one.format(file=file) for one in arguments), timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"python -m benchmarks: {said.format(file=file)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "rows"),
    [
        ("many_files --rounds 1 --files 6", 3),
        ("pinned_state --rounds 1 --streams 1 3", 2),
        ("precisions digits digits asr/demo --rounds 1", 5),
    ],
)
def test_what_is_measured_apart_is_a_table(command: str, rows: int) -> None:
    name, *arguments = command.split()
    done = run(*arguments, module=f"benchmarks.{name}", timeout=250)
    assert done.returncode == 0, done.stderr
    columns = [line.count("|") for line in done.stdout.splitlines()]
    assert columns == [columns[0]] * (2 + rows)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_subject_can_be_measured(tmp_path: Path) -> None:
    done = run("--quick", "--out", str(tmp_path), timeout=1100)
    assert done.returncode == 0, (tmp_path / "report.md").read_text(encoding="utf-8")
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in told["subjects"]] == list(SUBJECTS)
    for subject in told["subjects"]:
        assert subject["measurements"], subject["name"]
        assert (tmp_path / f"{subject['name']}.png").is_file()
    assert {"features", "encoder", "transcription", "streaming", "training"} <= {
        one["name"] for one in told["subjects"] if one["aims"]
    }

"""The landmarker and the rest of the machine: no connection, a quiet terminal, and what must be installed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from features.landmarks import LandmarkError
from features.mediapipe_tasks import DEBIAN_PACKAGES, SYSTEM_LIBRARIES, mediapipe, missing_packages, why_no_library

pytest.importorskip("mediapipe")
pytest.importorskip("av")

from features.landmarker import Landmarker

# From here on the kernel kills the process, and all of its threads, for asking for an internet socket.
GUARD = """if True:
    import ctypes, platform, struct
    arch, socket_call = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}[platform.machine()]
    KILL, ALLOW, LOAD, EQUAL, RETURN = 0x80000000, 0x7FFF0000, 0x20, 0x15, 0x06
    rules = [
        (LOAD, 0, 0, 4), (EQUAL, 0, 5, arch),
        (LOAD, 0, 0, 0), (EQUAL, 0, 4, socket_call),
        (LOAD, 0, 0, 16), (EQUAL, 1, 0, 2), (EQUAL, 0, 1, 10),
        (RETURN, 0, 0, KILL), (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS"
    if libc.prctl(22, 2, program, 0, 0) != 0:
        print("no seccomp", ctypes.get_errno())
        raise SystemExit
"""


def guarded(program: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-c", f"{GUARD}\n{program}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=250)
    if ran.stdout.startswith("no seccomp"):
        pytest.skip(f"this system does not let a process guard itself: {ran.stdout.strip()}")
    return ran


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the guard is one of Linux")


@only_linux
@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import threading; t = threading.Thread(target=libc.socket, args=(10, 2, 0)); t.start(); t.join()",  # from C
        "import socket; socket.getaddrinfo('example.invalid', 80)",
    ],
)
def test_the_guard_catches_who_connects(program) -> None:
    assert guarded(program).returncode == -signal.SIGSYS
    assert guarded("import socket; socket.socketpair(); print('local')").stdout == "local\n"


@only_linux
def test_recognising_a_video_opens_no_connection_and_prints_nothing(landmarker_models, short_clip) -> None:
    program = (
        "import sys; from features.landmarker import find_landmarks; found = find_landmarks(sys.argv[1]); "
        "print(len(found), (found.presence_TK > 0).any(axis=1).sum())"
    )
    ran = guarded(program, str(short_clip))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "6 6\n", "")


def test_mediapipe_leaves_the_sound_alone(landmarker_models) -> None:
    pytest.importorskip("sounddevice")
    assert ask("Landmarker().close(); print('sounddevice' in sys.modules); import sounddevice; exit()") == "False\n"


def ask(program: str, *arguments: str) -> str:
    """What comes of making a landmarker after this; a LandmarkError is printed."""
    program = (
        f"import sys\nfrom features.landmarker import Landmarker, LandmarkError\n{program}\n"
        "try: Landmarker()\nexcept LandmarkError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", program, *arguments], capture_output=True, text=True, timeout=250)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_a_landmarker_that_nobody_closes(landmarker_models) -> None:
    program = (
        "import numpy as np; from features.video import Frame; kept = Landmarker(); "
        "kept(Frame(np.zeros((9, 9, 3), np.uint8), 0.0)); kept.reset()"
    )
    assert ask(program) == ""


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("0.10.34", "reports usage to a server"),
        ("0.11.0", "reports usage to a server"),
        ("1.0", "reports usage to a server"),
        ("0.10.29", "is too old"),
        ("0.10.9", "is too old"),
    ],
)
def test_only_known_releases_of_mediapipe_are_used(tmp_path, monkeypatch, version, why) -> None:
    assert mediapipe().__version__ in ("0.10.30", "0.10.31", "0.10.32", "0.10.33")
    info = tmp_path / f"mediapipe-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mediapipe\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LandmarkError) as raised:
        Landmarker()
    install = "install 0.10.30 to 0.10.33 instead: pip install 'saywave[video]'"
    assert str(raised.value) == f"MediaPipe {version} {why}: {install}"


def test_without_mediapipe() -> None:
    said = "landmarks of videos need the package MediaPipe: pip install 'saywave[video]'\n"
    assert ask("import importlib.metadata; sys.path.clear()") == said
    assert "the package mediapipe is missing: pip install" in ask("sys.modules['mediapipe'] = None")
    assert ask("print({'mediapipe', 'cv2', 'av'} & set(sys.modules)); sys.path.clear()") == f"set()\n{said}"


@pytest.mark.parametrize("library", [library for library, _ in SYSTEM_LIBRARIES])
def test_a_system_library_is_missing(library) -> None:
    error = OSError(f"{library}: cannot open shared object file: No such file or directory")
    said = why_no_library(error, "MediaPipe 0.10.33 cannot be loaded")
    packages = " ".join(missing_packages() or DEBIAN_PACKAGES)
    advice = f"on Debian and Ubuntu, apt-get install {packages}"
    assert said == f"MediaPipe 0.10.33 cannot be loaded: the system has no {library}: {advice}"
    assert dict(SYSTEM_LIBRARIES)[library] in DEBIAN_PACKAGES


@only_linux
def test_the_system_libraries_are_those_that_are_linked() -> None:
    cv2 = pytest.importorskip("cv2")
    module = mediapipe()
    if module.__version__ != "0.10.33":
        pytest.skip("earlier releases need fewer")
    library = Path(module.__file__).parent / "tasks" / "c" / "libmediapipe.so"
    places = (library, Path(cv2.__file__).parent / "cv2.abi3.so")
    linked = "".join(subprocess.run(["ldd", str(place)], capture_output=True, text=True).stdout for place in places)
    assert [name for name, _ in SYSTEM_LIBRARIES if name not in linked] == []
    assert missing_packages() == ()

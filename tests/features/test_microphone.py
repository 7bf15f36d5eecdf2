"""The microphone, against a real PortAudio device that hears a known recording, and on a machine that has none."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soxr

from features.microphone import Device, MicrophoneError
from features.portaudio import explain

VIRTUAL = runpy.run_path(str(Path(__file__).resolve().parents[1] / "virtual_microphone.py"))
virtual_microphone, environment, why_not = VIRTUAL["virtual_microphone"], VIRTUAL["environment"], VIRTUAL["why_not"]

RATE = 16000
needs_microphone = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

# Records for `seconds` with the options of Microphone, pauses once after half of them, and says how it ended.
RECORD = """if True:
    import json, signal, sys, time
    import numpy as np
    from features.microphone import Microphone, MicrophoneError

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    path, seconds, pause, options = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])
    blocks, ended = [], "in time"
    try:
        with Microphone(**options) as microphone:
            print("recording", flush=True)
            recorded = 0.0
            for block in microphone:
                blocks.append(block)
                recorded += len(block.samples_S) / microphone.rate
                if pause and recorded > seconds / 2:
                    time.sleep(pause)
                    pause = 0.0
                if recorded >= seconds:
                    microphone.close()
    except MicrophoneError as error:
        ended = f"error: {error}"
    except KeyboardInterrupt:
        ended = "by Ctrl-C"
    np.savez(
        path,
        samples=np.concatenate([block.samples_S for block in blocks] or [np.zeros(0, np.float32)]),
        sizes=[len(block.samples_S) for block in blocks],
        waiting=[block.waiting for block in blocks],
        overflowed=[block.overflowed for block in blocks],
        ended=ended,
    )
"""


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """0.4 s that begin and end loudly, so that they are found in the silence."""
    samples_S = np.random.default_rng(0).uniform(-0.5, 0.5, round(0.4 * RATE)).astype(np.float32)
    samples_S[[0, -1]] = 0.5
    return samples_S


def start(env: dict[str, str], path: Path, *, seconds: float = 60.0, pause: float = 0.0, **options: object):
    """A process that records; it has begun to when this returns, or has failed."""
    command = [sys.executable, "-P", "-c", RECORD, str(path), str(seconds), str(pause), json.dumps(options)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def finish(process: subprocess.Popen, path: Path) -> dict[str, np.ndarray]:
    """What it recorded, once it has ended by itself and has printed nothing that is not ours."""
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    with np.load(path) as saved:
        return dict(saved)


def record(env: dict[str, str], path: Path, **settings: object) -> dict[str, np.ndarray]:
    return finish(start(env, path, **settings), path)


def ask(env: dict[str, str] | None, program: str) -> list[str]:
    """Lines that a program prints, with `m` for the module; a MicrophoneError is printed."""
    program = f"from features import microphone as m\ntry:\n    {program}\nexcept m.MicrophoneError as e:\n    print(e)"
    ran = subprocess.run([sys.executable, "-P", "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def heard(samples_S: np.ndarray) -> np.ndarray:
    """The samples without the silence around them."""
    loud = np.flatnonzero(samples_S)
    return samples_S[loud[0] : loud[-1] + 1] if len(loud) else samples_S[:0]


# ---------------------------------------------------------------- devices


@needs_microphone
def test_devices_are_listed_and_found(recording) -> None:
    with virtual_microphone(recording, RATE, names=["desk-left", "desk-right", "desk", "Studio"]) as microphone:
        lines = ask(microphone.env, "print(*m.devices(), sep='\\n')")
        assert len(lines) == 5
        for index, name in enumerate(["desk-left", "desk-right", "desk", "Studio", "default"]):
            assert lines[index].startswith(f"Device(index={index}, name='{name}', channels=")
            assert lines[index].endswith(f"host='ALSA', default={name == 'default'})")
        choices = [None, 1, "1", " 3 ", "Studio", "sTUD", "studio, alsa", "desk", "LEFT"]
        found = ask(microphone.env, f"print(*(m.find(choice).name for choice in {choices}), sep='\\n')")
        assert found == [
            "default",
            "desk-right",
            "desk-right",
            "Studio",
            "Studio",
            "Studio",
            "Studio",
            "desk",
            "desk-left",
        ]
        every = "0 (desk-left, ALSA), 1 (desk-right, ALSA), 2 (desk, ALSA), 3 (Studio, ALSA), 4 (default, ALSA)"
        assert ask(microphone.env, "m.Microphone('radio')") == [f"there is no microphone 'radio': choose among {every}"]
        assert ask(microphone.env, "m.find(7)") == [f"there is no microphone 7: choose among {every}"]
        assert ask(microphone.env, "m.find('desk-')") == [
            "several microphones have 'desk-' in their names: choose among 0 (desk-left, ALSA), 1 (desk-right, ALSA)"
        ]


@needs_microphone
def test_a_machine_without_microphone(tmp_path) -> None:
    env = environment(tmp_path)
    assert ask(env, "print(m.devices())") == ["[]"]
    for program in ("m.find()", "m.find('desk')", "m.Microphone()"):
        (line,) = ask(env, program)
        assert line.startswith("no microphone was found: plug one in; ")


def test_without_sounddevice() -> None:
    for program in ("m.devices()", "m.Microphone()"):
        lines = ask(None, f"import sys; sys.modules['sounddevice'] = None; {program}")
        assert lines == ["a microphone needs the package sounddevice: pip install 'saywave[mic]'"]


def test_without_portaudio() -> None:
    pytest.importorskip("cffi")
    lines = ask(None, "import ctypes.util; ctypes.util.find_library = lambda name: None; m.devices()")
    assert lines == ["a microphone needs the library PortAudio: on Debian and Ubuntu, apt-get install libportaudio2"]


def test_the_module_imports_no_portaudio() -> None:
    assert ask(None, "import sys; print('sounddevice' in sys.modules)") == ["False"]


# ---------------------------------------------------------------- recording


@needs_microphone
@pytest.mark.parametrize("options", [{"device": "studio"}, {"channels": 1, "block_seconds": 0.013}], ids=str)
def test_what_sounds_is_recorded_bit_for_bit(tmp_path, recording, options) -> None:
    with virtual_microphone(recording, RATE) as microphone:
        got = record(microphone.env, tmp_path / "got.npz", seconds=1.4, rate=RATE, **options)
    assert got["ended"] == "in time"
    assert got["samples"].dtype == np.float32
    np.testing.assert_array_equal(heard(got["samples"]), recording)
    assert set(got["sizes"]) == {round(RATE * options.get("block_seconds", 0.05))}
    assert not got["overflowed"].any()


@needs_microphone
@pytest.mark.parametrize("rate", [None, 8000])
def test_other_rates_are_resampled_by_the_system(tmp_path, rate) -> None:
    tone_S = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE) * np.hanning(RATE // 2)
    with virtual_microphone(tone_S, RATE) as microphone:
        got = record(microphone.env, tmp_path / "got.npz", seconds=1.5, rate=rate)["samples"]
    expected = soxr.resample(tone_S, RATE, rate or 44100)  # 44.1 kHz is what ALSA's plugin has by default
    spectra = np.fft.rfft(got, 2**18) * np.conj(np.fft.rfft(expected, 2**18))
    similarity = np.fft.irfft(spectra).max() / np.linalg.norm(got) / np.linalg.norm(expected)
    assert similarity > 0.999


@needs_microphone
def test_what_a_device_cannot_do(recording) -> None:
    with virtual_microphone(recording, RATE) as microphone:
        assert ask(microphone.env, "m.Microphone('studio', rate=5_000_000)") == [
            "studio: cannot record at 5000000 Hz: leave the rate out to record at its own 44100 Hz"
        ]
        assert ask(microphone.env, "m.Microphone('studio', channels=33)") == [
            "studio: cannot record 33 channels: ask for 1 to 32"
        ]
        assert ask(microphone.env, "m.Microphone(block_seconds=0)") == [
            "blocks of 0 s cannot be recorded: give more than 0"
        ]


@needs_microphone
def test_who_takes_blocks_late_sees_it_and_loses_nothing(tmp_path, recording) -> None:
    with virtual_microphone(recording, RATE) as microphone:
        got = record(microphone.env, tmp_path / "got.npz", seconds=1.4, pause=1.0, rate=RATE)
    assert got["ended"] == "in time"
    np.testing.assert_array_equal(heard(got["samples"]), recording)
    late = int(np.argmax(got["waiting"]))
    assert 0.7 <= got["waiting"][late] <= 5.0
    assert got["waiting"][: late - 2].max() <= 0.5
    # It falls by a block with each block that is taken, as far as none comes in meanwhile.
    assert got["waiting"][late + 1] == pytest.approx(got["waiting"][late] - 0.05, abs=0.051)


@needs_microphone
@pytest.mark.slow
def test_a_process_that_was_suspended_goes_on(tmp_path, recording) -> None:
    with virtual_microphone(recording, RATE, at_once=False) as microphone:
        process = start(microphone.env, tmp_path / "got.npz", seconds=4.5, rate=RATE)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.5)  # longer than a microphone may be silent
        process.send_signal(signal.SIGCONT)
        microphone.play()
        got = finish(process, tmp_path / "got.npz")
    assert got["ended"] == "in time"
    np.testing.assert_array_equal(heard(got["samples"]), recording)


@needs_microphone
def test_samples_that_the_system_lost_are_reported(recording) -> None:
    program = (
        "import numpy as np, sounddevice; mic = m.Microphone('studio'); "
        "[mic._on_block(np.full((2, 2), [0.25, 0.75]), 2, None, sounddevice.CallbackFlags(bits)) for bits in (0, 2)]; "
        "mic.close(); print(*((block.samples_S.tolist(), block.overflowed) for block in mic), sep='\\n')"
    )
    with virtual_microphone(recording, RATE) as microphone:
        assert ask(microphone.env, program) == ["([0.5, 0.5], False)", "([0.5, 0.5], True)"]


@needs_microphone
def test_ctrl_c_ends_cleanly(tmp_path, recording) -> None:
    with virtual_microphone(recording, RATE) as microphone:
        process = start(microphone.env, tmp_path / "got.npz", rate=RATE)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        got = finish(process, tmp_path / "got.npz")
        assert time.monotonic() - begun < 5
    assert got["ended"] == "by Ctrl-C"
    assert len(got["samples"]) > 0


# ---------------------------------------------------------------- a microphone that goes away


@needs_microphone
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("unplug", "has stopped, as if unplugged: plug it in and start again"),
        ("mute", "no sound has come for 3 s: check that it is connected and switched on, and start again"),
        pytest.param(
            "hang",
            "no sound has come for 3 s: check that it is connected and switched on, and start again",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gone_while_recording(tmp_path, recording, how, said) -> None:
    with virtual_microphone(recording, RATE) as microphone:
        process = start(microphone.env, tmp_path / "got.npz", device="studio", rate=RATE)
        microphone.wait_until_played()
        getattr(microphone, how)()
        got = finish(process, tmp_path / "got.npz")
    assert got["ended"] == f"error: studio: {said}"
    np.testing.assert_array_equal(heard(got["samples"]), recording)  # what came before is not lost


@needs_microphone
def test_gone_before_it_is_opened(recording) -> None:
    program = (
        "mic = m.Microphone('studio'); import os, signal; os.kill(int(os.environ['SERVER']), signal.SIGKILL); "
        "mic.__enter__()"
    )
    with virtual_microphone(recording, RATE) as microphone:
        (line,) = ask(microphone.env | {"SERVER": str(microphone._server.pid)}, program)
    assert line.startswith("studio: ")
    assert line.endswith("or choose another microphone")


@needs_microphone
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (("Device unavailable", -9985), "is in use or gone: end the other program"),
        (
            ("Error opening InputStream: Unanticipated host error", -9999, (0, -16, "Device or resource busy")),
            "is in use",
        ),
        (
            ("Error opening InputStream: Unanticipated host error", -9999, (0, -13, "Permission denied")),
            "not permitted: ",
        ),
        (
            ("Error starting stream: Internal PortAudio error", -9986),
            "cannot be opened: Error starting stream: Internal",
        ),
        (("Invalid sample rate", -9997), "cannot record at 8000 Hz: leave the rate out to record at its own 48000 Hz"),
        (("Invalid number of channels", -9998), "cannot record 4 channels: ask for 1 to 2"),
    ],
)
def test_what_portaudio_says_becomes_advice(error, said) -> None:
    import sounddevice

    device = Device(index=0, name="desk", channels=2, rate=48000, host="ALSA", default=True)
    explained = explain(sounddevice.PortAudioError(*error), device, rate=8000, channels=4)
    assert isinstance(explained, MicrophoneError)
    assert str(explained).startswith("desk: ")
    assert said in str(explained)
    assert "\n" not in str(explained)

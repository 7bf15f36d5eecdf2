"""A recording that grows is a whole wav file after every write, whatever ends it; nothing is written over."""

from __future__ import annotations

import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import audio
from features.audio import AudioError
from features.recording import LARGEST_BYTES, Recording

RATE = 16000


def noise(count: int, *, seed: int = 0) -> np.ndarray:
    """Samples that 16 bits hold exactly."""
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.float32) / 32768


def by_wave(path: Path) -> np.ndarray:
    """What Python's reader finds; it believes the header."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        frames = file.readframes(file.getnframes())
        assert len(frames) == 2 * file.getnframes(), "the header promises what is there"
        return np.frombuffer(frames, "<i2").astype(np.float32) / 32768


# --- whole at every moment --------------------------------------------------------------------------------------------


def test_after_every_write_the_file_can_be_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples_S = noise(30_000)
    with Recording(path, RATE) as recording:
        np.testing.assert_array_equal(by_wave(path), [])
        written = 0
        for size in (1, 0, 7, 4096, 1, 25_000, 800):  # smaller and larger than the buffers underneath
            recording.write(samples_S[written : written + size])
            written += size
            np.testing.assert_array_equal(by_wave(path), samples_S[:written])
            got_S, rate = audio.read(path)
            assert rate == RATE
            np.testing.assert_array_equal(got_S, samples_S[:written])
    np.testing.assert_array_equal(by_wave(path), samples_S[:written])


@pytest.mark.parametrize("blocks", [0, 1, 9])
def test_a_process_that_is_killed_leaves_what_it_wrote(tmp_path: Path, blocks: int) -> None:
    program = f"""if True:
        import os, signal
        import numpy as np
        from features.recording import Recording
        recording = Recording({str(tmp_path / "a.wav")!r}, {RATE})
        for block in range({blocks}):
            recording.write(np.full(800, block / 32768, np.float32))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-P", "-c", program], timeout=60).returncode == -signal.SIGKILL
    expected_S = np.repeat(np.arange(blocks) / 32768, 800).astype(np.float32)
    np.testing.assert_array_equal(by_wave(tmp_path / "a.wav"), expected_S)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], expected_S)


@pytest.mark.parametrize("rate", [8000, 44_100, 192_000])
def test_the_rate_is_kept(tmp_path: Path, rate: int) -> None:
    with Recording(tmp_path / "a.WAV", rate) as recording:
        recording.write(noise(rate // 10))
    assert audio.info(tmp_path / "a.WAV") == audio.AudioInfo(rate, 1, rate // 10)


# --- samples ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-2, 2, width=32) | st.integers(-65537, 65537).map(lambda k: k / 65536), min_size=1, max_size=50)
)
def test_samples_are_rounded_to_the_nearest_and_clipped(tmp_path_factory: pytest.TempPathFactory, values) -> None:
    path = tmp_path_factory.mktemp("rounded") / "a.wav"
    samples_S = np.array(values, np.float32)
    with Recording(path, RATE) as recording:
        recording.write(samples_S)
    clipped_S = np.clip(samples_S.astype(np.float64), -1, 32767 / 32768)
    assert np.abs(by_wave(path) - clipped_S).max() <= 0.5 / 32768


def test_full_scale_and_beyond(tmp_path: Path) -> None:
    with Recording(tmp_path / "a.wav", RATE) as recording:
        recording.write(np.array([1, -1, 7, -7, np.inf, -np.inf, 32766.4 / 32768, 0.4 / 32768, 0], np.float32))
    expected_S = np.array([32767, -32768, 32767, -32768, 32767, -32768, 32766, 0, 0]) / 32768
    np.testing.assert_array_equal(by_wave(tmp_path / "a.wav"), expected_S)


# --- more than a wav file can count -----------------------------------------------------------------------------------


def test_it_goes_on_in_further_files_without_loss(tmp_path: Path) -> None:
    samples_S = noise(1000)
    with Recording(tmp_path / "long.night.wav", RATE, largest=600) as recording:
        for begin in range(0, 1000, 100):  # 200 bytes each
            recording.write(samples_S[begin : begin + 100])
    names = ["long.night.wav", "long.night-2.wav", "long.night-3.wav", "long.night-4.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    parts = [by_wave(tmp_path / name) for name in names]
    assert [len(part) for part in parts] == [300, 300, 300, 100]
    np.testing.assert_array_equal(np.concatenate(parts), samples_S)


def test_a_block_larger_than_a_file_may_be_has_one_for_itself(tmp_path: Path) -> None:
    with Recording(tmp_path / "a.wav", RATE, largest=100) as recording:
        recording.write(noise(400))
        recording.write(noise(10, seed=1))
    np.testing.assert_array_equal(by_wave(tmp_path / "a.wav"), noise(400))
    np.testing.assert_array_equal(by_wave(tmp_path / "a-2.wav"), noise(10, seed=1))


def test_the_largest_file_fits_into_its_header() -> None:
    assert LARGEST_BYTES + 44 < 2**32
    assert LARGEST_BYTES / 2 / 192_000 > 3 * 3600, "three hours at the highest rate"


def test_a_further_file_is_not_written_over_either(tmp_path: Path) -> None:
    (tmp_path / "a-2.wav").write_text("mine")
    with Recording(tmp_path / "a.wav", RATE, largest=200) as recording:
        recording.write(noise(100))
        with pytest.raises(AudioError, match=r"a-2\.wav: is there already: give another name"):
            recording.write(noise(100))
    assert (tmp_path / "a-2.wav").read_text() == "mine"
    np.testing.assert_array_equal(by_wave(tmp_path / "a.wav"), noise(100))


# --- what cannot be recorded to ---------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("mine")
    with pytest.raises(AudioError, match=r"a\.wav: is there already: give another name, or remove it"):
        Recording(tmp_path / "a.wav", RATE)
    assert (tmp_path / "a.wav").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "rate", "said"),
    [
        ("a.mp3", RATE, r"a\.mp3: sound is recorded as wav: give a name that ends in \.wav"),
        ("a", RATE, r"a: sound is recorded as wav"),
        ("missing/a.wav", RATE, r"missing/a\.wav: cannot be recorded to: No such file or directory: choose another"),
        ("file/a.wav", RATE, r"file/a\.wav: cannot be recorded to: Not a directory: choose another"),
        ("a.wav", 7999, r"a\.wav: has 7999 samples a second"),
        ("a.wav", 192_001, r"a\.wav: has 192001 samples a second"),
    ],
)
def test_refused_with_a_line_and_without_a_file(tmp_path: Path, name: str, rate: int, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioError, match=said) as refused:
        Recording(tmp_path / name, rate)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- a full disk ------------------------------------------------------------------------------------------------------

# Records blocks of 800 samples until the file may not grow any more, and goes on trying as nobody should.
FILL = """if True:
    import sys
    import numpy as np
    from features.audio import AudioError
    from features.recording import Recording

    samples_S = np.random.default_rng(0).integers(-32768, 32768, 16000).astype(np.float32) / 32768
    written = 0
    try:
        with Recording(sys.argv[1], 16000) as recording:
            while written < len(samples_S):
                recording.write(samples_S[written : written + 800])
                written += 800
    except AudioError as error:
        print(written, error, sep="\\n")
"""


def fill(path: Path, *, room: int) -> tuple[int, str]:
    """Record where a file may have so many bytes: samples whose write was no error, and what was said in the end."""
    resource = pytest.importorskip("resource", reason="limits on the size of files are POSIX's")
    ran = subprocess.run(
        [sys.executable, "-P", "-c", FILL, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    written, said = ran.stdout.splitlines()
    return int(written), said


@pytest.mark.parametrize("room", [44, 1000, 8192, 20_000, 20_001])
def test_a_full_disk_is_said_and_what_came_before_can_be_read(tmp_path: Path, room: int) -> None:
    path = tmp_path / "a.wav"
    written, said = fill(path, room=room)
    assert said == f"{path}: cannot be recorded to: File too large: choose another place"
    assert written == (room - 44) // 1600 * 800
    got_S = by_wave(path)
    assert len(got_S) >= written
    np.testing.assert_array_equal(got_S, noise(16_000)[: len(got_S)])
    np.testing.assert_array_equal(audio.read(path)[0][:written], got_S[:written])


def test_a_disk_that_is_full_from_the_beginning_is_left_without_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert fill(path, room=20) == (0, f"{path}: cannot be recorded to: File too large: choose another place")
    assert not list(tmp_path.iterdir())


def test_after_a_failed_write_room_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is that of any error of the system, and closing afterwards does no harm."""
    with Recording(tmp_path / "a.wav", RATE) as recording:
        recording.write(noise(100))

        def full(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(recording._wave, "writeframes", full)
            with pytest.raises(AudioError, match=r"a\.wav: cannot be recorded to: No space left on device: choose"):
                recording.write(noise(100))
    np.testing.assert_array_equal(by_wave(tmp_path / "a.wav"), noise(100))

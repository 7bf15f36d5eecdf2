"""What speaks for recipes: silence is cut as asked, voices make a sound, and failures are named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from recipes.voices import SynthesisError, Utterance, find_voices, speak, trim

needs_programs = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)


def test_trimming_leaves_the_margins() -> None:
    rate = 16000
    silence, word = np.zeros(rate, np.float32), 0.3 * np.ones(rate // 2, np.float32)
    faint = 0.003 * np.ones(rate // 10, np.float32)  # 40 dB below: the end of a word
    trimmed = trim(np.concatenate([silence, word, faint, silence]), rate, margins=(0.1, 0.2))
    assert len(trimmed) / rate == pytest.approx(0.1 + 0.5 + 0.1 + 0.2, abs=0.011)
    assert np.count_nonzero(trimmed) == len(word) + len(faint)
    for samples in (word, silence, silence[:10], silence[:0]):
        np.testing.assert_array_equal(trim(samples, rate, margins=(0.1, 0.1)), samples)


@needs_programs
def test_a_program_that_fails_is_named() -> None:
    with pytest.raises(SynthesisError, match="/absent"):
        speak(Utterance(("one",), "x", ("espeak-ng", "-f", "/absent"), (0.1, 0.1)))


@pytest.mark.skipif(shutil.which("text2wave") is None, reason="festival is not installed")
def test_festival_speaks_with_each_of_its_voices_and_the_same_each_time() -> None:
    voices = find_voices().festival
    assert voices
    for voice in voices:
        utterance = Utterance(("six",), voice, ("text2wave", "-eval", f"(voice_{voice})"), (0.1, 0.1), said="Six.")
        spoken = speak(utterance)
        assert 4000 < len(spoken) < 32000
        np.testing.assert_array_equal(spoken, speak(utterance))


@needs_programs
def test_without_festival_the_others_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("festival", "text2wave") else which(name))
    voices = find_voices()
    assert voices.festival == ()
    assert voices.flite


@needs_programs
@pytest.mark.skipif(shutil.which("festival") is None, reason="festival is not installed")
def test_festival_without_a_voice_is_as_no_festival(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed without a voice, festival 2.5 begins with the names of those that it missed."""
    program = tmp_path / "festival"
    program.write_text(
        "#!/bin/sh\n"
        """echo '"Could not find any of these voices:"'; echo '(kal_diphone ked_diphone)'; shift\n"""
        f"""exec {shutil.which("festival")} -b '(set! voice-locations nil)' "$@"\n""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_voices().festival == ()

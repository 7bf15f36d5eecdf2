"""Names of clips: labels are folders, and the signer is told from the name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gestures import record as recording
from gestures.clip_writer import RecordError
from gestures.record import check


@pytest.mark.parametrize("label", ["", "a/b", "..", ".hidden", "wave ", "a\nb", "a:b"])
def test_labels_that_are_no_folders_are_refused(label: str):
    with pytest.raises(RecordError, match="label"):
        check(label, "anna")


@pytest.mark.parametrize("signer", ["", "anna_b", "1st", "a/b", "anna\n", "wave", "Wave"])
def test_signers_that_names_would_not_tell_are_refused(signer: str):
    with pytest.raises(RecordError, match="signer"):
        check("wave", signer)


def test_names_are_those_that_training_takes_the_signer_from(tmp_path: Path):
    from gestures.clips import SIGNER

    for signer in (recording.SIGNER, "anna", "Zoë", "anna-maria 2"):
        check("wave", signer)
        match = SIGNER.fullmatch(f"{signer}_001")
        assert match is not None
        assert match[1] == signer

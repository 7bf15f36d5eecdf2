"""yesno: sixty recordings of eight Hebrew words, each "yes" (1 in the file name) or "no" (0), by one speaker.

The split is lhotse's, which icefall's figure uses: names in sorted order, every second one from the first on trains,
the others test. Every sixth training recording is taken out to choose the best weights on.
"""

from __future__ import annotations

import re
from pathlib import Path

from training.manifests import ManifestError, cut, write

RESULT = "WER"
DATA_NOTE = "yesno, OpenSLR 1, published openly; the copy used states no licence, so a model of it is not shipped"
NAME = re.compile(r"([01]_){7}[01]\.wav")
RECORDINGS = 60  # the split goes by place in the list, so that all of them must be there
WORDS = {"0": "no", "1": "yes"}
DEV_EVERY = 6


def prepare(data: Path, out: Path) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`.

    Args:
        data: Folder with the recordings, in subfolders or not.
        out: Where manifests go.

    Raises:
        ManifestError: the recordings are not all there.
    """
    paths = sorted((path for path in data.rglob("*.wav") if NAME.fullmatch(path.name)), key=lambda path: path.name)
    if len(paths) != RECORDINGS:
        found = f"{len(paths)} recordings such as 0_1_0_0_1_1_0_1.wav, not {RECORDINGS}"
        raise ManifestError(f"{data}: {found}; unpack waves_yesno.tar.gz of OpenSLR 1 here")
    cuts = [
        cut(path.stem, path, " ".join(WORDS[sign] for sign in path.stem.split("_")), speaker="one") for path in paths
    ]
    train, test = cuts[0::2], cuts[1::2]
    manifests = out / "manifests"
    write(manifests / "train.jsonl.gz", [one for number, one in enumerate(train) if number % DEV_EVERY])
    write(manifests / "dev.jsonl.gz", train[::DEV_EVERY])
    write(manifests / "test.jsonl.gz", test)

"""yesno: sixty recordings of eight Hebrew words, each "yes" (1 in the file name) or "no" (0), by one speaker.

The split is lhotse's, which icefall's figure uses: names in sorted order, every second one from the first on trains,
the others test. Every sixth training recording is taken out to choose the best weights on.
"""

from __future__ import annotations

from pathlib import Path

from training.manifests import ManifestError, cut, write

RESULT = "WER"
DATA_NOTE = "yesno, OpenSLR 1, published openly; the copy used states no licence, so a model of it is not shipped"
WORDS = {"0": "no", "1": "yes"}
DEV_EVERY = 6


def prepare(data: Path, out: Path) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`."""
    paths = sorted(data.rglob("[01]_[01]_*.wav"))
    if len(paths) < 2:
        raise ManifestError(f"{data}: no recordings such as 0_1_0_0_1_1_0_1.wav; unpack waves_yesno.tar.gz of OpenSLR 1 here")
    cuts = [cut(path.stem, path, " ".join(WORDS[name] for name in path.stem.split("_")), speaker="one") for path in paths]
    train, test = cuts[0::2], cuts[1::2]
    manifests = out / "manifests"
    write(manifests / "train.jsonl.gz", [one for number, one in enumerate(train) if number % DEV_EVERY])
    write(manifests / "dev.jsonl.gz", train[::DEV_EVERY])
    write(manifests / "test.jsonl.gz", test)

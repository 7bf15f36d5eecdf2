"""What it takes to tell the speakers of the recipe `speaker` apart: simple classifiers on the same division.

    python -m benchmarks.speakers DATA

DATA is the corpus, FSDD or speechocean762. Compared are: the commonest label; the words alone, as they were read, by
naive Bayes, which shows what the texts give away; mean and deviation of the cepstra of a recording, by linear
discriminants (Fisher 1936); and a Gaussian mixture for each speaker (Reynolds and Rose 1995), whose size is chosen on
the development part. All are scikit-learn's, trained on the training part alone. Cepstra are Saywave's, without the
energy, of frames no more than 30 dB below the loudest; their mean over a recording is kept, as the recipe keeps it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from features import audio
from features.filterbank import Mfcc, MfccConfig
from inference.progress import with_bar
from recipes.corpora.spoken import Utterance
from recipes.speaker.prepare import divide

QUIET_DB = 30.0
SIZES = (4, 8, 16)
NEPERS = np.log(10) / 10  # of a decibel, in the log of an energy
PARTS = ("dev", "test")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the division and of the mixtures (default: 0)")
    options = parser.parse_args()
    parts = divide(options.data, seed=options.seed)
    known = {part: [one.speaker for one in chosen] for part, chosen in parts.items()}
    print("| classifier | development | test |\n| --- | ---: | ---: |")
    common = Counter(known["train"]).most_common(1)[0][0]
    show("the commonest label", known, {part: [common] * len(known[part]) for part in PARTS})
    words = make_pipeline(CountVectorizer(token_pattern=r"\S+"), MultinomialNB())
    words.fit([one.text for one in parts["train"]], known["train"])
    show("words alone, naive Bayes", known, {part: words.predict([one.text for one in parts[part]]) for part in PARTS})
    cepstra = {part: [voiced(one) for one in with_bar(chosen, part)] for part, chosen in parts.items()}
    moments = {part: np.stack([moments_of(frames_TF) for frames_TF in found]) for part, found in cepstra.items()}
    linear = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(moments["train"], known["train"])
    show(
        "mean and deviation of cepstra, linear discriminants",
        known,
        {part: linear.predict(moments[part]) for part in PARTS},
    )
    found = {size: mixtures(cepstra, known["train"], size, seed=options.seed) for size in SIZES}
    best = max(SIZES, key=lambda size: accuracy(known["dev"], found[size]["dev"]))
    show(f"a Gaussian mixture of {best} for each speaker", known, found[best])


def show(name: str, known: dict[str, list[str]], found: dict[str, Sequence[str]]) -> None:
    """Print a row: accuracy on the development part and on the test part."""
    print(f"| {name} | {' | '.join(f'{accuracy(known[part], found[part]):.4f}' for part in PARTS)} |", flush=True)


def accuracy(known: Sequence[str], found: Sequence[str]) -> float:
    """The share of right labels."""
    return float(np.mean(np.asarray(known) == np.asarray(found)))


def voiced(one: Utterance) -> np.ndarray:
    """Cepstra (T,F) of the louder frames, without the energy."""
    rate = audio.info(one.path).rate
    frames_TF = Mfcc(MfccConfig(rate=rate, bins=30, ceps=20))(audio.read(one.path)[0])
    energy_T = frames_TF[:, 0]  # the log of it
    return frames_TF[energy_T > energy_T.max() - QUIET_DB * NEPERS, 1:]


def moments_of(frames_TF: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each cepstrum (2F)."""
    return np.concatenate([frames_TF.mean(axis=0), frames_TF.std(axis=0)])


def mixtures(
    cepstra: dict[str, list[np.ndarray]], speakers: Sequence[str], size: int, *, seed: int
) -> dict[str, list[str]]:
    """The speaker of each recording under whose mixture its frames are likeliest, for each part."""
    names = sorted(set(speakers))
    models = []
    for name in with_bar(names, f"mixtures of {size}"):
        own = [frames_TF for frames_TF, of in zip(cepstra["train"], speakers, strict=True) if of == name]
        mixture = GaussianMixture(size, covariance_type="diag", reg_covar=1e-2, random_state=seed)
        models.append(mixture.fit(np.concatenate(own).astype(np.float64)))
    found = {}
    for part in PARTS:
        borders = np.cumsum([0, *map(len, cepstra[part])])[:-1]
        frames_TF = np.concatenate(cepstra[part]).astype(np.float64)
        likely_VN = np.stack([np.add.reduceat(model.score_samples(frames_TF), borders) for model in models])
        found[part] = [names[k] for k in likely_VN.argmax(axis=0)]
    return found


if __name__ == "__main__":
    main()

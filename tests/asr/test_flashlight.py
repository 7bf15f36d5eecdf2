"""Language models that only KenLM reads, through flashlight-text, and those that do not fit a lexicon."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from asr.language.kneser_ney import estimate
from asr.search import Search, SearchConfig, SearchError
from asr.tokens import SPACE, Tokens
from inference import arpa, ngram_file
from inference.model import BLANK
from inference.ngram import NgramError, NgramModel

pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")

LETTERS = Tokens([BLANK, SPACE, *"abeinot"], "char")
SENTENCES = ("no one ate it", "one bit a tie")
# What KenLM's `build_binary trie` made of the 2-grams of these sentences, packed with zlib.
BINARY = (
    "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUFY7Odhajf{KAK"
    "OeeAloKU);PI0egTPcHJcJ}2<;^OSf3^yq;*FK2i%K84Ww)jDIsnC&~Glcz{?Y3P@WtgkFPMkq`o6uRWb$^x`%~ri>yyfD25x=ui"
    "zaPQOJ-KGVevktZHXS=OTVd8d7*F+Y<$h%Tj0b*TJ|hwzq@Nj0Ju4cY4UNx^#^*reb26X;E(YwNjm`E&_iv^e`B#_E|MZ(*cW(Nx"
    "FU9*RSE&6s>uh?^|H1<H+K&OgAGA$gILf1Fv?<NYwqvj<wqr<S$j?h<u+axGOHvt<GD{drGE*7y@)>|E0Imdubp"
)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """The same language model in both formats, and a lexicon of its words and another."""
    made = estimate([line.split() for line in SENTENCES], order=2)
    arpa.write(tmp_path / "words.arpa", made.words, made.levels)
    (tmp_path / "words.bin").write_bytes(zlib.decompress(base64.b85decode(BINARY)))
    (tmp_path / "words.txt").write_text("no\none\nate\nit\nbit\na\ntie\nneon\n")
    return {kind: tmp_path / f"words.{kind}" for kind in ("arpa", "bin", "txt")}


def best(search: Search, scores_TV: np.ndarray) -> tuple[str, float]:
    decoder = search.decoder()
    decoder.push(scores_TV)
    found = decoder.hypotheses(1)[0]
    return search.tokens.decode(found.labels), found.score


def test_a_binary_file_is_the_arpa_file_that_it_was_made_of(models: dict[str, Path]) -> None:
    texts = set()
    for seed in range(8):
        scores_TV = 3 * np.random.default_rng(seed).standard_normal((30, len(LETTERS.labels)))
        scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
        found = [
            best(Search(LETTERS, SearchConfig(lm=models[kind], lexicon=models["txt"], decoder="flashlight")), scores_TV)
            for kind in ("bin", "arpa")
        ]
        assert found[0][0] == found[1][0]
        assert found[0][1] == pytest.approx(found[1][1], abs=1e-3)
        texts.add(found[0][0])
        of_its_own = SearchConfig(lm={models["arpa"]: 0.8}, lexicon=models["txt"], decoder="flashlight")
        assert best(Search(LETTERS, of_its_own), scores_TV) == found[1]
    assert len(texts) > 5, "not all say the same"
    with pytest.raises(NgramError, match="KenLM's binary format, which KenLM alone reads"):
        NgramModel.read(models["bin"])


def test_a_compact_file_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    ngram_file.write(tmp_path / "words.ngram", *arpa.read(models["arpa"]))
    config = SearchConfig(lm=tmp_path / "words.ngram", lexicon=models["txt"], decoder="flashlight")
    with pytest.raises(SearchError, match=r"words\.ngram: is in Saywave's compact format.*asr lm convert"):
        Search(LETTERS, config)


@pytest.mark.parametrize("kind", ["arpa", "bin"])
def test_a_language_model_of_other_words_is_refused(models: dict[str, Path], kind: str) -> None:
    models["txt"].write_text("neon\nIT\n")  # as they are written: `it` is another word
    with pytest.raises(SearchError, match=rf"words\.{kind}: knows none of the words in .*words\.txt"):
        Search(LETTERS, SearchConfig(lm=models[kind], lexicon=models["txt"], decoder="flashlight"))
    models["txt"].write_text("neon\nIT\nit\n")
    Search(LETTERS, SearchConfig(lm=models[kind], lexicon=models["txt"], decoder="flashlight"))

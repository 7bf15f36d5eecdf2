"""Lexicons: their files, words of phones and of letters, and the same search by flashlight-text."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.flashlight import SearchError
from asr.language.kneser_ney import estimate
from asr.lexicon import Lexicon, LexiconError
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.tokens import SPACE, Tokens
from asr.words import WordMaker
from features import audio
from inference import arpa
from inference.model import BLANK
from inference.ngram import NgramModel

PHONES = Tokens([BLANK, "ah", "ay", "n", "s", "t", "uw"], "word")
LETTERS = Tokens([BLANK, SPACE, *"aenot"], "char")
DICTIONARY = """\
;;; a comment
A        AH
AN       AH N
ICE      AY S
NICE     N AY S
TO       T UW
TO(2)    T AH
TWO      T UW
!SIL     SIL
<unk>    SPN
"""
SENTENCES = ("to an ice", "to an ice", "to an ice", "a nice two", "a nice two", "two nice")


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "words.dic"
    path.write_text(DICTIONARY)
    return path


@pytest.fixture
def lm(tmp_path: Path) -> Path:
    made = estimate([line.upper().split() for line in SENTENCES], order=2)
    arpa.write(tmp_path / "words.arpa", made.words, made.levels)
    return tmp_path / "words.arpa"


def heard(tokens: Tokens, text: str, *, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    labels = [tokens.labels.index(one) for one in text.split()] if tokens.unit == "word" else tokens.encode(text)
    frames = [np.eye(len(tokens.labels))[one] * 9 for label in labels for one in (label, 0)]
    scores_TV = np.array(frames) + noise * np.random.default_rng(seed).standard_normal((len(frames), len(frames[0])))
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def written(tokens: Tokens, scores_TV: np.ndarray, **settings) -> str:
    search = Search(tokens, SearchConfig(**settings))
    decoder = search.decoder()
    whole = decoder.push(scores_TV) + decoder.flush()
    pieces = [one for t in range(len(scores_TV)) for one in decoder.push(scores_TV[t : t + 1])]
    assert pieces + decoder.flush() == whole
    words = WordMaker(search.tokens, step_seconds=0.04).words(whole)
    assert search.tokens.decode(one.label for one in whole) == " ".join(word.text for word in words)
    assert all(0 <= a.start < a.end <= b.start for a, b in itertools.pairwise(words))
    return " ".join(word.text for word in words)


def test_phones_become_words(lexicon: Path, lm: Path) -> None:
    how = {"lexicon": lexicon, "word_bonus": 0.0}
    # Nothing stands between words, and some are spelled alike: the language model tells which they are.
    model, read = NgramModel.read(lm), Lexicon.read(lexicon, PHONES)
    for phones, number in (("t uw ah n ay s", 4), ("ah n ay s t uw", 4), ("n ay s t uw ah n ay s", 4)):
        ways = readings(read, tuple(PHONES.encode(phones)), None)
        assert len(ways) == number
        best = max(ways, key=lambda words: model.perplexity([words]).log_prob)
        assert written(PHONES, heard(PHONES, phones), lm=lm, **how) == " ".join(best)
    assert written(PHONES, heard(PHONES, "n ay s"), **how) == "NICE"


def test_hot_words_of_a_lexicon(lexicon: Path, lm: Path) -> None:
    how = {"lexicon": lexicon, "lm": lm, "word_bonus": 0.0}
    scores_TV = heard(PHONES, "t uw ah n ay s")
    assert written(PHONES, scores_TV, hot_words={"two": 9.0}, **how).split()[0] == "TWO"
    assert written(PHONES, scores_TV, hot_words={"an ice": 9.0}, **how).endswith(" AN ICE")
    assert written(PHONES, heard(PHONES, "n ay s"), hot_words={"two": 9.0}, **how) == "NICE"
    with pytest.raises(SearchError, match=r"hot word 'mice': is not in .*words\.dic; add it there"):
        Search(PHONES, SearchConfig(hot_words={"mice": 1.0}, **how))


@pytest.mark.parametrize("decoder", ["beam", "flashlight"])
def test_letters(tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text("Note\nto\none\nTea t e |\nnot-one\n")
    how = {"lexicon": path, "decoder": decoder}
    assert written(LETTERS, heard(LETTERS, "one note"), **how) == "one Note"
    assert written(LETTERS, heard(LETTERS, "tone nota"), beam=200, **how) in ("one Note", "to Note")
    assert written(LETTERS, heard(LETTERS, "te to"), **how) == "Tea to"
    assert written(LETTERS, heard(LETTERS, "not one to"), **how) == "not-one to"


def readings(lexicon: Lexicon, labels: tuple[int, ...], space: int | None) -> list[tuple[str, ...]]:
    if space is not None:
        spelled = [tuple(group) for border, group in itertools.groupby(labels, lambda v: v == space) if not border]
        ways = [[lexicon.words[w] for w, spelling in lexicon.spellings if spelling == one] for one in spelled]
        return [tuple(words) for words in itertools.product(*ways)]
    if not labels:
        return [()]
    return [
        (lexicon.words[word], *rest)
        for word, spelling in lexicon.spellings
        if labels[: len(spelling)] == spelling
        for rest in readings(lexicon, labels[len(spelling) :], None)
    ]


@pytest.mark.parametrize(("unit", "decoders"), [("word", ["beam"]), ("char", ["beam", "flashlight"])])
@pytest.mark.parametrize("seed", range(12))
def test_both_decoders_find_the_best_of_all_words(tmp_path: Path, unit: str, decoders: list[str], seed: int) -> None:
    """Ours by the sum over all paths of a labelling, flashlight's by the best path: each against enumeration.

    The gain of words w is the same: sum of weight ln p(w) + bonus, over all words, and weight ln p(</s>).
    """
    labels = [BLANK, "a", "b", "c"] if unit == "word" else [BLANK, SPACE, "a", "b"]
    tokens, path = Tokens(labels, unit), tmp_path / "words.txt"
    path.write_text("one a\ntwo a b\ntoo a b\nten b a\n")
    made = estimate([line.split() for line in ("one two ten", "too one", "ten too two", "two")], order=2)
    arpa.write(tmp_path / "words.arpa", made.words, made.levels)
    lm, lexicon = NgramModel.read(tmp_path / "words.arpa"), Lexicon.read(path, tokens)
    settings = {"lexicon": path, "lm": tmp_path / "words.arpa", "lm_weight": 0.9, "word_bonus": 0.4, "beam": 2000}
    scores_TV = 2 * np.random.default_rng(seed).standard_normal((6, 4))
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    total: dict[tuple, float] = {}
    best_path: dict[tuple, float] = {}
    for steps in itertools.product(range(4), repeat=6):
        key = tuple(label for label, _ in itertools.groupby(steps) if label)
        score = float(sum(scores_TV[t, v] for t, v in enumerate(steps)))
        total[key] = np.logaddexp(total.get(key, -math.inf), score)
        best_path[key] = max(best_path.get(key, -math.inf), score)
    for decoder in decoders:
        acoustic = total if decoder == "beam" else best_path
        scored = []
        for key, score in acoustic.items():
            for words in readings(lexicon, key, tokens.space):
                gain = 0.9 * lm.perplexity([words]).log_prob + 0.4 * len(words)
                scored.append((score + gain, " ".join(words)))
        search = Search(tokens, SearchConfig(decoder=decoder, **settings))
        found = search.decoder()
        found.push(scores_TV)
        best = found.hypotheses(1)[0]
        assert (best.score, search.tokens.decode(best.labels)) == (
            pytest.approx(max(scored)[0], abs=1e-4),
            max(scored)[1],
        )


def test_both_decoders_write_the_same(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("note\nto\none\nten\neat\nate\nton\n")
    made = estimate(
        [line.split() for line in ("ten ate one note", "ate to ten", "eat one note", "ton to ton")], order=2
    )
    arpa.write(tmp_path / "words.arpa", made.words, made.levels)
    texts = set()
    for seed in range(10):
        scores_TV = heard(LETTERS, "ten ate one note to ten", seed=seed, noise=4.0)
        how = {"lexicon": path, "lm": tmp_path / "words.arpa", "beam": 300}
        texts.add(written(LETTERS, scores_TV, **how))
        assert written(LETTERS, scores_TV, decoder="flashlight", **how) in texts
    assert len(texts) > 1, "not all was clear"


def test_flashlight_takes_no_models_without_spaces(lexicon: Path) -> None:
    with pytest.raises(SearchError, match="needs a model that writes spaces; the decoder beam takes this one"):
        Search(PHONES, SearchConfig(lexicon=lexicon, decoder="flashlight"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no words; give one a line"),
        (";;; nothing\n<s>\n", "holds no words; give one a line"),
        ("to t uw\nice ay z\n", r"line 2: the model has no label 'z'; mend the line, or leave it out"),
        ("ah\nmice\n", r"line 2: no label for 'mice'"),
        ("ah\n...\n", r"line 2: '...' has nothing that can be spelled"),
    ],
)
def test_lexicons_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(LexiconError, match=said) as error:
        Lexicon.read(path, PHONES)
    assert str(error.value).startswith(f"{path}: ")


def test_several_spellings_are_kept_once(lexicon: Path) -> None:
    read = Lexicon.read(lexicon, PHONES)
    assert read.words == ("A", "AN", "ICE", "NICE", "TO", "TWO")
    assert [labels for word, labels in read.spellings if read.words[word] == "TO"] == [(5, 6), (5, 1)]
    lexicon.write_bytes(b"\xff\xfe")
    with pytest.raises(LexiconError, match="is not text in UTF-8"):
        Lexicon.read(lexicon, PHONES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--lexicon", "none.txt"], "none.txt: No such file or directory"),
        (["--decoder", "flashlight"], "the decoder flashlight needs a lexicon"),
        (["--decoder", "flashlight", "--lexicon", "WORDS", "--hot-word", "la"], "takes no hot words"),
        (["--decoder", "flashlight", "--lexicon", "WORDS", "--lm", "none.bin"], "none.bin: No such file or directory"),
        (["--decoder", "flashlight", "--lexicon", "WORDS", "--lm", "WORDS"], "KenLM cannot read it"),
        (["--lexicon", "WORDS", "--lm", "STRANGE"], "knows none of the words in"),
        (["--decoder", "flashlight", "--lexicon", "WORDS", "--lm", "STRANGE"], "knows none of the words in"),
        (
            ["--decoder", "flashlight", "--lexicon", "WORDS", "--lm", "STRANGE", "--unknown-bonus", "-3"],
            "--unknown-bonus goes with the decoder beam",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line_are_one_line(capsys, untrained, tones, tmp_path, given, said) -> None:
    model = untrained((BLANK, SPACE, "a", "i", "l", "m"), "char")
    words, strange = tmp_path / "w.txt", tmp_path / "s.arpa"
    words.write_text("la\nmi\n")
    made = estimate([["x", "y"]], order=2)
    arpa.write(strange, made.words, made.levels)
    given = [{"WORDS": str(words), "STRANGE": str(strange)}.get(one, one) for one in given]
    recording = next((tones / "test").rglob("*.wav"))
    assert main(["transcribe", str(recording), "--model", str(model), *given]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1), err
    assert said in err


@pytest.mark.parametrize("decoder", ["beam", "flashlight"])
def test_files_and_streams_write_words_of_the_lexicon_alone(untrained, tones, tmp_path: Path, decoder: str) -> None:
    recognizer = Recognizer.open(untrained((BLANK, SPACE, "a", "i", "l", "m"), "char"))
    recording = next((tones / "test").rglob("*.wav"))
    path = tmp_path / "words.txt"
    path.write_text("La\nMi-mi m i m i\nMi\n")
    search = recognizer.search(lexicon=path, decoder=decoder, alternatives=2)
    transcript = recognizer.transcribe(recording, search=search)
    assert set(transcript.text.split()) <= {"La", "Mi", "Mi-mi"}
    assert len(transcript.words) > 0
    assert [segment.text for segment in transcript.segments()] == [
        segment.alternatives[0].text for segment in transcript.segments()
    ]
    session = recognizer.stream(search=search)
    events = [
        event
        for samples in audio.blocks(recording, rate=session.rate, block_seconds=0.1)
        for event in session.push(samples)
    ] + session.flush()
    assert {word for event in events for word in event.text.split()} <= {"La", "Mi", "Mi-mi"}
    assert any(event.final for event in events)


def test_sure_words_are_as_they_were(tone_model, tones, tmp_path: Path) -> None:
    recognizer = Recognizer.open(tone_model)
    path = tmp_path / "words.txt"
    path.write_text("La la\nSo-mi so mi\nMi mi\nSo so\n")
    for recording in sorted((tones / "test").rglob("*.wav"))[:5]:
        plain = recognizer.transcribe(recording).text
        found = recognizer.transcribe(recording, search=recognizer.search(lexicon=path))
        assert found.text.lower().replace("-", " ") == plain

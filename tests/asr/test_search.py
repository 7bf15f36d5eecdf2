"""Searches with a language model and hot words: what they change, what they leave, and what cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.language.kneser_ney import estimate
from asr.search import Search, SearchConfig, SearchError, hot_word, read_hot_words
from asr.tokens import SPACE, Tokens
from inference import arpa
from inference.beam import BeamDecoder
from inference.ctc import GreedyDecoder
from inference.model import BLANK

LETTERS = Tokens([BLANK, SPACE, *"abeinot"], "char")
WORDS = Tokens([BLANK, "la", "mi", "so"], "word")


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sentences = [line.split() for line in ("no one ate it", "one bit a tie", "no tin is in it", "no one bit it")]
    path = tmp_path_factory.mktemp("lm") / "small.arpa"
    made = estimate(sentences, order=2)
    arpa.write(path, made.words, made.levels)
    return path


def scores(tokens: Tokens, text: str, *, instead: dict[int, str] | None = None, lead: float = 1.0) -> np.ndarray:
    """Scores of a text, a frame for each label and a blank after it; in places another letter leads by a little."""
    frames = []
    for k, letter in enumerate(text):
        frame_V = np.full(len(tokens.labels), -9.0)
        frame_V[tokens.encode(letter)[0] if letter != " " else tokens.labels.index(SPACE)] = 0.0
        for other in (instead or {}).get(k, ""):
            frame_V[tokens.encode(other)[0]] = lead
        blank_V = np.full(len(tokens.labels), -9.0)
        blank_V[0] = 0.0
        frames += [frame_V, blank_V]
    scores_TV = np.array(frames)
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def written(tokens: Tokens, scores_TV: np.ndarray, **settings) -> str:
    """What a search writes, found as a whole and on a stream."""
    decoder = Search(tokens, SearchConfig(**settings)).decoder()
    streamed = [one for t in range(len(scores_TV)) for one in decoder.push(scores_TV[t : t + 1])] + decoder.flush()
    whole = decoder.push(scores_TV) + decoder.flush()
    assert streamed == whole
    return tokens.decode(one.label for one in whole)


def test_a_language_model_mends_a_letter(lm: Path) -> None:
    heard = scores(LETTERS, "no one bit it", instead={8: "a"})
    assert written(LETTERS, heard) == "no one bat it"
    assert written(LETTERS, heard, beam=8) == "no one bat it"
    assert written(LETTERS, heard, lm=lm) == "no one bit it"


def test_a_word_that_it_does_not_know_can_be_written_unless_it_must_not(lm: Path) -> None:
    heard = scores(LETTERS, "no one bit a boat")
    assert written(LETTERS, heard, lm=lm) == "no one bit a boat"
    closed = written(LETTERS, heard, lm=lm, unknown_bonus=-1000.0)
    assert set(closed.split()) <= {"no", "one", "ate", "it", "bit", "a", "tie", "tin", "is", "in"}


def test_a_hot_word_is_found_and_its_neighbours_are_as_they_were(lm: Path) -> None:
    heard = scores(LETTERS, "no boat ate a boat bit", instead={4: "i", 15: "i"})
    assert written(LETTERS, heard) == "no biat ate a biat bit"
    assert written(LETTERS, heard, hot_words={"Boat": 6.0}) == "no boat ate a boat bit"
    assert written(LETTERS, heard, hot_words={"Boat": 6.0}, lm=lm) == "no boat ate a boat bit"
    assert written(LETTERS, heard, hot_words={"boa": 6.0, "at": 6.0}) == "no biat ate a biat bit"


def test_models_of_whole_words() -> None:
    heard = np.log([[0.1, 0.5, 0.4, 1e-9], [0.97, 0.01, 0.01, 0.01], [0.1, 1e-9, 0.4, 0.5]])
    assert written(WORDS, heard) == "la so"
    assert written(WORDS, heard, hot_words={"mi": 1.0}) == "mi mi"
    # A fifth of a nat less probable, and so not looked at.
    assert written(WORDS, heard, hot_words={"mi": 1.0}, prune=0.1) == "la so"
    assert written(WORDS, heard, hot_words={"la mi": 2.0}) == "la mi"


def test_what_is_greedy_and_what_is_not(lm: Path) -> None:
    assert isinstance(Search(LETTERS).decoder(), GreedyDecoder)
    assert isinstance(Search(LETTERS, SearchConfig(beam=3)).decoder(), BeamDecoder)
    assert Search(LETTERS, SearchConfig(lm=lm)).beam > 1
    assert Search(LETTERS, SearchConfig(lm=lm, beam=5)).beam == 5


@pytest.mark.parametrize(
    ("tokens", "words", "said"),
    [
        (LETTERS, {"taxi": 1.0}, "hot word 'taxi': no label for 'x' in 'taxi'; the model cannot write it"),
        (LETTERS, {"!": 1.0}, "hot word '!': holds neither letters nor digits"),
        (WORDS, {"la ti": 1.0}, "hot word 'la ti': no label for 'ti'"),
    ],
)
def test_hot_words_that_cannot_be(tokens: Tokens, words: dict[str, float], said: str) -> None:
    with pytest.raises(SearchError) as error:
        Search(tokens, SearchConfig(hot_words=words))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("labels", "unit", "said"),
    [
        ([BLANK, SPACE, *"קשת"], "char", "none of its words can be written with the model's letters"),
        ([BLANK, "one-word", "other"], "word", "knows none of the model's words"),
        ([BLANK, *"kqr"], "char", "knows none of the model's letters"),
    ],
)
def test_a_language_model_that_does_not_fit_is_told(lm: Path, labels: list[str], unit: str, said: str) -> None:
    with pytest.raises(SearchError) as error:
        Search(Tokens(labels, unit), SearchConfig(lm=lm))
    assert str(error.value).startswith(f"{lm}: ")
    assert said in str(error.value)


def test_a_language_model_of_letters(tmp_path: Path) -> None:
    made = estimate([[SPACE if letter == " " else letter for letter in "no one bit it"]] * 3, order=3)
    arpa.write(tmp_path / "letters.arpa", made.words, made.levels)
    heard = scores(LETTERS, "no one bit it", instead={8: "a"})
    assert written(LETTERS, heard) == "no one bat it"
    assert written(LETTERS, heard, lm=tmp_path / "letters.arpa") == "no one bit it"


def test_capitals_in_a_language_model_make_no_difference(tmp_path: Path) -> None:
    heard = np.log([[0.1, 0.5, 0.4, 1e-9], [0.97, 0.01, 0.01, 0.01], [0.1, 1e-9, 0.4, 0.5]])
    for case in (str.lower, str.upper):
        made = estimate([[case(word) for word in ("mi", "mi")]] * 5 + [[case("la"), case("so")]], order=2)
        arpa.write(tmp_path / "words.arpa", made.words, made.levels)
        assert written(WORDS, heard, lm=tmp_path / "words.arpa") == "mi mi"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beam": -1}, "beam is -1"),
        ({"beam": 2.5}, "beam is 2.5"),
        ({"prune": -1.0}, "prune is -1.0"),
        ({"prune": float("nan")}, "prune is nan"),
        ({"lm_weight": float("nan")}, "lm_weight is nan"),
        ({"word_bonus": float("inf")}, "word_bonus is inf"),
        ({"unknown_bonus": -float("inf")}, "unknown_bonus is -inf"),
        ({"hot_words": {"la": float("nan")}}, "the boost of 'la' is nan"),
        ({"prior_weight": float("nan")}, "prior_weight is nan"),
        ({"prior_weight": -0.5}, "prior_weight is -0.5; give a number from 0 on"),
        *(
            ({name: 0.5, "decoder": "flashlight", "lexicon": "words.txt"}, f"flashlight takes no {name}")
            for name in ("prior_weight", "unknown_bonus", "prune")
        ),
    ],
)
def test_settings_out_of_range(settings: dict, said: str) -> None:
    with pytest.raises(SearchError, match=said):
        SearchConfig(**settings)


def test_hot_words_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# names\n\nSaywave\nनमस्ते दुनिया\t4.5\nשלום\t-2\n", encoding="utf-8")
    assert read_hot_words(path, boost=3.0) == {"Saywave": 3.0, "नमस्ते दुनिया": 4.5, "שלום": -2.0}
    assert hot_word("New York=2.5") == ("New York", 2.5)
    assert hot_word("one", boost=4.0) == ("one", 4.0)
    path.write_text("one\ntwo\tmuch\n")
    with pytest.raises(SearchError, match=r"words\.txt: line 2: 'much' is not a number"):
        read_hot_words(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SearchError, match="is not text in UTF-8"):
        read_hot_words(path)
    path.write_text("# none\n\n")
    with pytest.raises(SearchError, match=r"words\.txt: holds no words"):
        read_hot_words(path)
    assert hot_word("a=b=3") == ("a=b", 3.0)
    for wrong in ("one=nan", "one="):
        with pytest.raises(SearchError, match=rf"--hot-word {wrong}: '{wrong[4:]}' is not a number"):
            hot_word(wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--lm", "lm.arpa"], "lm.arpa: No such file or directory"),
        (["--lm-weight", "2"], "--lm-weight goes with --lm FILE"),
        (["--boost", "2"], "--boost goes with --hot-word or --hot-words"),
        (["--prune", "5"], "--prune goes with a beam"),
        (["--prior-weight", "0.3"], "--prior-weight goes with a beam"),
        (["--prune", "-5", "--beam", "4"], "prune is -5.0"),
        (["--hot-word", "la=x"], "--hot-word la=x: 'x' is not a number"),
        (["--beam", "0", "--hot-word", "la"], "--beam 0 is greedy"),
        (["--hot-word", "la=inf"], "'inf' is not a number"),
        (["--hot-word", "la", "--boost", "nan"], "the boost of 'la' is nan"),
        (["--hot-word", "ti"], "hot word 'ti': no label for 'ti'"),
        (["--hot-words", "none.txt"], "none.txt: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line_are_one_line(capsys, tone_model, tones, given: list[str], said: str) -> None:
    recording = next((tones / "test").rglob("*.wav"))
    assert main(["transcribe", str(recording), "--model", str(tone_model), *given]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err


def test_files_streams_and_evaluation_take_them(capsys, tone_model, tones) -> None:
    recording = next((tones / "test").rglob("*.wav"))
    model = ["--model", str(tone_model)]
    assert main(["transcribe", str(recording), *model]) == 0
    plain = capsys.readouterr().out.split()
    for how in (["--beam", "8"], ["--hot-word", "la=0.01"], ["--streaming", "--hot-word", "la=0.01"]):
        assert main(["transcribe", str(recording), *model, *how]) == 0
        assert capsys.readouterr().out.split() == plain
    assert main(["transcribe", str(recording), *model, "--hot-word", "so=-200", "--hot-word", "mi=-200"]) == 0
    assert not {"so", "mi"} & set(capsys.readouterr().out.split())
    rates = []
    for how in ([], ["--hot-word", "so=-200"], ["--hot-word", "so=-200", "--chunk", "400ms"]):
        assert main(["evaluate", str(tones / "test"), *model, *how]) == 0
        rates.append(float(re.search(r"([0-9.]+) %", capsys.readouterr().out)[1]))
    assert rates[0] < 10
    assert min(rates[1:]) > 20  # a third of the words cannot be written any more


def test_a_letter_model_knows_apostrophes_and_joiners(tmp_path: Path) -> None:
    """Alone they are nothing that normalisation keeps."""
    labels = [BLANK, SPACE, "a", "'", "\u200d"]
    grams = ["-1 <unk>", "-9 <s>", "-1 </s>", *(f"-1 {label}" for label in labels[1:])]
    arpa = ["\\data\\", "ngram 1=7", "", "\\1-grams:", *grams, "", "\\end\\", ""]
    (tmp_path / "letters.arpa").write_text("\n".join(arpa), encoding="utf-8")
    tokens = Tokens(labels, "char")
    for text in ("a'a", "a\u200da"):
        heard = np.full((2 * len(text), len(labels)), -9.0)
        heard[np.arange(0, len(heard), 2), tokens.encode(text)] = heard[1::2, 0] = 0.0
        assert written(tokens, heard, lm=tmp_path / "letters.arpa", unknown_bonus=-1000.0) == text

"""Reports: totals against jiwer on the same texts, intervals, tables and the shape of the Markdown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import jiwer
import pytest

from asr.report import Pair, ReportError, evaluate_pairs
from asr.text import normalize
from training.metrics import ErrorCounts, bootstrap_interval

PAIRS = [
    Pair("a1", "anna", "One two, three four!", "one too three four five"),
    Pair("a2", "anna", "The cat sat.", "the cat sat"),
    Pair("b1", "ben_x", "你好 世界 再见", "你好 再见"),
    Pair("b2", "ben_x", "שלום עולם טוב", "שלום עלם טוב"),
    Pair("b3", "ben_x", "two two two", "too too two"),
]


def test_totals_equal_jiwer_on_normalised_text() -> None:
    report = evaluate_pairs(PAIRS)
    references = [normalize(pair.reference) for pair in PAIRS]
    hypotheses = [normalize(pair.hypothesis) for pair in PAIRS]
    assert report.words.rate == pytest.approx(jiwer.wer(references, hypotheses))
    assert report.characters.rate == pytest.approx(jiwer.cer(references, hypotheses))
    assert report.words == ErrorCounts(substitutions=4, deletions=1, insertions=1, reference=16)


def test_an_utterance_keeps_its_texts_and_its_errors() -> None:
    first = evaluate_pairs(PAIRS).utterances[0]
    assert (first.id, first.speaker) == ("a1", "anna")
    assert (first.reference, first.hypothesis) == ("One two, three four!", "one too three four five")
    assert [edit.op for edit in first.word_alignment] == ["=", "S", "=", "=", "I"]
    assert first.word_errors == ErrorCounts(1, 0, 1, 4)


def test_case_punctuation_and_spacing_are_no_errors() -> None:
    report = evaluate_pairs([Pair("x", None, " Don’t,  STOP — now… ", "don't stop now")])
    assert (report.words.errors, report.characters.errors) == (0, 0)


def test_as_written_case_and_punctuation_are_errors() -> None:
    pairs = [Pair("x", None, " Don’t  stop! ", "don’t stop"), Pair("y", None, "१２", "१2")]
    report = evaluate_pairs(pairs, form="written")
    assert (report.words.errors, report.characters.errors) == (2, 2)
    assert report.summary().endswith("; compared as written")
    assert "Compared as written" in report.to_markdown()
    assert "small letters" in evaluate_pairs(pairs).to_markdown()


def test_characters_count_the_single_spaces_between_words() -> None:
    report = evaluate_pairs([Pair("x", None, "  ab   cd ", "abcd")])
    assert report.characters == ErrorCounts(substitutions=0, deletions=1, insertions=0, reference=5)


def test_a_letter_and_its_sign_are_two_characters() -> None:
    assert evaluate_pairs([Pair("x", None, "कि", "की")]).characters == ErrorCounts(1, 0, 0, 2)


def test_intervals_draw_speakers_where_all_are_known() -> None:
    report = evaluate_pairs(PAIRS)
    counts = [one.word_errors for one in report.utterances]
    assert report.drawn == "speakers"
    assert report.word_interval == bootstrap_interval(counts, groups=[pair.speaker for pair in PAIRS])
    assert "over 2 speakers" in report.summary()
    for changed in (
        [*PAIRS[:-1], PAIRS[-1]._replace(speaker=None)],
        [*PAIRS[:-1], PAIRS[-1]._replace(speaker="")],
        [pair._replace(speaker="anna") for pair in PAIRS],
    ):
        report = evaluate_pairs(changed)
        assert report.drawn == "utterances"
        assert report.word_interval == bootstrap_interval(counts)
        assert "over 5 utterances" in report.summary()
        assert "over 5 utterances" in report.to_markdown()


def test_interval_of_characters_is_that_of_their_counts() -> None:
    report = evaluate_pairs([pair._replace(speaker=None) for pair in PAIRS])
    assert report.char_interval == bootstrap_interval([one.char_errors for one in report.utterances])


@pytest.mark.parametrize(
    "pairs", [PAIRS[:1], [Pair("x", None, "", "noise"), Pair("y", None, "", "")], [Pair("x", None, "...", "")]]
)
def test_no_interval_from_one_utterance_or_from_silence(pairs: list[Pair]) -> None:
    report = evaluate_pairs(pairs)
    assert report.word_interval is None
    assert report.char_interval is None
    assert "no interval" in report.summary()
    assert "No interval" in report.to_markdown()


def test_silence_with_inserted_words_has_no_rate_but_its_errors_count() -> None:
    report = evaluate_pairs([Pair("x", None, "", "uh"), Pair("y", None, "one two", "one two")])
    assert report.words == ErrorCounts(0, 0, 1, 2)
    assert report.words.rate == 0.5
    assert "undefined" in evaluate_pairs([Pair("x", None, "", "uh")]).summary()


def test_speakers_add_up() -> None:
    pairs = [*PAIRS, Pair("n1", None, "one", "")]
    report = evaluate_pairs(pairs)
    assert [(s.speaker, s.utterances, s.words.reference) for s in report.speakers] == [
        ("anna", 2, 7),
        ("ben_x", 3, 9),
        (None, 1, 1),
    ]
    assert sum((s.words for s in report.speakers), ErrorCounts.zero()) == report.words
    assert sum((s.characters for s in report.speakers), ErrorCounts.zero()) == report.characters


def test_confusions_are_ranked() -> None:
    report = evaluate_pairs(PAIRS)
    assert report.confusions(10) == [
        ("two", "too", 3),
        (None, "five", 1),
        ("עולם", "עלם", 1),
        ("世界", None, 1),
    ]
    assert report.confusions(1) == [("two", "too", 3)]


def test_worst_utterances_come_first_and_perfect_ones_not_at_all() -> None:
    report = evaluate_pairs(PAIRS)
    assert [one.id for one in report.worst(10)] == ["b3", "a1", "b1", "b2"]
    assert [one.id for one in report.worst(1)] == ["b3"]


def test_worst_counts_errors_before_rates() -> None:
    long = Pair("long", None, "a b c d e f g h", "a b c d e f x y")
    report = evaluate_pairs([Pair("short", None, "one", ""), Pair("shorter", None, "", "one"), long])
    assert [one.id for one in report.worst(3)] == ["long", "shorter", "short"]


def test_summary_says_the_totals_in_three_lines() -> None:
    lines = evaluate_pairs(PAIRS).summary().split("\n")
    assert len(lines) == 3
    assert lines[0].startswith("WER 37.50 % (95 % interval: 28.57 to 44.44 %): 4 substitutions, 1 deletions, 1 ins")
    assert lines[1].startswith("CER ")
    assert lines[2] == "4 of 5 utterances have errors; 95 % intervals by bootstrap over 2 speakers"


def test_markdown_shows_totals_speakers_errors_and_alignments() -> None:
    text = evaluate_pairs(PAIRS).to_markdown(title="Digits")
    lines = text.split("\n")
    assert lines[0] == "# Digits"
    assert "| words (WER) | 37.50 % | 28.57 to 44.44 % | 4 | 1 | 1 | 16 |" in lines
    assert any(line.startswith("| ben\\_x | 3 | 9 | 44.44 % | 3 | 1 | 0 |") for line in lines)
    assert "| two | too | 3 |" in lines
    assert "| (inserted) | five | 1 |" in lines
    assert "| 世界 | (deleted) | 1 |" in lines
    assert (
        "reference   one two three four ****\nhypothesis  one too three four five\n                S              I"
        in text
    )
    assert "reference   你好 世界 再见\nhypothesis  你好 **** 再见\n                 D" in text
    assert text.endswith("```\n")


def test_markdown_limits_its_lists() -> None:
    text = evaluate_pairs(PAIRS).to_markdown(confusions=1, worst=2)
    assert text.count("\nUtterance ") == 2
    assert "| two | too | 3 |" in text
    assert "(inserted)" not in text


def test_markdown_of_a_perfect_result_lists_no_errors() -> None:
    text = evaluate_pairs([Pair("x", None, "yes", "yes"), Pair("y", None, "no", "no")]).to_markdown()
    assert "0.00 %" in text
    assert "##" not in text


def test_names_and_words_cannot_break_the_markdown() -> None:
    pairs = [Pair("a|b\n# c", "s|1", "x | ``` y", "x z"), Pair("d", "<b>", "x", "x")]
    text = evaluate_pairs(pairs).to_markdown(title="a*b\n# c")
    lines = text.split("\n")
    assert [line for line in lines if line.startswith("# ")] == ["# a\\*b \\# c"]
    assert any(line.startswith("| s\\|1 | 1 |") for line in lines)
    assert any(line.startswith("| \\<b\\> | 1 |") for line in lines)
    assert "Utterance a\\|b \\# c:" in text
    assert [line for line in lines if "```" in line] == ["```text", "```"]


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(ReportError, match="no utterances"):
        evaluate_pairs([])


def test_a_report_computes_from_its_utterances() -> None:
    report = evaluate_pairs(PAIRS)
    assert replace(report, utterances=report.utterances[:2]).words.reference == 7


def test_the_report_loads_neither_torch_nor_rich() -> None:
    code = "import sys, asr.report; print([name for name in ('torch', 'jiwer', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The command `asr`: a thin shell over the library.

Subcommands import what they need when they run, so that `asr --help` answers at once.
Exit codes: 0, all is done; 1, some of several files failed; 2, nothing could be done, and the one line on standard
error says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from asr.parser import ALL, Parser
from asr.search_cli import add_alternatives, add_search, search_config
from inference import shell
from inference.shell import Version, guarded, time

EXAMPLES = """\
examples:
  asr transcribe talk.flac                        the words, on standard output
  asr transcribe recordings/ --output texts/      a folder; texts/NAME.txt for each recording
  asr transcribe 'talks/**/*.flac' --output texts/ --jobs 8   many, in eight processes; again: what is left of them
  asr transcribe day.flac --segments decoder      hours: divided at pauses, a line for each stretch
  asr transcribe a.wav --format json              words with times and confidence
  asr transcribe a.mp4 --format srt vtt --output .   subtitles: a.srt and a.vtt in this folder
  cat a.wav | asr transcribe -                    from standard input
  asr classify calls/ --model speaker/model       who speaks, or what else a model was trained to tell
  asr align talk.flac talk.txt                    when each word of a known text is said
  asr listen                                      the microphone, while you speak; Ctrl-C ends
  asr transcribe talk.flac --streaming            a file heard as a live stream, with a report on the delays
  asr check my_data/                              letters with their counts, and what cannot be trained on
  asr train my_data/ --out my_model               a model of your own (a.wav beside a.txt)
  asr label talks/ --model my_model/model --out more.jsonl.gz   training data of what it is sure of
  asr evaluate my_test/ --model my_model/model    word and character error rates, with a report
  asr calibrate my_model/model my_dev/            confidences that are probabilities
  asr export my_model/model --int8 --dev my_dev/ --out small   the same in weights of 8 bits: small and fast
  asr lm make books.txt --output en.arpa          a language model of words or letters
  asr tune my_dev/ --lm en.arpa                   how much it should count, by recordings with known words
  asr tune my_dev/ --model my_model/model --lm en.ngram --write   from then on my_model has it by itself
  asr lm train books.txt --out en_lstm            one that is an LSTM
  asr gradients talk.flac --plot gradients.png    how far back errors reach: the vanishing gradient
  asr doctor                                      what is installed, what is missing for what
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from asr.train_cli import main as train_main

        return guarded("asr", lambda: train_main(arguments[1:]))
    if arguments[:2] == ["lm", "train"]:
        from asr.language.train_cli import main as train_lm_main

        return guarded("asr", lambda: train_lm_main(arguments[2:]))
    parsed = _parser().parse_args(arguments)
    if parsed.command is None:
        _parser().print_help()
        return 2
    return guarded("asr", lambda: parsed.run(parsed))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="asr",
        description="Turn speech into text, and train models that do.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    from asr.check_cli import DATA, FORMS_SAID
    from asr.check_cli import add_parser as add_check
    from asr.classify_cli import add_parser as add_classify
    from asr.confidence.cli import add_calibrate, add_doubt
    from asr.export_cli import add_parser as add_export
    from asr.formats import WRITERS
    from asr.gradients_cli import add_parser as add_gradients
    from asr.label_cli import add_parser as add_label
    from asr.language.cli import add_parser as add_language_models
    from asr.text import FORMS
    from asr.transcribe_cli import add_many, add_subtitles

    transcribe = commands.add_parser(
        "transcribe", help="write down what is said in sound files", description=_transcribe.__doc__
    )
    transcribe.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="sound file, folder, quoted pattern such as 'talks/**/*.flac', or - for standard input",
    )
    _add_model(transcribe)
    add_search(transcribe)
    transcribe.add_argument(
        "--format",
        action="append",
        choices=(*WRITERS, ALL),
        metavar="FORMAT [FORMAT ...]",
        help="txt: the words; json: with times and confidence, in whisper's layout (several files printed: a line each "
        "with the file's name, so that each can be read as it comes); srt, vtt: subtitles; tsv: whisper's table; ctm: "
        "NIST's; textgrid: Praat's; all: each of these (default: txt)",
    )
    add_alternatives(transcribe)
    transcribe.add_argument(
        "--output",
        metavar="DIR",
        help="write DIR/NAME.FORMAT for each file and format instead of printing; those that are there and newer than "
        "the file and the model stay",
    )
    add_many(transcribe)
    transcribe.add_argument(
        "--streaming", action="store_true", help="hear it as a live stream would be, and report how late words come"
    )
    transcribe.add_argument("--realtime", action="store_true", help="with --streaming: at the pace of a microphone")
    add_doubt(transcribe)
    _add_latency(transcribe)
    add_subtitles(transcribe)
    transcribe.set_defaults(run=_transcribe)

    add_classify(commands)

    align = commands.add_parser(
        "align", help="say when each word of a known text is said in a recording", description=_align.__doc__
    )
    align.add_argument("recording", metavar="FILE", help="sound file, or - for standard input")
    align.add_argument("text", metavar="TEXT", help="text file with what is said in it")
    _add_model(align)
    align.add_argument(
        "--format",
        choices=[name for name in WRITERS if name != "txt"],
        help="json, srt, vtt, tsv, ctm or textgrid, as of asr transcribe (default: what --output ends in, or ctm)",
    )
    align.add_argument("--output", metavar="FILE", help="write FILE instead of printing")
    align.add_argument(
        "--lexicon",
        metavar="FILE",
        help="lines of a word and its phones, for a model whose labels are phones: json and textgrid have these too",
    )
    align.set_defaults(run=_align)

    listen = commands.add_parser(
        "listen", help="write down what is said into the microphone, while it is said", description=_listen.__doc__
    )
    _add_model(listen)
    add_search(listen)
    add_doubt(listen)
    _add_latency(listen)
    listen.add_argument("--device", metavar="NAME|N", help="microphone, by a part of its name or by its number")
    listen.add_argument("--list-devices", action="store_true", help="show the microphones there are, and end")
    listen.add_argument("--output", metavar="FILE", help="write finished lines to FILE too, as they come")
    listen.add_argument("--record", metavar="FILE.wav", help="keep the sound")
    listen.add_argument("--events", action="store_true", help="print each event as a line of JSON, partial ones too")
    listen.add_argument("--stdin", action="store_true", help="hear raw samples from standard input instead")
    listen.add_argument("--rate", type=int, metavar="HZ", help="their rate (default: 16000)")
    listen.add_argument("--dtype", help="their type: int16, int32, float32, uint8 (default: int16)")
    listen.add_argument("--channels", type=int, metavar="N", help="their channels (default: 1)")
    listen.set_defaults(run=_listen)

    evaluate = commands.add_parser(
        "evaluate",
        help="count the errors of a model on recordings with known words or labels",
        description=_evaluate.__doc__,
    )
    evaluate.add_argument("data", metavar="DATA", help=DATA)
    _add_model(evaluate)
    add_search(evaluate)
    evaluate.add_argument("--output", metavar="FILE", help="write a Markdown report with the worst utterances, aligned")
    evaluate.add_argument(
        "--reliability", metavar="FILE", help="plot how often words of each confidence are right (.png, .svg or .pdf)"
    )
    evaluate.add_argument(
        "--chunk", type=time, metavar="TIME", help="hear the recordings as live streams of this chunk, such as 400ms"
    )
    evaluate.add_argument("--lookahead", type=time, metavar="TIME", help="... and this look-ahead (default: 200ms)")
    evaluate.add_argument(
        "--form", choices=FORMS, help=f"what texts are compared in; {FORMS_SAID} (default: the model's)"
    )
    evaluate.set_defaults(run=_evaluate)

    add_calibrate(commands, add_search=add_search, search=search_config)
    add_check(commands)

    tune = commands.add_parser(
        "tune", help="choose weight and bonuses of a language model on recordings", description=_tune.__doc__
    )
    tune.add_argument(
        "data", nargs="?", metavar="DATA", help="recordings that nothing is tested on, as of asr evaluate"
    )
    _add_model(tune)
    add_search(tune)
    tune.add_argument(
        "--write",
        action="store_true",
        help="store language model, lexicon and settings with the model, which uses them where no others are given",
    )
    tune.add_argument(
        "--remove", action="store_true", help="take away what the model of --model carries; takes no DATA"
    )
    tune.set_defaults(run=_tune)

    commands.add_parser(
        "train", help="train a model on recordings and their words (see `asr train --help`)", add_help=False
    )

    add_label(commands, add_model=_add_model, add_search=add_search, search=search_config)
    add_export(commands)
    add_language_models(commands)
    add_gradients(commands)

    doctor = commands.add_parser(
        "doctor", help="say what is installed and what is missing for what", description=_doctor.__doc__
    )
    doctor.set_defaults(run=_doctor)
    return parser


# Options of a stream; where one is not given, `asr.stream` and `inference.endpoint` have the default.
STREAMS = ("chunk", "lookahead", "pause", "silence", "longest", "silence_by")
RULES = {"pause": "after_text", "silence": "without_text", "longest": "longest"}


def _add_latency(parser: argparse.ArgumentParser) -> None:
    streams = parser.add_argument_group("streams", "times such as 400ms or 0.4s; those of the model round up")
    for name, what in (
        ("chunk", "how much is recognised at a time (default: 400ms)"),
        ("lookahead", "how much is heard beyond that first; more is slower and makes fewer errors (default: 200ms)"),
        ("pause", "silence after words that ends a line (default: 800ms)"),
        ("silence", "silence without words to start afresh (default: 5s)"),
        ("longest", "line that a shorter pause ends (default: 20s)"),
    ):
        streams.add_argument(f"--{name}", type=time, metavar="TIME", help=what)
    streams.add_argument(
        "--silence-by",
        choices=("decoder", "silero"),
        help="what tells silence: that no words are recognised, or silero-vad's network too (default: decoder)",
    )


def _streams(parsed: argparse.Namespace) -> dict:
    """Settings of a stream, with the defaults where nothing was said: chunk, lookahead, rules, silero."""
    from asr.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS
    from inference.endpoint import EndpointRules

    for name in ("chunk", *RULES):
        if getattr(parsed, name) == 0:
            raise ValueError(f"--{name} must be more than 0")
    given = {rule: getattr(parsed, name) for name, rule in RULES.items() if getattr(parsed, name) is not None}
    return {
        "chunk": CHUNK_SECONDS if parsed.chunk is None else parsed.chunk,
        "lookahead": LOOKAHEAD_SECONDS if parsed.lookahead is None else parsed.lookahead,
        "rules": EndpointRules(**given),
        "silero": parsed.silence_by == "silero",
    }


def _add_model(parser: argparse.ArgumentParser) -> None:
    from asr.shipped import DEFAULT, names

    shell.add_model(parser, shipped=names(), default=DEFAULT)


def _transcribe(parsed: argparse.Namespace) -> int:
    """Write down what is said in sound files. A folder stands for all sound files in it."""
    from asr.transcribe_cli import run

    return run(parsed, search=search_config(parsed), streams=_streams(parsed), every_format=ALL)


def _align(parsed: argparse.Namespace) -> int:
    """Say when each word of a known text is said in a recording; those that are not are named on standard error."""
    from asr.align import align_file

    return align_file(
        parsed.recording,
        parsed.text,
        model=parsed.model,
        format=parsed.format,
        output=parsed.output,
        threads=parsed.threads,
        lexicon=parsed.lexicon,
    )


def _listen(parsed: argparse.Namespace) -> int:
    """Write down what is said while it is said: finished lines with the time at which they began."""
    from asr.confidence.cli import doubt_of
    from asr.listen import ListenError, Pipe, list_devices, listen_live

    if parsed.list_devices:
        return list_devices()
    raw = {name: getattr(parsed, name) for name in ("rate", "dtype", "channels") if getattr(parsed, name) is not None}
    if raw and not parsed.stdin:
        raise ListenError(f"--{next(iter(raw))} describes raw samples on standard input; add --stdin, or leave it out")
    if parsed.stdin and parsed.device is not None:
        raise ListenError("--device and --stdin are two sources; choose one")
    return listen_live(
        model=parsed.model,
        threads=parsed.threads,
        **_streams(parsed),
        device=parsed.device,
        pipe=Pipe(**raw) if parsed.stdin else None,
        record=parsed.record,
        output=parsed.output,
        every_event=parsed.events,
        search=search_config(parsed),
        doubt=doubt_of(parsed),
    )


def _evaluate(parsed: argparse.Namespace) -> int:
    """Transcribe recordings whose words are known and count substituted, deleted and inserted words and characters.

    Of a model of labels: accuracy, F1 and confusions on DATA/LABEL/a.wav, or on other DATA whose texts are labels.
    """
    from asr.evaluate import EvaluationError, evaluate_data
    from asr.scoring import Window
    from asr.stream import LOOKAHEAD_SECONDS

    if parsed.lookahead is not None and parsed.chunk is None:
        raise EvaluationError("--lookahead goes with --chunk; add it, or leave both out for full context")
    lookahead = LOOKAHEAD_SECONDS if parsed.lookahead is None else parsed.lookahead
    return evaluate_data(
        parsed.data,
        model=parsed.model,
        output=parsed.output,
        reliability=parsed.reliability,
        threads=parsed.threads,
        search=search_config(parsed),
        stream=None if parsed.chunk is None else Window(parsed.chunk, lookahead),
        form=parsed.form,
    )


def _tune(parsed: argparse.Namespace) -> int:
    """Choose weight and bonuses of a language model such that fewest words are wrong, and print them as options.

    The search begins at the values given. Choose on recordings apart from those that you test on.
    """
    from asr.tune import TuneError, remove, tune_data

    if parsed.remove:
        if parsed.data is not None or parsed.lm is not None or parsed.write:
            raise TuneError("--remove takes away what is there, with --model DIR alone; leave the rest out")
        return remove(parsed.model)
    if parsed.data is None:
        raise TuneError("no recordings to choose on: give DATA, a folder or manifest")
    search = search_config(parsed)
    return tune_data(parsed.data, model=parsed.model, threads=parsed.threads, search=search, write=parsed.write)


def _doctor(parsed: argparse.Namespace) -> int:
    """Say what is installed and what is missing for what."""
    from asr.doctor import report

    print(report())
    return 0

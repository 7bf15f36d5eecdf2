"""What a model directory carries for its search: a language model, a lexicon, and the settings that go with them.

Its `config.yaml` names them, and they are used wherever nothing else is asked for:

    search: {lm: language.ngram, lexicon: lexicon.txt, lm_weight: 0.6, word_bonus: 1.5, unknown_bonus: -6.0, beam: 32,
             prune: 10.0, prior_weight: 0.3, log_priors: [-0.4, -5.1, -3.2]}
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from inference.model import CONFIG, ModelError, stored_config
from inference.model_changes import store_search
from inference.ngram_file import is_compact

if TYPE_CHECKING:
    from asr.search import SearchConfig
    from inference.model import Model

FILES = {"lm": "language.ngram", "lexicon": "lexicon.txt"}
NUMBERS = ("lm_weight", "word_bonus", "unknown_bonus", "beam", "prune")
PRIOR_WEIGHT, PRIORS = "prior_weight", "log_priors"


class CarriedError(ValueError):
    """A search that a model directory cannot carry; the message says why and what to do."""


def settings(directory: Path, search: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of `asr.search.SearchConfig` that a model carries, of what its configuration says; none if nothing.

    Raises:
        ModelError: it says what this program does not know, or names a file that is not in the directory.
    """
    found: dict[str, Any] = {}
    for name, value in (search or {}).items():
        if name in (*NUMBERS, PRIOR_WEIGHT) and _is_setting(name, value):
            found[name] = value
        elif name == PRIORS and isinstance(value, list) and all(_is_setting(name, one) for one in value):
            found[name] = tuple(value)
        elif name in FILES and isinstance(value, str) and (directory / value).is_file() and Path(value).name == value:
            found[name] = str(directory / value)
        else:
            raise ModelError(f"{directory / CONFIG}: search.{name} is {value!r}; fetch the model anew")
    if found and "lm" not in found:
        raise ModelError(f"{directory / CONFIG}: search names no lm; fetch the model anew")
    return found


def _is_setting(name: str, value: object) -> bool:
    """Whether a number is one that `store` may have written: finite, and those that count something not below 0."""
    if name == "beam":
        return type(value) is int and value > 0
    least = 0.0 if name == "prune" else -sys.float_info.max
    return type(value) in (int, float) and least <= value <= sys.float_info.max


def of_directory(directory: Path) -> dict[str, Any]:
    """The same of a directory that has not been loaded; nothing where it is no model, which loading it will say."""
    try:
        config = stored_config(directory)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return {}
    search = config.get("search") if isinstance(config, dict) else None
    return settings(directory, search) if isinstance(search, dict) else {}


def merged(carried: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are given, before those that a model carries.

    Another language model, or none, takes the place of all that is carried: weights and lexicon go with the carried
    one. So does a beam of 0, which is greedy. Priors of the labels stay, whatever weight they are then given. What
    the decoder flashlight has none of is left aside where that is asked for.
    """
    if "lm" in given or given.get("beam") == 0:
        carried = {name: value for name, value in carried.items() if name == PRIORS}
    if given.get("decoder") == "flashlight":
        from asr.flashlight import LACKING

        carried = {name: value for name, value in carried.items() if name not in LACKING}
    return {**carried, **given}


def check(config: SearchConfig) -> None:
    """Refuse to store what cannot be carried.

    Raises:
        CarriedError: it is something else than one file of n-grams in the compact format, with or without a lexicon.
        OSError: the file cannot be opened.
    """
    paths = [str(path) for path in config.language_models()]
    if len(paths) != 1 or isinstance(config.lm, Mapping):
        raise CarriedError("a model carries one language model, given as --lm FILE without a weight of its own")
    (path,) = paths
    if Path(path).is_dir():
        raise CarriedError(f"{path}: a model carries n-grams and no LSTM; give a file of `asr lm make`")
    if not is_compact(path):
        raise CarriedError(
            f"{path}: a model carries n-grams in the compact format; make them with `asr lm convert "
            f"{shlex.quote(path)} FILE.ngram`"
        )
    if config.decoder != "beam" or config.hot_words or config.alternatives:
        raise CarriedError("a model carries no hot words, alternatives or other decoder; leave them out")


def store(directory: str | Path, config: SearchConfig | None, *, note: str = "") -> Model:
    """The model at `directory` with a search to carry, or without one; everything else stays as it is.

    Args:
        directory: The model; it is written anew, as a whole or not at all.
        config: The search; its language model and lexicon are copied.
        note: What the model card says of it, in Markdown.

    Raises:
        CarriedError: it cannot be carried.
        ModelError: the directory is no whole model.
        OSError: something cannot be read or written.
    """
    if config is None:
        return store_search(directory, {}, {}, note=note)
    check(config)
    (lm,) = config.language_models()
    files = {FILES["lm"]: Path(lm).read_bytes()}
    search: dict[str, Any] = {"lm": FILES["lm"]}
    if config.lexicon is not None:
        files[FILES["lexicon"]] = Path(config.lexicon).read_bytes()
        search["lexicon"] = FILES["lexicon"]
    search.update({name: getattr(config, name) for name in NUMBERS}, beam=config.width)
    if config.log_priors is not None:
        search[PRIOR_WEIGHT] = config.prior_weight
        search[PRIORS] = [round(value, 4) for value in config.log_priors]
    return store_search(directory, search, files, note=note)

"""What is installed and what is missing for what: the text of `asr doctor`."""

from __future__ import annotations

import importlib.util

from asr.shipped import FOLDER, names
from features import microphone
from inference.installed import TRAINING, Needs, model_lines, need_lines, program_line, torch_lines

NEEDS: Needs = {
    "transcribe wav, flac, ogg, opus, mp3": (
        [
            ("numpy", "numpy"),
            ("soundfile", "soundfile"),
            ("soxr", "soxr"),
            ("onnxruntime", "onnxruntime"),
            ("yaml", "PyYAML"),
        ],
        "saywave",
    ),
    "transcribe m4a, mp4, webm": ([("av", "av")], "saywave[video]"),
    "listen to a microphone": ([("sounddevice", "sounddevice")], "saywave[mic]"),
    "tell silence by silero-vad": ([("silero_vad", "silero-vad")], "saywave[vad]"),
    "search with --decoder flashlight": ([("flashlight", "flashlight-text")], "saywave[lm]"),
    "transcribe on a Ray cluster": ([("ray", "ray")], "saywave[ray]"),
    "evaluate, calibrate, tune": ([("jiwer", "jiwer"), ("lhotse", "lhotse")], "saywave[train]"),
    "check a corpus": ([("lhotse", "lhotse"), ("torch", "torch")], "saywave[train]"),
    "train": (TRAINING, "saywave[train]"),
}


def report() -> str:
    """One line for the program, one for each thing that it can do, one for each microphone and each model."""
    lines = [program_line(), "", *need_lines(NEEDS), *torch_lines(), ""]
    return "\n".join([*lines, *_microphone_lines(), *model_lines(names(), FOLDER)])


def _microphone_lines() -> list[str]:
    """Each input device, or why there is none."""
    if not importlib.util.find_spec("sounddevice"):
        return []
    try:
        default = microphone.find()
    except microphone.MicrophoneError as error:
        return [f"missing  microphone: {error}"]
    return [
        f"ok       microphone {device.index}: {device.name} ({device.host}), {device.rate} Hz"
        + (", the default" if device == default else "")
        for device in microphone.devices()
    ]

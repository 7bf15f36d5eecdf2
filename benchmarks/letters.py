"""The labels that drawn networks and drawn scores stand for; apart, so that decoders are measured without torch."""

from inference.model import BLANK

LABELS = (BLANK, "<space>", *"abcdefghijklmnopqrstuvwxyz")

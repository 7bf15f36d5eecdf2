"""pyctcdecode's beam search, with KenLM and hot words where they are asked for."""

import logging

import numpy as np
from pyctcdecode import build_ctcdecoder
from serve import serve, timed

logging.disable(logging.WARNING)
decoders = {}


def open_decoder(who, labels, lm, words, weight, bonus):
    decoders[who] = build_ctcdecoder(labels, kenlm_model_path=lm, unigrams=words, alpha=weight, beta=bonus)


def decode(who, path, beam, hot_words):
    scores = np.load(path)
    settings = {"beam_width": beam, "hotwords": hot_words or None}
    return timed(lambda: decoders[who].decode_beams(scores, **settings))[0]


serve({"open": open_decoder, "time": decode}, packages=["pyctcdecode"])

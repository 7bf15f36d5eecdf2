"""pocketsphinx with the acoustic and the language model of its package, or with a grammar."""

import os

import numpy as np
from pocketsphinx import Decoder
from serve import serve, timed

decoders = {}


def open_decoder(who, grammar):
    settings = {"samprate": 16000, "loglevel": "FATAL", "logfn": os.devnull}
    decoders[who] = Decoder(**settings) if grammar is None else Decoder(jsgf=grammar, lm=None, **settings)


def heard(decoder, samples):
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return "" if found is None else found.hypstr


def transcribe(who, paths):
    recordings = [np.load(path) for path in paths]
    seconds, texts = timed(lambda: [heard(decoders[who], samples) for samples in recordings])
    return {"seconds": seconds, "texts": texts}


serve({"open": open_decoder, "transcribe": transcribe}, packages=["pocketsphinx"])

"""The shortest program that turns a WAV file of 16 kHz into text with pocketsphinx, for start-up and memory."""

import sys
import wave

from pocketsphinx import Decoder

with wave.open(sys.argv[1]) as file:
    samples = file.readframes(file.getnframes())
decoder = Decoder(samprate=16000, loglevel="FATAL")
decoder.start_utt()
decoder.process_raw(samples, full_utt=True)
decoder.end_utt()
print(decoder.hyp().hypstr if decoder.hyp() else "")

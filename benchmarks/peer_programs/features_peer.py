"""Filterbanks and MFCC of other implementations: kaldi-native-fbank, librosa, python_speech_features."""

import functools

import numpy as np
from serve import serve, timed

RATE, BINS, COEFFICIENTS = 16000, 80, 13


@functools.cache
def load(path):
    return np.load(path)


def kaldi_computer(kind):
    import kaldi_native_fbank

    options = kaldi_native_fbank.MfccOptions() if kind == "MFCC" else kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    if kind == "MFCC":
        return kaldi_native_fbank.OnlineMfcc(options)
    options.mel_opts.num_bins = BINS
    options.mel_opts.high_freq = 0.0
    return kaldi_native_fbank.OnlineFbank(options)


def kaldi(kind, samples):
    computer = kaldi_computer(kind)
    computer.accept_waveform(RATE, samples * np.float32(32768.0))
    computer.input_finished()
    return np.stack([computer.get_frame(t) for t in range(computer.num_frames_ready)])


def of_librosa(kind, samples):
    import librosa

    shape = {"sr": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160}
    if kind == "MFCC":
        return librosa.feature.mfcc(y=samples, n_mfcc=COEFFICIENTS, n_mels=23, **shape).T
    return np.log(librosa.feature.melspectrogram(y=samples, n_mels=BINS, **shape) + 1e-10).T


def of_python_speech_features(kind, samples):
    import python_speech_features

    if kind == "MFCC":
        return python_speech_features.mfcc(samples, RATE, numcep=COEFFICIENTS, nfilt=23)
    return python_speech_features.logfbank(samples, RATE, nfilt=BINS)


CONTENDERS = {
    "kaldi-native-fbank": kaldi,
    "librosa": of_librosa,
    "python_speech_features": of_python_speech_features,
}


def frames(who, kind, path, out):
    np.save(out, CONTENDERS[who](kind, load(path)))


def time(who, kind, path):
    samples = load(path)
    return timed(lambda: CONTENDERS[who](kind, samples))[0]


def stream(path, block):
    samples = load(path) * np.float32(32768.0)

    def through():
        computer, known = kaldi_computer("filterbank"), 0
        for start in range(0, len(samples), block):
            computer.accept_waveform(RATE, samples[start : start + block])
            while known < computer.num_frames_ready:
                computer.get_frame(known)
                known += 1

    return timed(through)[0]


serve(
    {"contenders": lambda: list(CONTENDERS), "frames": frames, "time": time, "stream": stream},
    packages=list(CONTENDERS),
)

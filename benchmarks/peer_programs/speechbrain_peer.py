"""SpeechBrain trains a bidirectional LSTM with CTC: its Brain, filterbank, normalisation, LSTM and loss."""

import json

import numpy as np
import speechbrain
import torch
from serve import serve, timed
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import ctc_loss
from speechbrain.nnet.RNN import LSTM
from speechbrain.processing.features import InputNormalization

STACK = 3
opened = {}


class Recogniser(speechbrain.Brain):
    """Frames of 10 ms stacked to steps of 30 ms, as ours are, between SpeechBrain's own parts."""

    def compute_forward(self, batch, stage):
        samples, lengths, _, _ = batch
        frames = self.modules.normalize(self.modules.fbank(samples), lengths, epoch=0)
        count = frames.shape[1] // STACK
        steps = frames[:, : count * STACK].reshape(len(frames), count, -1)
        encoded, _ = self.modules.lstm(steps)
        return self.modules.linear(encoded).log_softmax(-1), lengths

    def compute_objectives(self, predictions, batch, stage):
        scores, lengths = predictions
        _, _, labels, counts = batch
        return ctc_loss(scores, labels, lengths, counts, blank_index=0)


def padded(arrays):
    longest = max(map(len, arrays))
    whole = torch.zeros(len(arrays), longest, dtype=torch.from_numpy(arrays[0]).dtype)
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = torch.from_numpy(array)
    return whole, torch.tensor([len(array) / longest for array in arrays])


def open_training(who, path, precision, threads, bins, labels, layers, hidden, clip):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    batches = [
        ([np.load(one["samples"]) for one in batch], [np.array(one["labels"]) for one in batch]) for batch in told
    ]
    modules = {
        "fbank": Fbank(sample_rate=16000, n_mels=bins),
        "normalize": InputNormalization(norm_type="global"),
        "lstm": LSTM(hidden, input_size=bins * STACK, num_layers=layers, bidirectional=True),
        "linear": Linear(labels, input_size=2 * hidden),
    }
    brain = Recogniser(
        modules=modules,
        opt_class=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2),
        run_opts={"max_grad_norm": clip, "device": "cpu", "precision": precision},
    )
    brain.on_fit_start()
    brain.modules.train()
    opened[who] = brain, batches


def one_pass(who):
    brain, batches = opened[who]
    for sounds, labels in batches:
        brain.fit_batch((*padded(sounds), *padded(labels)))


serve({"open": open_training, "time": lambda who: timed(lambda: one_pass(who))[0]}, packages=["speechbrain"])

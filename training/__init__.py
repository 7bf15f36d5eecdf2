"""The one training path, for every modality: manifests, batches, the loop, and the errors that are counted.

It knows neither sound nor hands: `asr.train` tells it what an item's frames and targets are.
"""

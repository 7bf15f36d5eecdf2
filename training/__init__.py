"""The one training path, for every modality: manifests, batches, the loop, and the errors that are counted.

It knows neither sound nor hands: what an item's frames and targets are is told to it by `asr.train` or `gestures.train`.
"""

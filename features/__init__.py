"""Signals to frames, in NumPy: sound to samples to filterbank or cepstral frames. Knows no model and no torch."""

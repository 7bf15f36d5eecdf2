"""Language models, which say what is likely to be said: made from text, trained, measured, read, and written with.

Here is what makes them and the command `asr lm`; what computes them for a search is in `inference` (`ngram`,
`lstm_lm`), and the search that asks them is `asr.search`. Only `train` needs torch.
"""

"""Corpora to results: each folder prepares one corpus, says how to train on it, and reports what came out.

`python -m recipes NAME --data FOLDER --out FOLDER`
"""

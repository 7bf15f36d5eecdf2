"""A recording that ships with the program, and `python -m asr.demo`, which transcribes it."""

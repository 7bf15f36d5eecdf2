"""How sure a recogniser may be of its words: confidences that are probabilities, and what is done with doubtful words.

`fitting` and `calibrate` find what scores and times are corrected by, `calibration` applies it, `reliability` measures
whether it holds, and `doubt` is what readers see of it.
"""

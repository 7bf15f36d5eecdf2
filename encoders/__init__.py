"""Frames to scores, in torch: recurrent encoders, their heads, and the ONNX graph they become.

Shapes everywhere: B batch, T frames, F features, H hidden units, V labels, L layers.
Nothing here knows what a frame means: sound and hands look the same.
"""

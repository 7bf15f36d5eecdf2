"""A trained model at work, with NumPy and ONNX Runtime alone: the model directory, scores, and CTC decoding."""

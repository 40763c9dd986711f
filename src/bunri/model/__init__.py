"""A trained model on disk: its description, card, bundle and ONNX file."""

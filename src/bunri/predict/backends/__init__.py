"""The engines that run a network: torch, ONNX Runtime, OpenVINO."""

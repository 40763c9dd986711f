"""A trained model as one ONNX file that takes photos and gives classes.

``network`` brings the torch network to ONNX, ``graph`` puts the way from photos and back around
it, ``quantize`` makes it int8, ``parity`` measures what that costs, ``export`` does all of it.
"""

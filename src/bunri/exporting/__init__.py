"""Export of a trained model as one ONNX file that takes photos and returns classes.

``network`` writes the torch network as ONNX, ``graph`` adds the steps before and after it,
``quantize`` makes it int8, ``parity`` compares it with torch, ``bundle`` runs these steps.
"""

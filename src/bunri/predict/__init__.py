"""Prediction with trained models: probabilities, masks and files, in the photo's own frame.

Start with ``predictor`` (one model) and ``ensemble`` (several); ``choices`` opens either.
``settings`` names all options; ``tta``, ``tiles``, ``crf`` and ``specks`` carry them out, and
``tune`` searches them. Only ``backends.torch_backend`` needs torch; it is imported when first used.
"""

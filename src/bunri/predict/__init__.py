"""A trained model on new photos: probabilities, masks and files, in the photo's own frame.

Read in this order: ``torch_backend`` (runs a network), ``predictor`` (photo to mask),
``outputs`` (files), ``pseudo_labels`` (labels to train on). Only the backend needs torch, and it
is imported when first used.
"""

"""A trained model on new photos: probabilities, masks and files, in the photo's own frame.

Read in this order: ``settings``, ``planes`` (probabilities in bounded memory), ``tta``, ``tiles``,
``crf``, ``regions``, ``predictor`` (photo to mask), ``ensemble``, ``tune``; ``outputs``,
``coco_output`` and ``stream`` (files, photo after photo); ``pseudo_labels`` (labels to train on).
Only ``torch_backend`` needs torch, and it is imported when first used.
"""

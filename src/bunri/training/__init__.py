"""Training of a network, from labelled photos to a bundle.

Reading order: ``config`` (settings), ``plan`` (a run's data and folder); ``networks``, ``losses``
and ``samples`` (what is trained, by which measure, on what); ``stepper`` (one step), ``loop`` (a
run), ``checkpoints`` (what survives a crash), ``runs`` (start and resume), ``folds`` (several
runs); for several GPUs ``processes`` and ``launching``.
"""

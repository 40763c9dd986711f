"""From masks to a trained bundle; the only part that needs torch to be imported.

Read in this order: ``weights``, ``fcn8s``, ``segnet``, ``decoders`` and ``networks`` (what is
trained), ``region_losses`` and ``losses``, ``data``, ``augment`` and ``leak_check`` (on what),
``checkpoints`` and ``divergence`` (what survives a crash), ``listener``, ``validate``, ``loop``
(a run), ``folds`` (several).
"""

import os

# Read once, when torch loads its OpenMP. Threads that wait at a barrier sleep instead of
# spinning, which would take the core from the process that loads the photos.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

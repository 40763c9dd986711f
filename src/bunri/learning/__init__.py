"""From masks to a trained bundle; the only part that needs torch to be imported.

Read in this order: ``weights`` and ``networks`` (what is trained), ``losses``, ``data`` and
``augment`` (on what), ``checkpoints`` (what survives a crash), ``validate`` and ``loop``.
"""

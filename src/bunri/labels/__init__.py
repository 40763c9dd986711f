"""Labels on disk to masks: COCO in, one mask per photo out.

Read in this order: ``records`` (what a label is), ``run_lengths`` and ``crossings`` (the
arithmetic), ``rasterize`` (objects to pixels), ``overlap`` (many objects to one mask),
``document`` and ``segmentations`` (the JSON), ``coco`` (a whole file), ``sources`` (several),
``components`` and ``outlines`` (back from pixels to labels).
"""

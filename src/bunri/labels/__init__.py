"""Labels: COCO files in, one mask per photo out.

Reading order: ``records`` (the data), ``run_lengths`` and ``crossings`` (the arithmetic),
``rasterize`` (objects to pixels), ``overlap`` (objects to a mask), ``document``,
``segmentations`` and ``coco_rows`` (the JSON), ``coco`` (a whole file), ``sources`` (several),
``components`` and ``outlines`` (back from pixels to labels).
"""

"""Labels on disk to masks: COCO in, one mask per photo out.

Read in this order: ``records`` (what a label is), ``rasterize`` (one object to pixels),
``overlap`` (many objects to one mask), ``coco`` (the JSON), ``cache`` (masks kept on disk).
"""

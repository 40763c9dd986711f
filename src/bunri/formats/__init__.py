"""Reading and writing labels in the formats of other tools.

Read in this order: ``base`` (what a format is), ``registry`` (the list of formats), ``reading``
(from a file to a labelled set), ``shapes`` (objects as a format can store them), one file per
format (``coco``, ``png``, ``yolo``, ``labelme``, ``cvat``, ``label_studio`` with ``brush``),
``archive`` (ZIP files) and ``convert``.
"""

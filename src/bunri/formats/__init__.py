"""Labels in the formats of other tools: in to masks and objects, out from them.

Read in this order: ``registry`` (what formats there are), ``reading`` (what all readers share),
``shapes`` (objects as a format can hold them), one file per format (``coco``, ``png``, ``yolo``,
``labelme``, ``cvat``, ``label_studio`` with ``brush``), ``archive`` (ZIPs), ``convert``.
"""

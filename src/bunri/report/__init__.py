"""Pages for people: self-contained HTML that opens without a network.

Owns how results are told. Takes finished figures; computes none but the kinds of mistakes. Read in
this order: ``texts`` (both languages), ``page`` (one file, one policy), ``plot_parts``, ``plots``
and ``line_plots``, then the pages themselves: ``stats_page``, ``evaluation_page`` (with
``mistakes`` and ``pictures``), ``experiments_page`` (with ``records``), and ``wrapup``, which is
told once in the pieces of ``documents``.
"""

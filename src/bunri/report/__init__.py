"""Pages for people: self-contained HTML that opens without a network.

Owns how results are told. Takes finished figures and pictures; computes none. Read in this
order: ``texts`` (both languages), ``page`` (one file, one policy), ``plot_parts`` and ``plots``,
then the pages themselves.
"""

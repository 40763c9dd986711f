"""Pages for people: self-contained HTML that opens without a network.

Owns how results are told. Takes finished figures and pictures; computes none.
"""

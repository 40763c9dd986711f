"""Names of the overlap rules."""

from typing import Literal, get_args

OverlapRule = Literal["largest-first", "highest-class", "longest-polygon-first"]
OVERLAP_RULES: tuple[OverlapRule, ...] = get_args(OverlapRule)

"""Types of numeric settings with their bounds."""

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]

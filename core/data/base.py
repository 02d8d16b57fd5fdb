"""What every table of a study is made of: no unknown keys, no values beyond what anybody means."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Bounds on numbers are far above what anybody means; they tell a slip of the keyboard before an hour's work does.
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what scikit-learn's generators take
Count = Annotated[int, Field(ge=1, le=10**9)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

"""What tables of the settings and stored keys have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Table(BaseModel):
    """A table without other fields than its own; it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

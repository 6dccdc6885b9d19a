"""What tables of the settings and stored keys have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError


def _number(given: Any) -> Any:
    if isinstance(given, bool):
        raise PydanticCustomError("number", "a number is needed")
    return given


NUMBER = BeforeValidator(_number)
"""pydantic takes true for 1."""
Count = Annotated[int, NUMBER, Field(ge=1)]


class Table(BaseModel):
    """A table without other fields than its own; it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, given: Any) -> Any:
        """The system's calls fail of one."""
        texts = given if isinstance(given, list | tuple) else (given,)
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise PydanticCustomError("nul", "no setting can have a NUL character")
        return given

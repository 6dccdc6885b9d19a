"""The base of the settings' tables and of stored keys."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError


def _number(given: Any) -> Any:
    if isinstance(given, bool):
        raise PydanticCustomError("number", "a number is needed")
    return given


NUMBER = BeforeValidator(_number)
"""Refuses true and false as numbers: pydantic would take true for 1."""
Count = Annotated[int, NUMBER, Field(ge=1)]


class Table(BaseModel):
    """A table that refuses unknown fields, and can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, given: Any) -> Any:
        """Refuses NUL characters, with which system calls fail."""
        texts = given if isinstance(given, list | tuple) else (given,)
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise PydanticCustomError("nul", "no setting can have a NUL character")
        return given

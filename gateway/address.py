"""Where a server is: HOST:PORT."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_HOST_PORT = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """HOST:PORT; raises ValueError for anything else."""
        found = _HOST_PORT.fullmatch(text)
        if found is None or int(found["port"]) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8000")
        return cls(found["host"].strip("[]"), int(found["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _checked(text: str) -> str:
    try:
        Address.parse(text)
    except ValueError:
        raise PydanticCustomError(
            "address", "HOST:PORT is needed, such as 127.0.0.1:8000"
        ) from None
    return text


HostPort = Annotated[str, AfterValidator(_checked)]
"""A setting that is an address, HOST:PORT."""

"""Settings: one TOML file, and environment variables that override it.

`GATEWAY_LISTEN__PORT=9000` is `port` in the table `[listen]`. An unknown setting is an error.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, IPvAnyAddress, ValidationError
from pydantic_core import PydanticCustomError

from gateway.access.settings import AccessSettings
from gateway.address import HostPort
from gateway.cache.settings import CacheSettings
from gateway.guards.settings import GuardSettings
from gateway.routing.rules import Router
from gateway.setting_faults import fault_lines
from gateway.table import NUMBER, Count, Table

PREFIX = "GATEWAY_"
NESTED = "__"
_KUBERNETES = re.compile(r"GATEWAY_(SERVICE_\w+|PORT_\d\w+)=.*|GATEWAY_PORT=\w+://.*", re.DOTALL)
"""Variables that Kubernetes gives every container if a service has the name `gateway`."""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s/?#]+", re.IGNORECASE)

Port = Annotated[int, NUMBER, Field(ge=0, le=65535)]
Seconds = Annotated[float, NUMBER, Field(gt=0, le=1_000_000)]


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise PydanticCustomError(
            "origin", "an origin is needed, such as https://chat.example.com, or *"
        )
    return text


Origin = Annotated[str, AfterValidator(_origin)]


class SettingsError(Exception):
    """What is wrong with the settings, one line for each fault."""


class Bounds(Table):
    """Limits of a request, checked before it is read."""

    body_bytes: Count = 16 * 2**20
    bodies_bytes: Count = 512 * 2**20
    """Most bytes of the bodies of all unanswered requests; one tenant may have half of them."""
    body_s: Seconds = 30.0
    """Time for a client to send its body."""
    messages: Count = 2048
    texts: Count = 16384
    """Most texts to embed or to rank in one request."""


class Files(Table):
    """Uploaded files and their vector stores."""

    folder: Path | None = None
    """Folder of the files; without it there are no files and vector stores."""
    file_bytes: Count = 512 * 2**20
    upload_s: Seconds = 600.0
    """Time for a client to send a file."""
    tenant_bytes: Count = 10 * 2**30
    shared_collections: tuple[str, ...] = ()
    """Collections that every tenant may search as vector stores."""


class Listen(Table):
    """Where clients find the gateway; port 0 takes a free one."""

    address: IPvAnyAddress = IPv4Address("127.0.0.1")
    port: Port = 8080
    origins: tuple[Origin, ...] = ()
    """Origins of web pages that may call, such as `https://chat.example.com`; `*` is any."""
    drain_s: Seconds = 30.0
    """Time for requests in flight when the gateway ends."""
    headers_s: Seconds = 10.0
    """Time for a client to send the headers of a request."""
    stalled_s: Seconds = 60.0
    """Time after which a connection is closed whose client reads nothing of what waits for it."""


class Models(Table):
    """More names of models for clients, such as `{"gpt-4o-mini" = "llm"}`."""

    aliases: dict[str, Literal["llm", "rag", "embed", "rerank"]] = Field(default_factory=dict)
    llms: tuple[str, ...] = ()
    """Other models of the server that have the tensors of `llm`."""


class Triton(Table):
    """The tritonserver behind the gateway; addresses are host:port."""

    http: HostPort = "127.0.0.1:8000"
    grpc: HostPort = "127.0.0.1:8001"
    """Triton's gRPC address, which only files and vector stores need."""
    metrics: HostPort = "127.0.0.1:8002"
    connect_timeout_s: Seconds = 2.0
    inter_token_timeout_s: Seconds = 60.0
    """Longest silence of a model, first token included; then the request ends with an error."""
    answer_timeout_s: Seconds = 600.0
    """Longest wait for an answer without stream."""


class Settings(Table):
    access: AccessSettings = AccessSettings()
    bounds: Bounds = Bounds()
    cache: CacheSettings = CacheSettings()
    files: Files = Files()
    guards: GuardSettings = GuardSettings()
    listen: Listen = Listen()
    models: Models = Models()
    routing: Router = Router()
    triton: Triton = Triton()


def load_settings(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """The file's settings, overridden by the environment's, and these by the options.

    Raises `SettingsError`.
    """
    values: dict[str, Any] = {} if path is None else _read(path)
    _add_environment(values, os.environ if environment is None else environment)
    for name, table in (options or {}).items():
        if not isinstance(given := values.get(name, {}), dict):
            raise SettingsError(f"{name}: a table is needed; {given!r:.80} given")
        values[name] = {**given, **table}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(fault_lines(error, Settings))) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None


def _add_environment(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in environment.items():
        if name.startswith(PREFIX) and not _KUBERNETES.fullmatch(f"{name}={text}"):
            *tables, key = name.removeprefix(PREFIX).lower().split(NESTED)
            table = values
            for step in tables:
                table = table.setdefault(step, {})
                if not isinstance(table, dict):
                    raise SettingsError(f"{name}: '{step}' is not a table")
            table[key] = _value(text)


def _value(text: str) -> Any:
    """A variable's value: lists and tables are JSON; pydantic reads numbers and booleans itself."""
    try:
        return orjson.loads(text) if text[:1] in ("[", "{") else text
    except orjson.JSONDecodeError:
        return text

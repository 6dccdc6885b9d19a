"""The guide of a request: what its answer must match."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guide:
    """What an answer must match.

    `type` says what `text` is: json_schema, regex or ebnf_grammar (`ensembles.guides`).
    `field` is the client's field that has it, for errors.
    """

    type: str
    text: str
    field: str

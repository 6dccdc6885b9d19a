"""Changes of a placement: values of `placements/*.toml`, applied to a SKU in memory."""

from collections.abc import Iterable
from dataclasses import dataclass

from builders.spec import Placement, Sku

Value = int | str


@dataclass(frozen=True, order=True)
class Change:
    """`key` of a model's placement, or of its `parameters`, takes a value."""

    model: str
    key: str
    value: Value

    @property
    def is_parameter(self) -> bool:
        """Whether it is in the table `[models.<model>.parameters]`."""
        return self.key not in Placement.model_fields

    def __str__(self) -> str:
        return f"{self.model}.{self.key} = {self.value}"


Changes = tuple[Change, ...]
"""At most one of each key, sorted."""


def merged(first: Changes, then: Iterable[Change]) -> Changes:
    """Both; where they differ, the later one."""
    by_key = {(change.model, change.key): change for change in (*first, *then)}
    return tuple(sorted(by_key.values()))


def value(sku: Sku, model: str, key: str) -> Value | None:
    """What the SKU has; None where neither it nor the placement's defaults say."""
    place = sku.place(model)
    if key in Placement.model_fields:
        found: Value | None = getattr(place, key)
        return found
    return place.parameters.get(key)


def applied(sku: Sku, changes: Changes) -> Sku:
    """The SKU with the changes; raises pydantic's `ValidationError` for an impossible value."""
    placement = dict(sku.placement)
    for change in changes:
        fields = placement.get(change.model, Placement()).model_dump()
        table = fields["parameters"] if change.is_parameter else fields
        table[change.key] = change.value
        placement[change.model] = Placement.model_validate(fields)
    return sku.model_copy(update={"placement": placement})


def effective(sku: Sku, changes: Changes) -> Changes:
    """Without those that change nothing."""
    return tuple(c for c in changes if value(sku, c.model, c.key) != c.value)


def told(changes: Changes) -> str:
    """For people: `embedder.instances = 2, embedder.num_threads = 1`."""
    return ", ".join(map(str, changes)) or "the default"

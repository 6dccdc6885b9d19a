"""Dynamic batching."""

from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check


@check("TRN301", ERROR)
def _preferred(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child_or_empty("dynamic_batching")
    for node in batching.nodes("preferred_batch_size"):
        size = node.value
        if isinstance(size, int) and size <= 0:
            yield Problem(node.value_at, f"preferred batch size {size}: it has to be 1 or more")
        elif isinstance(size, int) and size > model.max_batch_size:
            yield Problem(
                node.value_at,
                f"preferred batch size {size} exceeds max_batch_size, which is "
                f"{model.max_batch_size}",
            )

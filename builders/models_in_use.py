"""Which model fills each role: the pipeline's, this checkout's own, or one that a command names."""

from pathlib import Path
from typing import get_args

from builders import spec
from builders.errors import BuildError
from builders.spec import ModelsOfRoles, ModelSpec, Role, Sku, load_model, load_pipeline, read_file

FILE = "models_in_use.toml"
"""A file beside pipeline.toml, whose tables it overrides. `make use` writes it; git ignores it."""


def chosen_models(overrides: list[str], sku: Sku | None = None) -> list[ModelSpec]:
    """One spec per role for a SKU; those of `overrides` come first, then this checkout's own."""
    table = _table(sku)
    own: dict[Role, str] = getattr(_own_models(), table)
    source = f"{FILE} or pipeline.toml" if own else "pipeline.toml"
    names: dict[Role, str] = getattr(load_pipeline(), table) | own
    specs = {role: _load(name, name in own.values()) for role, name in names.items()}
    for role, named in _by_role(overrides).items():
        specs[role] = named
    if missing := sorted(set(get_args(Role)) - specs.keys()):
        raise BuildError(f"{source}: [{table}] names no {', no '.join(missing)}")
    for role, found in specs.items():
        if found.role != role:
            raise BuildError(f"{source}: model '{found.name}' is a {found.role}, not a {role}")
    return list(specs.values())


def _by_role(names: list[str]) -> dict[Role, ModelSpec]:
    found: dict[Role, ModelSpec] = {}
    for named in map(load_model, names):
        other = found.setdefault(named.role, named)
        if other is not named:
            raise BuildError(
                f"models '{other.name}' and '{named.name}' are both of role {named.role}, and one "
                "is served of each: name one of them"
            )
    return found


def use(names: list[str], sku: Sku) -> None:
    """Remember the named models for every later command without `--models`."""
    table, own = _table(sku), _own_models()
    getattr(own, table).update({load_model(name).role: name for name in names})
    _path().write_text(_text(own), encoding="utf-8")


def use_default() -> None:
    """Undo `use`."""
    _path().unlink(missing_ok=True)


def described(sku: Sku) -> list[str]:
    """A line for each role: its model, and what chose it."""
    own = getattr(_own_models(), _table(sku))
    return [
        f"{found.role} {found.name} ({FILE if found.role in own else 'pipeline.toml'})"
        for found in chosen_models([], sku)
    ]


def _table(sku: Sku | None) -> str:
    return "gpu_models" if sku and sku.gpu and load_pipeline().gpu_models else "models"


def _path() -> Path:
    return spec.BUILDERS / FILE


def _own_models() -> ModelsOfRoles:
    return read_file(ModelsOfRoles, _path()) if _path().is_file() else ModelsOfRoles()


def _load(name: str, is_own: bool) -> ModelSpec:
    try:
        return load_model(name)
    except BuildError as error:
        own = f"builders/{FILE}: {error}; go back with: make use MODEL=default"
        raise BuildError(own if is_own else str(error)) from error


def _text(own: ModelsOfRoles) -> str:
    lines = ["# Written by `make use`; overrides pipeline.toml in this checkout."]
    for table, models in own.model_dump().items():
        lines += [f"\n[{table}]", *(f'{role} = "{name}"' for role, name in models.items())]
    return "\n".join(lines) + "\n"

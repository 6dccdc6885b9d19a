"""An edge as the configuration that Envoy reads: a template, filled in."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.envoy.edge import PREFIX_HEADER, Edge

_HERE = Path(__file__).parent


def render(edge: Edge) -> str:
    """The configuration file of `envoy --config-path`, YAML."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        variable_start_string="<<",
        variable_end_string=">>",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["seconds"] = "{:g}s".format
    scripts = {
        name: (_HERE / f"{name}.lua").read_text(encoding="utf-8") for name in ("key_hash", "prefix")
    }
    template = environment.get_template("edge.yaml.j2")
    return template.render(edge=edge, prefix_header=PREFIX_HEADER, **scripts)

"""The command `triton-lint`: options, output, exit status."""

from collections.abc import Iterable
from functools import partial

import click

from triton_lint.catalogue import BY_ID
from triton_lint.engine import Report, lint
from triton_lint.findings import printable
from triton_lint.folders import NotARepository, config_names, targets
from triton_lint.options import Options
from triton_lint.report import FORMATS
from triton_lint.versions import NEWEST, UnknownVersion, Version

EPILOG = """\b
Examples:
  triton-lint model_repository
  triton-lint model_repository --triton 24.10 --format github
  triton-lint --explain TRN204

\b
Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 wrong usage or no repository,
3 a fault of triton-lint itself.
"""


def read_version(_: click.Context, __: click.Parameter, text: str) -> Version:
    """A server version or container release."""
    try:
        return Version.parse(text)
    except UnknownVersion as error:
        raise click.BadParameter(str(error)) from None


def read_rules(_: click.Context, __: click.Parameter, ids: Iterable[str]) -> frozenset[str]:
    """Ids of rules."""
    for each in ids:
        if each.upper() not in BY_ID:
            raise click.BadParameter(f"there is no rule {each}: {', '.join(BY_ID)}")
    return frozenset(map(str.upper, ids))


def explain(context: click.Context, parameter: click.Parameter, rule: str | None) -> None:
    """Print a rule's page and stop."""
    if rule is not None and not context.resilient_parsing:
        for each in read_rules(context, parameter, [rule]):
            click.echo(BY_ID[each].page.rstrip())
        context.exit()


@click.command(epilog=EPILOG, context_settings={
    "show_default": True, "help_option_names": ["-h", "--help"]})  # fmt: skip
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--explain", metavar="RULE", callback=explain, is_eager=True, expose_value=False,
              help="Print a rule's page and stop.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(tuple(FORMATS)), default="text",
              help="Text, or annotations of a GitHub workflow.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option("--ignore", multiple=True, metavar="RULE", callback=read_rules,
              help="Leave a rule out.")  # fmt: skip
@click.option("--triton", callback=read_version, default=str(NEWEST), metavar="VERSION",
              show_default=NEWEST.describe(),
              help="Server version or container release, such as 2.51 or 24.10.")  # fmt: skip
@click.option("--model-config-name", multiple=True, metavar="NAME", help="As tritonserver's: use "
              "configs/NAME.pbtxt where it exists. Several are checked one by one. If not given, "
              "config.pbtxt and every configs/NAME.pbtxt are.")  # fmt: skip
@click.option("--disable-auto-complete-config", is_flag=True, help="As tritonserver's.")
@click.option("--no-files", is_flag=True, help="Don't look for model files and version folders.")
def main(
    paths: tuple[str, ...],
    style: str,
    strict: bool,
    ignore: frozenset[str],
    triton: Version,
    model_config_name: tuple[str, ...],
    disable_auto_complete_config: bool,
    no_files: bool,
) -> None:
    """Check Triton model repositories without a server.

    PATH is a repository, or a model or a file in one. Several repositories are checked together, as
    one server would serve them.
    """
    server = partial(
        Options,
        triton=triton,
        auto_complete=not disable_auto_complete_config,
        check_files=not no_files,
    )
    try:
        names = _config_names(paths, model_config_name)
        reports = [lint(paths, server(model_config_name=name)) for name in names]
        report = Report.merged(reports).without(ignore)
        click.echo(FORMATS[style](report))
        status = int(bool(report.summary.errors or (strict and report.summary.warnings)))
    except NotARepository as error:
        raise click.UsageError(str(error)) from None
    except BrokenPipeError:
        raise
    except Exception as error:
        fault = printable(f"{type(error).__name__}: {error}")
        click.echo(f"Error: a fault of triton-lint itself, please report it: {fault}", err=True)
        status = 3
    raise click.exceptions.Exit(status)


def _config_names(paths: Iterable[str], given: tuple[str, ...]) -> tuple[str, ...]:
    """The names to check; raises `NotARepository` for one that no model has."""
    known = config_names(targets(paths))
    for name in given:
        if name not in known:
            found = ", ".join(known) or "none at all"
            raise NotARepository(f"no model has configs/{name}.pbtxt; there is: {found}")
    return given or ("", *known)

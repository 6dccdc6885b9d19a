"""The command `triton-lint`: options, output, exit status."""

from collections.abc import Iterable

import click

from triton_lint.engine import BY_ID, lint
from triton_lint.findings import printable
from triton_lint.folders import NotARepository
from triton_lint.models import Options
from triton_lint.report import FORMATS

EPILOG = """\b
Examples:
  triton-lint model_repository
  triton-lint model_repository --strict --format github
  triton-lint --explain TRN204

\b
Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 wrong usage or no repository,
3 a fault of triton-lint itself.
"""


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
@click.option("--disable-auto-complete-config", is_flag=True, help="As tritonserver's.")
@click.option("--no-files", is_flag=True, help="Don't look for model files and version folders.")
def main(
    paths: tuple[str, ...],
    style: str,
    strict: bool,
    ignore: frozenset[str],
    disable_auto_complete_config: bool,
    no_files: bool,
) -> None:
    """Check Triton model repositories without a server.

    PATH is a repository. Several are checked together, as one server would serve them.
    """
    options = Options(auto_complete=not disable_auto_complete_config, check_files=not no_files)
    try:
        report = lint(paths, options).without(ignore)
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

"""The command `triton-lint`: options, output, exit status."""

from dataclasses import dataclass

import click

from triton_lint.catalogue import BY_ID
from triton_lint.engine import Report, lint
from triton_lint.findings import printable
from triton_lint.fix import repairs
from triton_lint.folders import NotARepository
from triton_lint.mermaid import NoEnsemble, mermaid
from triton_lint.options import Options
from triton_lint.report import FORMATS
from triton_lint.versions import NEWEST, UnknownVersion, Version

EPILOG = """\b
Examples:
  triton-lint model_repository
  triton-lint model_repository --triton 24.10 --gpus 0 --format github
  triton-lint --explain TRN204

Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 wrong usage or no repository.
"""


class VersionType(click.ParamType[Version]):
    """A server version or container release."""

    name = "version"

    def convert(
        self, value: str | Version, param: click.Parameter | None, ctx: click.Context | None
    ) -> Version:
        try:
            return value if isinstance(value, Version) else Version.parse(value)
        except UnknownVersion as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True)
class Request:
    """Which repositories are checked, and for which servers."""

    paths: tuple[str, ...]
    servers: tuple[Options, ...]
    ignore: tuple[str, ...]

    def report(self) -> Report:
        """Check them; a path without a repository is wrong usage."""
        try:
            reports = [lint(self.paths, server) for server in self.servers]
        except NotARepository as error:
            raise click.UsageError(str(error)) from None
        return Report.merged(reports).without(self.ignore)


def explain(context: click.Context, _: click.Parameter, rule: str | None) -> None:
    """Print a rule's page and stop."""
    if rule is None or context.resilient_parsing:
        return
    if rule.upper() not in BY_ID:
        raise click.BadParameter(f"there is no rule {rule}: {', '.join(BY_ID)}")
    click.echo(BY_ID[rule.upper()].page.text.rstrip())
    context.exit()


@click.command(epilog=EPILOG, context_settings={"show_default": True})
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--explain", metavar="RULE", callback=explain, is_eager=True, expose_value=False,
              help="Print a rule's page and stop.")  # fmt: skip
@click.option("--fix", is_flag=True, help="Repair what has one certain repair: write the files "
              "and show the diff on stderr.")  # fmt: skip
@click.option("--graph", metavar="ENSEMBLE", help="Print an ensemble with its findings as a "
              "Mermaid chart.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(tuple(FORMATS)), default="text")
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option("--triton", type=VersionType(), default=NEWEST, metavar="VERSION",
              show_default=NEWEST.describe(),
              help="Server version or container release, such as 2.51 or 24.10.")  # fmt: skip
@click.option("--model-config-name", multiple=True, metavar="NAME", help="As tritonserver's: use "
              "configs/NAME.pbtxt where it exists. Of several names each is checked.")  # fmt: skip
@click.option("--disable-auto-complete-config", is_flag=True, help="As tritonserver's.")
@click.option("--gpus", type=click.IntRange(min=0), metavar="N",
              help="GPUs of the machine; unknown if not given.")  # fmt: skip
@click.option("--backend", multiple=True, metavar="NAME",
              help="A backend that the server has beside NVIDIA's.")  # fmt: skip
@click.option("--no-files", is_flag=True, help="Don't look for model files and version folders.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leave a rule out.")
def main(
    paths: tuple[str, ...],
    fix: bool,
    graph: str | None,
    style: str,
    strict: bool,
    triton: Version,
    model_config_name: tuple[str, ...],
    disable_auto_complete_config: bool,
    gpus: int | None,
    backend: tuple[str, ...],
    no_files: bool,
    ignore: tuple[str, ...],
) -> None:
    """Check Triton model repositories without a server.

    Several PATHs are checked together, as one server would serve them.
    """
    servers = tuple(
        Options(
            triton=triton,
            model_config_name=name,
            auto_complete=not disable_auto_complete_config,
            gpus=gpus,
            backends=backend,
            check_files=not no_files,
        )
        for name in model_config_name or ("",)
    )
    request = Request(paths, servers, ignore)
    report = request.report()
    if graph:
        _print_graph(report, graph)
        return
    if fix and _repair(report):
        report = request.report()
    click.echo(FORMATS[style](report))
    failed = report.summary.errors or (strict and report.summary.warnings)
    raise click.exceptions.Exit(1 if failed else 0)


def _print_graph(report: Report, ensemble: str) -> None:
    try:
        click.echo(mermaid(report, ensemble))
    except NoEnsemble as error:
        raise click.UsageError(str(error)) from None


def _repair(report: Report) -> bool:
    """Write the repairs and show them; whether there are any."""
    found = repairs(report.findings)
    for repair in found:
        click.echo(repair.diff, err=True)
        try:
            repair.write()
        except OSError as error:
            reason = error.strerror or error
            click.echo(f"{printable(repair.path)} is not repaired: {reason}", err=True)
    return bool(found)

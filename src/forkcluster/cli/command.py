"""The command `forkcluster`: finds the subcommand, and says of every expected error what to try."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from forkcluster import __version__
from forkcluster.cli import streams
from forkcluster.cli.index import BY_WORD, DEFAULT, INDEX, SECTIONS
from forkcluster.cli.words import FOREIGN
from forkcluster.errors import EXIT_INTERRUPTED, EXIT_OK, ForkclusterError, UsageError, did_you_mean

EPILOG = """\b
Examples:
  forkcluster app:application -i 0            serve here, a worker for each CPU
  forkcluster start app:application -i 0      the same in the background
  forkcluster list
  forkcluster reload app                      new code, no request lost

forkcluster COMMAND --help tells the options of a command; forkcluster serve --help those of the server."""


class Commands(click.Group):
    """All subcommands, each imported when used; what is none is a target to serve."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:
            args = [*_known(args[1:2]), "--help"]
        asked = args[0] if args else ""
        if ctx.resilient_parsing and not args:  # a shell asks what may stand here
            return super().parse_args(ctx, args)
        if asked not in BY_WORD and asked not in ("--help", "-h", "--version"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in INDEX]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = BY_WORD.get(cmd_name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            rows = [
                (", ".join((each.name, *each.aliases)), each.help)
                for each in INDEX
                if each.section == section
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[TARGET] [OPTIONS]\nforkcluster COMMAND …")


def _known(words: list[str]) -> list[str]:
    """Give back what help is asked for, if there is help for it. Raise UsageError."""
    for word in words:
        if word not in BY_WORD and not word.startswith("-"):
            remedy = did_you_mean(word, BY_WORD) or "forkcluster help lists all commands"
            raise UsageError(f"there is no command {word}", remedy)
    return words


def build() -> click.Command:
    """Make the command."""
    group = Commands(
        "forkcluster",
        help="Serve Python web applications on every CPU, and manage them.\n\n"
        "TARGET is module:attribute, module, or path/to/file.py[:attribute].",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    return click.version_option(__version__, prog_name="forkcluster")(group)


def _suggest(arguments: Sequence[str]) -> None:
    """A first word that is nearly a command was read as a target: say what may have been meant."""
    word = arguments[0] if arguments else ""
    if word == "deploy":
        click.echo("There is no command deploy yet: this release reads [deploy.NAME] and keeps it.", err=True)
        return
    if word.isidentifier() and word not in BY_WORD and (near := did_you_mean(word, BY_WORD)):
        click.echo(f"There is no command {word}: {near}", err=True)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code; every expected error becomes a message on standard error."""
    streams.open_closed()
    failed = None
    try:
        code = _code_of(arguments)
    except OSError as error:
        code, failed = EXIT_OK, error
    unwritten = streams.finish() or streams.unwritten_of(failed)
    if failed is not None and unwritten is None:
        raise failed
    if unwritten is not None and code == EXIT_OK:
        _tell_error(unwritten)
        code = unwritten.exit_code
    sys.exit(code)


def _tell_error(error: ForkclusterError) -> None:
    streams.tell(f"{click.style('forkcluster:', fg='red')} {error}", err=True)


def _code_of(arguments: Sequence[str] | None) -> int:
    try:
        code = build().main(arguments, prog_name="forkcluster", standalone_mode=False)
    except click.NoSuchOption as error:
        error.show()
        if error.option_name in FOREIGN:
            click.echo(f"Try: {FOREIGN[error.option_name]}.", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        _suggest(arguments if arguments is not None else sys.argv[1:])
        code = error.exit_code
    except click.Abort:
        streams.tell("interrupted; what was asked for goes on", err=True)
        code = EXIT_INTERRUPTED
    except ForkclusterError as error:
        _tell_error(error)
        code = error.exit_code
    return code if isinstance(code, int) else EXIT_OK

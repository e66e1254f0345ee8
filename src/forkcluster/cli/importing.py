"""`forkcluster import`: a configuration of PM2 or gunicorn becomes ours."""

import os
import sys

import click

from forkcluster.cli import streams
from forkcluster.cli.serve import working_directory
from forkcluster.errors import ConfigurationError, UsageError
from forkcluster.manager import importing
from forkcluster.options.formats import read as formats
from forkcluster.options.formats import write

HELP = """Write a configuration of another tool in our words: to standard output, or with -o to a file.

FILE: an ecosystem file of PM2 (JSON, YAML; - is JSON on standard input), or a gunicorn.conf.py. What cannot
be carried over stands in the head of the new file, and is told on standard error."""


def build() -> click.Command:
    """Make the command."""
    parameters = [
        click.Argument(["file"], metavar="FILE"),
        click.Option(["-o", "--output"], metavar="FILE", help="Write it there; the file must not exist."),
        click.Option(
            ["--target"], metavar="TARGET", help="The application that gunicorn's command line named."
        ),
    ]
    return click.Command("import", params=parameters, callback=_import, help=HELP)


def _import(file: str, output: str | None, target: str | None) -> None:
    if output is not None:
        write.check_name(output)
    if file == "-":
        found = importing.import_document(formats.parse("<stdin>", "json", sys.stdin.buffer.read()))
    else:
        found = importing.import_file(os.path.join(working_directory(), file), os.environ, target)
    text = found.toml()
    for line in found.lost:
        click.echo(f"{click.style('not carried over:', fg='yellow')} {line}", err=True)
    if output is None:
        streams.say(text, nl=False)
        return
    try:
        with open(output, "x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise UsageError(f"{output} is there already", "it is left as it is; name another file") from None
    except OSError as error:
        raise ConfigurationError(f"writing {output}: {error.strerror}") from error
    click.echo(f"wrote {output}: {len(found.apps)} app{'s' if len(found.apps) != 1 else ''}", err=True)

"""The options of the table as click's parameters, for every command that takes them."""

from collections.abc import Mapping

import click

from forkcluster.options.kinds import Switch
from forkcluster.options.table import GROUPS, TABLE, Option


class TableOption(click.Option):
    """A flag of an option of the table."""

    def __init__(self, option: Option) -> None:
        self.group = option.group
        names = "/".join(filter(None, (option.flags[-1], option.off_flag)))
        declarations = [option.name, *option.flags[:-1], names]
        if isinstance(option.kind, Switch):
            super().__init__(declarations, default=None, help=_help(option))
        else:
            super().__init__(
                declarations,
                multiple=option.repeats,
                metavar=option.kind.metavar,
                help=_help(option),
                type=str,
            )


class TableCommand(click.Command):
    """A command with the table's options, its help parted by groups.

    What follows -- are the arguments of the app's own command; without a target before it, its first word is.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        own, words = args[:cut], args[cut + 1 :]
        left = super().parse_args(ctx, own)
        target = next(each.name or "" for each in self.params if isinstance(each, click.Argument))
        if words and not ctx.params[target]:
            many = isinstance(ctx.params[target], tuple)
            ctx.params[target] = (words[0],) if many else words[0]
            words = words[1:]
        ctx.params["args"] = tuple(words)
        return left

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parameters = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for group in ("", *GROUPS):
            rows = [p.get_help_record(ctx) for p in parameters if getattr(p, "group", "") == group]
            with formatter.section(group or "Options of this command"):
                formatter.write_dl([row for row in rows if row is not None])


def table_options() -> list[click.Parameter]:
    """The flags of the whole table; its positional target is the command's own."""
    return [TableOption(option) for option in TABLE if not option.positional]


def flags(values: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """What click parsed, as texts by option; what was not given is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in values.items():
        if isinstance(value, bool):
            found[name] = ("true" if value else "false",)
        elif isinstance(value, tuple) and value:
            found[name] = tuple(map(str, value))
        elif isinstance(value, str):
            found[name] = (value,)
    return found


def _help(option: Option) -> str:
    """The option's help with its unit and what holds without it."""
    default = option.implied or option.default or ""
    if isinstance(option.kind, Switch):
        default = "on" if option.default == "true" else ""
    unit = f" {option.unit}" if option.unit and default.isdigit() else ""
    return f"{option.help}  [default: {default}{unit}]" if default else option.help

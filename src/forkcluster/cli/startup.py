"""`forkcluster startup` and `unstartup`: apps come back with the machine."""

import os
import shlex
import sys

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_OK, StateError, UsageError
from forkcluster.manager import units
from forkcluster.manager.register import Register

HELP = """Write a systemd unit that starts all apps when the machine boots, enable it, and make sure that it
is.

As root the unit is the machine's, for the user named by -u; else it is one of your own (systemctl --user) and
lingering is turned on. Apps that are registered and not stopped are started; nothing needs to be saved."""

UNDO = """Disable and remove the unit that startup has written. Apps that run go on."""


def _parameters() -> list[click.Parameter]:
    return [
        click.Argument(["platform"], required=False, metavar="[systemd]"),
        click.Option(["-u", "--user-name", "user"], metavar="USER", help="Whose apps.  [default: yours]"),
        click.Option(["--hp", "--home", "home"], metavar="PATH", help="The home of the apps."),
        click.Option(["--service-name", "name"], metavar="NAME", help="The unit's name."),
        click.Option(
            ["--system/--user"],
            default=None,
            help="The machine's unit, or your own.  [default: as root, system]",
        ),
    ]


def build() -> click.Command:
    """Make the command startup."""
    show = click.Option(["--print", "show"], is_flag=True, help="Print the unit and do nothing.")
    return choosing.command("startup", _startup, HELP, _parameters(), [show])


def build_undo() -> click.Command:
    """Make the command unstartup."""
    return choosing.command("unstartup", _unstartup, UNDO, _parameters())


def _startup(
    platform: str | None,
    user: str | None,
    home: str | None,
    name: str | None,
    *,
    system: bool | None,
    show: bool,
) -> int:
    unit = _unit(platform, user, home, name, system=system)
    units.check_user(unit.user)
    if show:
        streams.say(unit.text, nl=False)
        return EXIT_OK
    _check(unit)
    for line in units.install(unit):
        streams.say(line)
    return EXIT_OK


def _unstartup(
    platform: str | None, user: str | None, home: str | None, name: str | None, *, system: bool | None
) -> int:
    unit = _unit(platform, user, home, name, system=system)
    _check(unit)
    for line in units.remove(unit):
        streams.say(line)
    return EXIT_OK


def _unit(
    platform: str | None, user: str | None, home: str | None, name: str | None, *, system: bool | None
) -> units.Unit:
    if platform not in (None, "systemd"):
        raise UsageError(
            f"there is no startup for {platform}: only systemd's units are written",
            f"have your init run, as the apps' user: {shlex.quote(sys.executable)} -m forkcluster resurrect",
        )
    own = units.user_name()
    whose = user or own
    if home is None and whose != own:
        home = os.path.expanduser(f"~{whose}/.forkcluster")
    return units.Unit(
        user=whose,
        home=os.path.abspath(home) if home else Register.find(os.environ).home,
        python=sys.executable,
        path=os.environ.get("PATH", os.defpath),
        system=os.geteuid() == 0 if system is None else system,
        name=name or "",
    )


def _check(unit: units.Unit) -> None:
    """Raise StateError where nothing can be done."""
    if not units.present():
        raise StateError(
            "this machine was not booted with systemd: there is nothing that would start the apps",
            "forkcluster startup --print shows the unit; a container runs: forkcluster run FILE",
        )
    if unit.system and os.geteuid() != 0:
        words = [sys.executable, "-m", "forkcluster", *sys.argv[1:], "-u", unit.user, "--hp", unit.home]
        raise StateError("the machine's units are root's", f"sudo {shlex.join(words)}")

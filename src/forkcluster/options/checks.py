"""What a text must look like to be the value of an option. Pure: nothing is opened and nothing looked up.

Each check raises ValueError with what was expected; the parsers of NAME and VALUE return the pair.
"""

import re
from typing import Final

from forkcluster.options.address import check_bind

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
LONG_ATOMS: Final = "h l u t r m U q H s st B b f a T M D L p slot"
ATOMS: Final = re.compile(
    rf"\A(?:[^%]|%%|%\((?:{LONG_ATOMS.replace(' ', '|')}|\{{[^)}}]+\}}[io])\)s"
    r"|%\{[^}]+\}[io]|%[<>]?[halutrmUqHsBbOTDLMP])*"
)
FRAMING: Final = frozenset(
    ("connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


def passable(text: str) -> bool:
    """Tell whether a system call would take the text whole: no NUL, and no half of a surrogate pair."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def path(text: str) -> None:
    """A path that a system call would take."""
    if not text or not passable(text):
        raise ValueError("expected a path")


def argument(text: str) -> None:
    """A word that a program can be given."""
    if not passable(text):
        raise ValueError("expected words without NUL, and without half a surrogate pair")


def target(text: str) -> None:
    """A target's shape only; whether it is there is the mold's to find out."""
    shape = text and text == text.strip() and not text.startswith(("-", ":")) and not text.endswith(":")
    if not shape or not passable(text):
        raise ValueError("expected module:attribute, module, or path/to/file.py[:attribute]")


def app_name(text: str) -> None:
    """An app's name: it stands in titles, file names and metrics."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", text):
        raise ValueError("expected a name of letters, digits, '.', '_' and '-', at most 64")
    if text == "all":
        raise ValueError("commands take that word for every app; expected another name")


def owner(text: str) -> None:
    """user, user:group or :group, by name or number."""
    if not re.fullmatch(r"[^:\s]+(:[^:\s]+)?|:[^:\s]+", text):
        raise ValueError("expected user, user:group or :group")


def hook(text: str) -> None:
    """module:function; the function may be dotted."""
    module, _, name = text.partition(":")
    if not name or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError("expected module:function")


def admin(text: str) -> None:
    """An address to listen on, or off."""
    if text != "off" and text.startswith("fd:"):
        raise ValueError("expected host:port, unix:path or off")
    if text != "off":
        check_bind(text)


def account(text: str) -> None:
    """A user or group, by name or number; whether it is there is the master's to find out."""
    if not re.fullmatch(r"[^:\s\0-][^:\s\0]*", text):
        raise ValueError("expected a name or a number")


def root_path(text: str) -> None:
    """Empty, or a path with a leading and no trailing slash."""
    if text and not re.fullmatch(r"(/[^/?#\x00-\x20\x7f]+)+", text):
        raise ValueError("expected a path such as /shop: a leading slash, no trailing one, no ? or #")


def probe_path(text: str) -> None:
    """A request target in origin form (RFC 9112 section 3.2.1)."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError("expected a path such as /health: a leading slash, no spaces, ASCII")


def health_path(text: str) -> None:
    """A path as it stands in a request, of at most 127 bytes."""
    if not re.fullmatch(r"/[!-\"$->@-~]{0,126}", text):
        raise ValueError("expected a path such as /healthz: a leading slash, no spaces, no ? or #, ASCII")


def token(text: str) -> None:
    """A token that may stand behind Bearer, or the path of the file that has it."""
    if not text.startswith(("/", "./")) and not re.fullmatch(r"[!-~]{8,}", text):
        raise ValueError("expected a token of at least 8 printable characters, or /path/of/a/file with one")


def host(text: str) -> None:
    """What may stand in a Host field."""
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,255}", text):
        raise ValueError("expected a host name, with a port if need be")


def stop_signal(text: str) -> None:
    """A signal's name, with or without SIG."""
    if text.removeprefix("SIG") not in ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"):
        raise ValueError("expected TERM, INT, QUIT, HUP, USR1, USR2 or KILL")


def exit_status(text: str) -> None:
    """An exit status (wait(2))."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 255:
        raise ValueError("expected an exit status from 0 to 255")


def variable(text: str) -> None:
    """The name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("expected a variable's name")


def cron(text: str) -> None:
    """A cron expression's shape only: five fields, or six with seconds first."""
    if len(text.split()) not in (5, 6) or not re.fullmatch(r"[\w\s*/,#-]+", text):
        raise ValueError("expected five fields such as '0 3 * * *', or six, seconds first")


def access_format(text: str) -> None:
    """A known format's name, or a format of atoms, at least one (twin: `csrc/logformat.c`)."""
    if text in ("common", "combined", "json"):
        return
    if "%" not in text or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) or not passable(text):
        raise ValueError(
            "expected common, combined, json, or a format such as '%(h)s %(r)s %(s)s' in one line"
        )
    if left := ATOMS.sub("", text):
        raise ValueError(
            f"{left.split()[0][:20]!r} is no atom; expected common, combined, json, or a format of %(X)s, "
            f"X being one of {LONG_ATOMS} {{Field}}i {{Field}}o, or of Apache's, such as %h %r %>s"
        )


def trusted(text: str) -> None:
    """A comma-separated list of addresses, networks, `unix` or `*`; empty: nobody."""
    import ipaddress

    for item in text.split(",") if text.strip() else ():
        if item.strip() in ("unix", "*"):
            continue
        try:
            ipaddress.ip_network(item.strip())
        except ValueError as error:
            raise ValueError(
                f"{item.strip()!r} is no address or network ({error}); "
                "expected items such as 10.0.0.0/8, ::1, unix or *"
            ) from None


def environment_pair(text: str) -> tuple[str, str]:
    """KEY=VALUE; the value may be empty and may hold more equal signs."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("expected KEY=VALUE")
    if not key or re.search(r"\s", key) or not passable(key):
        raise ValueError(f"{key!r} cannot be a variable's name; expected KEY=VALUE")
    if not passable(value):
        raise ValueError(f"{key} has a value with NUL or half a surrogate pair; expected KEY=VALUE")
    return key, value


def header(text: str) -> tuple[str, str]:
    """NAME: VALUE of a response field (RFC 9110 section 5); framing fields are the engine's alone."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not TOKEN.fullmatch(name):
        wrong = f"{name!r} cannot be a field's name; " if colon else ""
        raise ValueError(f"{wrong}expected NAME:VALUE, NAME made of letters, digits and !#$%&'*+.^_`|~-")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value) or not _latin1(value):
        raise ValueError(f"{name} has a wrong value; expected one without control characters, in Latin-1")
    if name.lower() in FRAMING:
        raise ValueError(f"{name} is set by the server itself")
    return name, value


def _latin1(text: str) -> bool:
    return all(ord(c) < 256 for c in text)

"""What a person may see of an environment: values that look like secrets are masked, by name and by shape.

One rule for `env`, `describe`, `jlist`, `plan` and whatever else shows variables. Pure: text in, text out. It
errs on the side of masking; who needs the value has other ways to it.
"""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "••••••"

# A word of the name, parted by anything that is no letter or digit: API_KEY, but neither MONKEY nor KEYBOARD.
WORDS: Final = frozenset(
    (
        "auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "creds", "dsn",
        "jwt", "key", "keys", "pass", "passcode", "passphrase", "passwd", "password", "passwords", "pat",
        "pin", "private", "pw", "pwd", "salt", "secret", "secrets", "signature", "token", "tokens",
    )
)  # fmt: skip
PARTS: Final = ("apikey", "passphrase", "password", "passwd", "secret", "token", "credential", "privatekey")
HARMLESS: Final = frozenset(("pwd", "oldpwd"))  # the shell's working directories

# scheme://user:password@host: the password alone is the secret.
CREDENTIALS: Final = re.compile(
    r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:)(?P<secret>[^\s/?#]+)(?=@)"
)
# Something that is a secret wherever it stands: the beginning of a PEM key, well-known tokens, a JWT.
SHAPES: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:gh[opsu]_|github_pat_|glpat-|xox[abprs]-|sk-|sk_live_|AKIA|pypi-)[A-Za-z0-9_-]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\."
)


def is_secret(name: str) -> bool:
    """Tell whether a variable of that name holds a secret, as far as names say."""
    if name.lower() in HARMLESS:
        return False
    # camelCase counts as two words.
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    joined = "".join(words)
    return any(word in WORDS for word in words) or any(part in joined for part in PARTS)


def mask(name: str, value: str) -> str:
    """Give the variable's value for a person: masked whole if a secret, else without passwords in it."""
    if not value:
        return value
    if is_secret(name) or SHAPES.search(value):
        return MASK
    return CREDENTIALS.sub(lambda found: found["before"] + MASK, value)


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """Give a copy of an environment that may be shown."""
    return {name: mask(name, value) for name, value in environment.items()}

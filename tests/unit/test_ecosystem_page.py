"""docs/ecosystem.md says every key that is no option of its own, and what the code says."""

import re
from pathlib import Path

import pytest

from forkcluster.options import entry, pm2
from forkcluster.options.formats.read import FORMATS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ecosystem.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-zA-Z0-9_]+)`", PAGE))


@pytest.mark.parametrize(
    "keys",
    [entry.MANAGER_KEYS, pm2.NODE_ONLY, pm2.MILLISECONDS, pm2.CONVERSIONS, pm2.ROOTS, pm2.UNSUPPORTED],
    ids=len,
)
def test_every_key_stands_on_the_page(keys):
    """A key that is taken, converted or ignored is told of."""
    assert set() == set(keys) - NAMED


def test_every_format_stands_on_the_page():
    """By the end of its name."""
    assert set() == {suffix for suffix in FORMATS if f"{suffix}`" not in PAGE}

"""Files of environment variables."""

import pytest

from forkcluster.errors import ConfigurationError
from forkcluster.options import envfile

TEXT = r"""
# a comment
PLAIN=value
  export SPACED = a b  # and a comment
EMPTY=
HASH=a#b
SINGLE='a "b" $c \n # d'
DOUBLE="a\nb \"c\" \\"  # comment
URL=postgres://u:p@h/db?x=y
"""


def test_lines_become_variables():
    """Comments, quotes, export and spaces as documented; nothing is expanded."""
    expected = {
        "PLAIN": "value",
        "SPACED": "a b",
        "EMPTY": "",
        "HASH": "a#b",
        "SINGLE": r'a "b" $c \n # d',
        "DOUBLE": 'a\nb "c" \\',
        "URL": "postgres://u:p@h/db?x=y",
    }
    assert expected == envfile.parse(TEXT, "x.env")


@pytest.mark.parametrize("line", ["word", "=x", "A B=x", "A='x", 'A="x" y', "A=x\0"])
def test_a_wrong_line_is_refused_by_number(line):
    """The error names file and line."""
    with pytest.raises(ConfigurationError, match=r"x\.env, line 2"):
        envfile.parse(f"A=1\n{line}\n", "x.env")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """A binary file is told, not guessed at."""
    (tmp_path / "x.env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        envfile.read(str(tmp_path / "x.env"))

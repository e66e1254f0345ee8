"""Date formats: PM2's words and strftime's."""

import pytest

from forkcluster.options.dates import check_format, strftime_format


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("YYYY-MM-DD HH:mm:ss.SSS Z", "%Y-%m-%d %H:%M:%S.%f %z"),
        ("YYYY-MM-DDTHH:mm:ss", "%Y-%m-%dT%H:%M:%S"),
        ("DD/MM/YY [at] hh:mm A", "%d/%m/%y at %I:%M %p"),
        ("%d.%m. %H:%M", "%d.%m. %H:%M"),
    ],
)
def test_words_of_pm2_are_understood(text, expected):
    """What is in brackets stays; a text with a % is strftime's already."""
    assert expected == strftime_format(text)


@pytest.mark.parametrize("text", ["", "now", "%H\n"])
def test_a_format_without_a_time_is_refused(text):
    """It would stamp nothing, or tear lines."""
    with pytest.raises(ValueError, match="such as"):
        check_format(text)

"""What the names of tests promise: one file of each name, and a test for each fault we have to withstand."""

import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_test_file_has_a_name_of_its_own():
    """pytest imports them by their bare names: two of one name cannot be collected in one run."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [] == [name for name, count in names.items() if count > 1]


# The faults that the cluster withstands, by their number in the list that it was designed against.
FAULTS = {*range(1, 11), *range(14, 36), *range(37, 41), *range(46, 52), *range(53, 61), *range(64, 72), 73}
ROWS = re.compile(r"def test_rows?_(\d+)(?:_(to|and)_(\d+))?")


def faults_in(text):
    """The numbers that the names of a file's tests begin with."""
    for first, word, last in ROWS.findall(text):
        yield from range(int(first), int(last) + 1) if word == "to" else map(int, filter(None, (first, last)))


def test_every_fault_is_shown_by_a_test_of_its_number():
    """`test_row_04_…`, `test_rows_18_to_21_…`; with real processes, so not among the unit tests."""
    files = [path for path in TESTS.rglob("test_*.py") if path.parent.name != "unit"]
    assert sorted(FAULTS - {number for path in files for number in faults_in(path.read_text())}) == []

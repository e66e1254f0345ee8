"""csrc/crew.c and csrc/token.c alone: parking, summons, and who may touch the tables. Cases: crew_test.c."""

import pytest

SOURCES = ("tests/native/crew_test.c", "csrc/crew.c", "csrc/token.c")
THREADED = ("a_summons_brings_one_and_the_end_sends_all", "whoever_has_the_token_is_alone")


@pytest.mark.parametrize(
    "case",
    [
        "nobody_is_summoned_where_nobody_is_parked",
        "threads_are_hired_up_to_the_most_and_only_without_a_spare",
        "a_crew_without_spares_and_without_more_is_exhausted",
        *THREADED,
    ],
)
def test_crew(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("crew", SOURCES, case) == ""


@pytest.mark.parametrize("case", THREADED)
def test_no_access_is_a_data_race(passes, case):
    """The thread sanitizer sees no access that lock and token do not order."""
    assert passes("crew", SOURCES, case, sanitize="thread") == ""

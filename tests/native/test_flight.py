"""csrc/flight.c alone: which request is oldest, and the monitor's look. Cases: flight_test.c."""

import pytest

SOURCES = ("tests/native/flight_test.c", "csrc/flight.c", "csrc/scoreboard.c")
THREADED = "a_request_is_never_seen_mixed_with_another"


@pytest.mark.parametrize(
    "case",
    [
        "the_oldest_is_published_whatever_the_order_they_end_in",
        "a_young_request_is_nobodys_business",
        "a_long_path_is_cut",
        "records_are_used_again",
        "the_monitor_is_woken_by_the_first_request_after_it_went_to_sleep",
        THREADED,
    ],
)
def test_flight(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("flight", SOURCES, case) == ""


def test_a_look_is_no_data_race(passes):
    """The thread sanitizer sees no access of the monitor that the handshake does not order."""
    assert passes("flight", SOURCES, THREADED, sanitize="thread") == ""

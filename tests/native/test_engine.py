"""The engine without Python: who comes next, what a connection that is kept is told. Cases: engine_test.c."""

import pytest
from build import ROOT

CORE = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/[!p]*.c"))
PARTS = ("parser", "peers", "phrase", "placement")
SOURCES = ("tests/native/engine_test.c", *CORE, *(f"csrc/{name}.c" for name in PARTS))


@pytest.mark.parametrize(
    "case",
    [
        "pipelined_requests_starve_nobody",
        "busy_clients_starve_no_pipelined_requests",
        "room_that_came_while_nobody_waited_is_told",
        "bytes_that_come_with_room_are_told",
        "an_end_that_comes_with_room_is_told",
        "a_body_is_late_though_an_answer_was_queued",
        "a_pause_of_the_gateway_is_not_the_clients",
        "a_body_in_drops_is_late",
        "a_body_read_to_its_end_leaves_nothing_to_look_at",
        "what_comes_with_the_end_of_a_body_is_the_next_request",
        "what_is_sent_meanwhile_gives_a_silent_reader_no_time",
        "who_leaves_waits_for_a_peer_that_is_full",
        "who_leaves_alone_closes_what_is_idle",
        "who_leaves_gives_to_a_busy_peer_where_no_other_is",
    ],
)
def test_engine(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("engine", SOURCES, case) == ""

"""csrc/placement.c alone: which worker a connection goes to. The cases are functions of placement_test.c."""

import pytest

SOURCES = ("tests/native/placement_test.c", "csrc/placement.c")


@pytest.mark.parametrize(
    "case",
    [
        "a_connection_stays_without_a_peer",
        "a_difference_of_one_moves_nothing",
        "a_difference_of_two_moves_to_the_one_with_least",
        "loaded_workers_do_not_play_ball",
        "what_is_under_way_counts",
        "who_does_not_serve_yet_is_for_leavers_only",
        "leavers_go_to_a_newer_generation_first",
        "who_met_a_long_call_is_offered_no_idle_connections",
        "a_blocked_worker_gives_to_free_peers_only",
        "a_loop_with_requests_is_free_while_it_does_not_say_otherwise",
        "every_state_has_its_answer",
        "who_does_not_read_its_inbox_is_no_candidate",
        "more_taken_than_sent_counts_as_nothing",
        "any_order_of_arrival_ends_even",
    ],
)
def test_placement(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("placement", SOURCES, case) == ""

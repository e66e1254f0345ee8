/* Cases for test_placement.py: which worker a connection goes to. argv[1] names the case. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"

#define NOW 10000000000ull

static FcLoad
peer(uint32_t seat, uint64_t in_flight, uint64_t idle, uint64_t queued)
{
    return (FcLoad){
        .seat = seat, .ready = true, .generation = 1, .in_flight = in_flight, .idle = idle, .queued = queued};
}

static FcLine
line_of(FcState state, uint64_t epoch)
{
    FcLine line;

    memset(&line, 0, sizeof line);
    fc_store(&line.epoch, epoch);
    fc_store(&line.state, state);
    return line;
}

static void
a_connection_stays_without_a_peer(void)
{
    assert(fc_place_new(NULL, 0, 1000) == -1);
    assert(fc_place_idle(NULL, 0, 1000, NOW) == -1);
    assert(fc_place_leaving(NULL, 0, 1) == -1);
}

static void
a_difference_of_one_moves_nothing(void)
{
    FcLoad peers[] = {peer(1, 0, 0, 0), peer(2, 1, 1, 0)};

    assert(fc_place_new(peers, 2, 1) == -1);
    assert(fc_place_idle(peers, 2, 1, NOW) == -1);
}

static void
a_difference_of_two_moves_to_the_one_with_least(void)
{
    FcLoad peers[] = {peer(1, 3, 3, 0), peer(2, 1, 1, 0), peer(3, 2, 2, 0)};

    assert(fc_place_new(peers, 3, 3) == 1);
    assert(fc_place_idle(peers, 3, 3, NOW) == 1);
}

static void
loaded_workers_do_not_play_ball(void)
{
    FcLoad peers[] = {peer(1, 95, 0, 0)};

    assert(fc_place_new(peers, 1, 100) == -1);
    assert(fc_place_new(peers, 1, 120) == 0);
}

static void
what_is_under_way_counts(void)
{
    FcLoad peers[] = {peer(1, 0, 0, 9), peer(2, 0, 8, 0)};

    assert(fc_place_idle(peers, 2, 10, NOW) == 1);
    assert(fc_place_new(peers, 1, 10) == -1);
}

static void
who_does_not_serve_yet_is_for_leavers_only(void)
{
    FcLoad peers[] = {peer(1, 0, 0, 0), peer(2, 0, 50, 0)};

    peers[0].ready = false;
    assert(fc_place_new(peers, 1, 100) == -1);
    assert(fc_place_idle(peers, 1, 100, NOW) == -1);
    assert(fc_place_leaving(peers, 1, 1) == 0);
    assert(fc_place_leaving(peers, 2, 1) == 1);
}

static void
leavers_go_to_a_newer_generation_first(void)
{
    FcLoad peers[] = {peer(1, 0, 0, 0), peer(2, 0, 9, 0), peer(3, 0, 5, 2)};

    peers[1].generation = peers[2].generation = 2;
    assert(fc_place_leaving(peers, 3, 1) == 2);
    assert(fc_place_leaving(peers, 3, 2) == 0);
}

static void
who_met_a_long_call_is_offered_no_idle_connections(void)
{
    FcLoad peers[] = {peer(1, 0, 0, 0), peer(2, 0, 5, 0)};

    peers[0].blocked_ns = NOW - 999999999;
    assert(fc_place_idle(peers, 2, 10, NOW) == 1);
    assert(fc_place_new(peers, 1, 10) == 0);
    assert(fc_place_held_up(&peers[0], NOW));
    peers[0].blocked_ns = NOW - 1000000000;
    assert(!fc_place_held_up(&peers[0], NOW));
    assert(fc_place_idle(peers, 2, 10, NOW) == 0);
}

static void
a_blocked_worker_gives_to_free_peers_only(void)
{
    FcLoad peers[] = {peer(1, 1, 0, 0), peer(2, 3, 9, 0), peer(3, 0, 0, 1), peer(4, 0, 9, 0),
                      peer(5, 0, 0, 0)};

    peers[1].out = 3; /* its three calls are in the hands of threads: its loop is free */
    peers[4].ready = false;
    assert(fc_place_free(peers, 5, false) == 2);
    assert(peers[0].seat == 2 && peers[1].seat == 4);
    peers[0].queued = 16;
    assert(fc_place_blocked(peers, 2) == 1);
    assert(fc_place_free(peers, 1, false) == 0);
}

static void
a_loop_with_requests_is_free_while_it_does_not_say_otherwise(void)
{
    FcLoad peers[] = {peer(1, 100, 0, 0), peer(2, 0, 0, 3)};

    assert(fc_place_free(peers, 2, true) == 1);
    assert(peers[0].seat == 1);
}

static void
every_state_has_its_answer(void)
{
    static const FcPeerState expected[] = {
        [FC_STATE_EMPTY] = FC_PEER_GONE,      [FC_STATE_BOOTING] = FC_PEER_STARTING,
        [FC_STATE_READY] = FC_PEER_CANDIDATE, [FC_STATE_BUSY] = FC_PEER_BUSY,
        [FC_STATE_FULL] = FC_PEER_UNABLE,     [FC_STATE_DRAINING] = FC_PEER_GONE,
        [FC_STATE_DEAD] = FC_PEER_GONE,
    };

    for (unsigned state = FC_STATE_EMPTY; state <= FC_STATE_DEAD; state++) {
        FcLine line = line_of((FcState)state, 7);

        assert(fc_peer_state(&line, 7) == expected[state]);
        assert(fc_peer_state(&line, 6) == FC_PEER_GONE);
    }
}

static void
who_does_not_read_its_inbox_is_no_candidate(void)
{
    FcLine line = line_of(FC_STATE_READY, 1);

    fc_store(&line.stale, 1);
    assert(fc_peer_state(&line, 1) == FC_PEER_UNABLE);
    fc_store(&line.state, FC_STATE_BUSY);
    assert(fc_peer_state(&line, 1) == FC_PEER_UNABLE);
}

static void
more_taken_than_sent_counts_as_nothing(void)
{
    FcLine line = line_of(FC_STATE_READY, 1);

    fc_store(&line.sent, 5);
    fc_store(&line.taken, 6);
    assert(fc_load_of(&line, 3).queued == 0);
    fc_store(&line.sent, 9);
    assert(fc_load_of(&line, 3).queued == 3);
    assert(fc_load_of(&line, 3).seat == 3);
}

/* 64 connections, each seen idle by whoever accepted it: wherever they land, four workers end with 16 each.
 */
static void
any_order_of_arrival_ends_even(void)
{
    for (unsigned seed = 1; seed < 200; seed++) {
        uint64_t held[4] = {0};

        srand(seed);
        for (int i = 0; i < 64; i++) {
            unsigned me = seed < 4 ? seed : (unsigned)rand() % 4, n = 0;
            FcLoad peers[3];
            int at;

            for (uint32_t seat = 0; seat < 4; seat++)
                if (seat != me)
                    peers[n++] = peer(seat, 0, held[seat], 0);
            at = fc_place_idle(peers, n, held[me] + 1, NOW);
            held[at >= 0 ? peers[at].seat : me]++;
        }
        for (unsigned i = 0; i < 4; i++)
            assert(held[i] >= 15 && held[i] <= 17);
    }
}

#define CASE(name) {#name, name}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        CASE(a_connection_stays_without_a_peer),
        CASE(a_difference_of_one_moves_nothing),
        CASE(a_difference_of_two_moves_to_the_one_with_least),
        CASE(loaded_workers_do_not_play_ball),
        CASE(what_is_under_way_counts),
        CASE(who_does_not_serve_yet_is_for_leavers_only),
        CASE(leavers_go_to_a_newer_generation_first),
        CASE(who_met_a_long_call_is_offered_no_idle_connections),
        CASE(a_blocked_worker_gives_to_free_peers_only),
        CASE(a_loop_with_requests_is_free_while_it_does_not_say_otherwise),
        CASE(every_state_has_its_answer),
        CASE(who_does_not_read_its_inbox_is_no_candidate),
        CASE(more_taken_than_sent_counts_as_nothing),
        CASE(any_order_of_arrival_ends_even),
    };

    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "no such case\n");
    return 2;
}

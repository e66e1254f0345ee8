/* Cases for test_call_watch.py: when a worker is stuck. argv[1] names the case. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "watch.h"

#define MS 1000000ull

static FcWatch watch;

/* A look at a call (0: none) of a thread that has used so much CPU. */
static FcAdvice
look(uint64_t now, uint64_t call, uint64_t cpu)
{
    FcGlance glance = {.now = now, .call = call, .cpu = cpu, .lively = call != watch.call};

    return fc_watch_look(&watch, &glance);
}

static void
a_call_met_once_is_nothing(void)
{
    assert(look(5 * MS, 1, 0) == FC_ADVICE_NOTHING);
    assert(look(10 * MS, 3, 0) == FC_ADVICE_NOTHING);
    assert(look(15 * MS, 0, 0) == FC_ADVICE_NOTHING);
    assert(fc_watch_next(&watch, 15 * MS) == 20 * MS);
}

static void
a_call_met_twice_waits_or_computes(void)
{
    look(5 * MS, 1, 100 * MS);
    assert(look(10 * MS, 1, 102 * MS) == FC_ADVICE_WAITING);
    look(20 * MS, 3, 200 * MS);
    assert(look(25 * MS, 3, 203 * MS) == FC_ADVICE_COMPUTING);
    assert(look(125 * MS, 3, 205 * MS) == FC_ADVICE_WAITING);
}

static void
who_waits_for_the_gil_is_held(void)
{
    FcGlance glance = {.now = 5 * MS, .call = 7, .held = true};

    assert(fc_watch_look(&watch, &glance) == FC_ADVICE_NOTHING);
    glance.now = 10 * MS;
    assert(fc_watch_look(&watch, &glance) == FC_ADVICE_HELD);
}

static void
a_summoned_thread_that_does_not_come_has_no_gil(void)
{
    look(5 * MS, 1, 0);
    assert(look(10 * MS, 1, 0) == FC_ADVICE_WAITING);
    fc_watch_summoned(&watch, 10 * MS);
    assert(look(10 * MS + 300000, 1, 0) == FC_ADVICE_WAITING);
    assert(look(11 * MS, 1, 0) == FC_ADVICE_HELD);
    assert(look(12 * MS, 3, 0) == FC_ADVICE_NOTHING);
    assert(look(13 * MS, 3, 0) == FC_ADVICE_WAITING);
}

static void
it_looks_closely_for_a_second_after_it_met_one(void)
{
    look(5 * MS, 1, 0);
    look(10 * MS, 1, 0);
    assert(fc_watch_next(&watch, 10 * MS) == 10 * MS + FC_WATCH_CLOSE_NS);
    assert(look(10 * MS + FC_WATCH_CLOSE_NS, 0, 0) == FC_ADVICE_NOTHING);
    assert(fc_watch_next(&watch, 900 * MS) == 900 * MS + FC_WATCH_CLOSE_NS);
    look(1500 * MS, 5, 0);
    assert(fc_watch_next(&watch, 1500 * MS) == 1505 * MS);
}

static void
a_call_that_lasts_is_looked_at_less_closely(void)
{
    look(5 * MS, 1, 0);
    look(10 * MS, 1, 0);
    look(60 * MS, 1, 0);
    assert(fc_watch_next(&watch, 60 * MS) == 61 * MS);
    look(1100 * MS, 1, 0);
    assert(fc_watch_next(&watch, 1100 * MS) == 1105 * MS);
}

static void
it_does_not_look_after_a_second_without_calls(void)
{
    look(5 * MS, 1, 0);
    look(10 * MS, 0, 0);
    assert(fc_watch_next(&watch, 1004 * MS) == 1009 * MS);
    assert(fc_watch_next(&watch, 1010 * MS) == 0);
}

static void
what_is_met_for_less_than_the_least_is_nothing(void)
{
    fc_watch_init(&watch, FC_WATCH_NS, 8 * MS);
    look(5 * MS, 1, 0);
    assert(look(10 * MS, 1, 0) == FC_ADVICE_NOTHING);
    assert(look(15 * MS, 1, 0) == FC_ADVICE_WAITING);
}

#define CASES(X)                                                                                             \
    X(a_call_met_once_is_nothing)                                                                            \
    X(a_call_met_twice_waits_or_computes)                                                                    \
    X(who_waits_for_the_gil_is_held)                                                                         \
    X(a_summoned_thread_that_does_not_come_has_no_gil)                                                       \
    X(it_looks_closely_for_a_second_after_it_met_one)                                                        \
    X(a_call_that_lasts_is_looked_at_less_closely)                                                           \
    X(it_does_not_look_after_a_second_without_calls)                                                         \
    X(what_is_met_for_less_than_the_least_is_nothing)

int
main(int argc, char **argv)
{
    fc_watch_init(&watch, FC_WATCH_NS, 0);
#define X(name)                                                                                              \
    if (argc > 1 && strcmp(argv[1], #name) == 0) {                                                           \
        name();                                                                                              \
        return 0;                                                                                            \
    }
    CASES(X)
#undef X
    printf("no such case\n");
    return 2;
}

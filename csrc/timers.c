/* See timers.h. */
#include "timers.h"

#include <string.h>

#define MASK (FC_TICKS - 1)

void
fc_timers_init(FcTimers *timers, uint64_t now)
{
    memset(timers, 0, sizeof *timers);
    timers->tick = now >> FC_TICK_SHIFT;
}

static void
unlink_timer(FcTimers *timers, FcTimer *timer)
{
    unsigned slot = (unsigned)(timer->tick & MASK);

    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
    if (timers->slots[slot] == NULL)
        timers->occupied[slot / 64] &= ~(1ull << slot % 64);
}

static void
link_timer(FcTimers *timers, FcTimer *timer, uint64_t tick)
{
    unsigned slot = (unsigned)(tick & MASK);

    timers->placed = true;
    timer->tick = tick;
    timer->next = timers->slots[slot];
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    timer->link = &timers->slots[slot];
    timers->slots[slot] = timer;
    timers->occupied[slot / 64] |= 1ull << slot % 64;
}

void
fc_timer_place(FcTimers *timers, FcTimer *timer)
{
    uint64_t tick = (timer->deadline >> FC_TICK_SHIFT) + 1;

    if (timer->link != NULL)
        unlink_timer(timers, timer);
    if (tick < timers->tick)
        tick = timers->tick;
    if (tick > timers->tick + MASK)
        tick = timers->tick + MASK;
    link_timer(timers, timer, tick);
}

void
fc_timer_remove(FcTimers *timers, FcTimer *timer)
{
    if (timer->link != NULL)
        unlink_timer(timers, timer);
    timer->deadline = 0;
}

FcTimer *
fc_timers_expired(FcTimers *timers, uint64_t now, unsigned *budget)
{
    uint64_t last = now >> FC_TICK_SHIFT;

    while (timers->tick <= last) {
        FcTimer *timer = timers->slots[timers->tick & MASK];

        if (timer == NULL) {
            uint64_t next = fc_timers_next(timers) >> FC_TICK_SHIFT;

            timers->tick = next < last + 1 ? next : last + 1;
            continue;
        }
        if (*budget == 0)
            return NULL;
        --*budget;
        unlink_timer(timers, timer);
        if (timer->deadline == 0)
            continue;
        if (timer->deadline <= now)
            return timer;
        /* Pushed back since it was placed. Its tick is past `last` unless now stands inside the tick itself.
         */
        uint64_t tick = (timer->deadline >> FC_TICK_SHIFT) + 1;
        if (tick > timers->tick + MASK)
            tick = timers->tick + MASK;
        link_timer(timers, timer, tick);
    }
    return NULL;
}

uint64_t
fc_timers_next(const FcTimers *timers)
{
    unsigned start = (unsigned)(timers->tick & MASK), words = FC_TICKS / 64;
    unsigned word = start / 64;
    uint64_t bits = timers->occupied[word] & (~0ull << start % 64);

    for (unsigned i = 0; i <= words; i++) {
        if (bits != 0) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
            return (timers->tick + ((slot - start) & MASK)) << FC_TICK_SHIFT;
        }
        word = (word + 1) % words;
        bits = timers->occupied[word];
    }
    return UINT64_MAX;
}

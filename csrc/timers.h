/* Deadlines of connections: a hashed wheel whose cost does not depend on how many there are.
 *
 * Arming is O(1), and pushing a deadline back (the case of every request on a kept-alive connection) is one
 * store: the timer stays in the slot it is in and is looked at again when that slot's time comes. Times are
 * CLOCK_MONOTONIC in ns, given by the caller; a tick is 2^26 ns (67 ms), a timer fires up to one tick late,
 * never early. Owns no timer: they are embedded in what they watch.
 */
#ifndef FC_TIMERS_H
#define FC_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FC_TICK_SHIFT 26
#define FC_TICKS      1024 /* slots: 68.7 s; what lies further waits in the last slot and is put back */

typedef struct FcTimer {
    struct FcTimer *next;
    struct FcTimer **link; /* what points to this timer; NULL: not in the wheel */
    uint64_t deadline;     /* 0: none */
    uint64_t tick;         /* the slot it waits in, as an absolute tick */
} FcTimer;

typedef struct FcTimers {
    bool placed;   /* a timer was put into a slot since somebody cleared this */
    uint64_t tick; /* ticks before this one have been looked at */
    uint64_t occupied[FC_TICKS / 64];
    FcTimer *slots[FC_TICKS];
} FcTimers;

void fc_timers_init(FcTimers *timers, uint64_t now);

/* Put the timer where its deadline wants it: the slow part of fc_timer_set. */
void fc_timer_place(FcTimers *timers, FcTimer *timer);

/* Fire at deadline (ns, not 0) instead of whenever before. */
static inline void
fc_timer_set(FcTimers *timers, FcTimer *timer, uint64_t deadline)
{
    timer->deadline = deadline;
    if (timer->link == NULL || timer->tick > (deadline >> FC_TICK_SHIFT) + 1)
        fc_timer_place(timers, timer);
}

/* Do not fire. The timer may stay in the wheel: call fc_timer_remove before its memory goes. */
static inline void
fc_timer_clear(FcTimer *timer)
{
    timer->deadline = 0;
}

void fc_timer_remove(FcTimers *timers, FcTimer *timer); /* idempotent */

/* The next timer whose deadline has passed, taken out of the wheel with its deadline left as it was; NULL
 * when there is none. At most the given number of timers are looked at in one call to bound its time: call
 * again next turn. */
FcTimer *fc_timers_expired(FcTimers *timers, uint64_t now, unsigned *budget);

/* When to look again, in ns; UINT64_MAX: the wheel is empty. */
uint64_t fc_timers_next(const FcTimers *timers);

#endif

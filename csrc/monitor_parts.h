/* What the files of the monitor ask of each other. Not for others. */
#ifndef FC_MONITOR_PARTS_H
#define FC_MONITOR_PARTS_H

#include <pthread.h>

#include "monitor.h"
#include "watch.h"

struct FcMonitor {
    pthread_mutex_t lock; /* of engine */
    FcEngine *engine;     /* NULL: detached */
    FcCrew *crew;         /* NULL: one serving thread */
    int epoll, channel, wake;
    bool coarse; /* the kernel sleeps for whole milliseconds only */
    _Atomic bool accept_wanted;
    bool accepting;
    bool closing;       /* leaving: listeners are closed as soon as their queues are empty */
    bool hold;          /* the master has not yet said that this worker shall accept */
    unsigned listeners; /* how many there are */
    uint64_t accept_at; /* paused until then; 0: not paused */
    uint32_t seat, epoch;
    bool awake;                     /* somebody may ask for looks; else a flight wakes us */
    FcWatch watch;                  /* for long calls */
    uint64_t look_at;               /* for long calls; 0: with the next publication */
    uint64_t publish_at;            /* when the oldest flight is published again */
    uint64_t calls, turns, handled; /* as they were at the last look */
    uint64_t wall, cpu; /* a nested engine's loop is blocked: when and at what CPU time that was last counted;
                           0: it is not */
    uint64_t exit_at;   /* CLOCK_MONOTONIC ns; 0: no deadline */
    bool orphan;
    const char *_Atomic leave; /* reason to be sent; static text */
};

/* acceptor.c: accepting for a nested engine */
void fc_acceptor_begin(FcMonitor *monitor);               /* if it is wanted and may be */
void fc_acceptor_turn(FcMonitor *monitor, uint64_t now);  /* begin again after a pause */
void fc_acceptor_wake(FcMonitor *monitor, uint8_t index); /* a listener has connections */
void fc_acceptor_nudge(FcMonitor *monitor);               /* look at the queues without an event */
/* What waits in the accept queues is taken first: a wake-up that was given to us was given to nobody else. */
void fc_acceptor_stop(FcMonitor *monitor);

/* overseer.c: long calls and old flights */
void fc_overseer_wake(FcMonitor *monitor, uint64_t now);
/* Look, if it is time. */
void fc_overseer_turn(FcMonitor *monitor, uint64_t now);
uint64_t fc_overseer_next(const FcMonitor *monitor); /* when to come back; 0: when woken */

#endif

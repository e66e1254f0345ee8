/* The serving threads of a worker: who is parked, who is wanted, and whether it is over.
 *
 * Exactly one thread leads: it has the loop, and calls the application itself. One spare is parked. When the
 * monitor meets a long call it summons the spare to take the loop over; the next spare is then hired by the
 * main thread, up to as many threads as there may be. A thread that comes back from a call and leads no more
 * parks.
 *
 * Knows threads, no engine and no Python. Every field is under the lock; nobody holds it and waits for
 * anything but it.
 */
#ifndef FC_CREW_H
#define FC_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FcCrew {
    pthread_mutex_t lock;
    pthread_cond_t summons;
    unsigned most;   /* threads there may be; falls when one cannot be made */
    unsigned hired;  /* that were asked for */
    unsigned begun;  /* that have begun to serve */
    unsigned wanted; /* asked for, not yet made */
    unsigned parked;
    uint64_t call; /* number of the call whose leader shall be replaced; 0: nobody is summoned */
    bool over;     /* everybody shall go */
    int bell;      /* eventfd for the main thread: somebody is wanted, or it is over */
} FcCrew;

/* 0 or -errno. most: at least 1. */
int fc_crew_init(FcCrew *crew, unsigned most);
void fc_crew_free(FcCrew *crew); /* nobody uses it any more; idempotent */

/* Ask for a thread, if no spare is parked and there may be more. Any thread. */
void fc_crew_hire(FcCrew *crew);

typedef enum FcHire {
    FC_HIRE_THREAD,      /* make one */
    FC_HIRE_OVER,        /* it is over: join them */
    FC_HIRE_INTERRUPTED, /* a signal has come */
} FcHire;

/* The main thread: wait for something to do. */
FcHire fc_crew_attend(FcCrew *crew);

/* The main thread: the thread that was wanted cannot be made; there may be no more than there are. */
void fc_crew_refused(FcCrew *crew);

/* A thread begins to serve: its number, from 0. */
unsigned fc_crew_begin(FcCrew *crew);

/* Wait until summoned: the number of the call to be taken over; 0: it is over. */
uint64_t fc_crew_park(FcCrew *crew);

/* The monitor: have a spare take over from the leader who is in that call (not 0). False: there is none. */
bool fc_crew_summon(FcCrew *crew, uint64_t call);

/* Whether no spare is parked, and none can be hired. */
bool fc_crew_exhausted(FcCrew *crew);

/* The last connection is gone: everybody shall go. */
void fc_crew_end(FcCrew *crew);

#endif

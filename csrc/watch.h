/* When a worker is stuck, and what is to be done about it: pure decisions over what the monitor sees.
 *
 * The loop hangs on something when two looks find it in the same call: a number that grows with every call of
 * the application says so, and costs a call two stores. It is looked at every 5 ms while calls are made,
 * every 0.2 ms for a second after one was met at two looks, and not at all after a second without calls.
 * Whether the call waits or computes is told by the CPU time of its thread.
 *
 * Knows no clock, no thread and no engine.
 */
#ifndef FC_WATCH_H
#define FC_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define FC_WATCH_NS        5000000ull    /* between two looks */
#define FC_WATCH_CLOSE_NS  200000ull     /* ... for a while after a call was met twice */
#define FC_WATCH_YOUNG_NS  50000000ull   /* a call older than this is looked at less closely */
#define FC_WATCH_LATER_NS  1000000ull    /* ... so often; and after FC_WATCH_WHILE_NS as usual */
#define FC_WATCH_WHILE_NS  1000000000ull /* that while; and how long it is looked for calls in vain */
#define FC_WATCH_GIL_NS    1000000ull /* a summoned thread that has not taken over after this gets no GIL */
#define FC_WATCH_COMPUTING 60         /* per cent of a call's time on the CPU from which it computes */

/* What a look sees. Times in ns. */
typedef struct FcGlance {
    uint64_t now;
    uint64_t call; /* what the loop hangs on: the number of a call, of a wait for the GIL; 0: nothing */
    uint64_t cpu;  /* CPU time of its thread so far */
    bool held;     /* it waits for the GIL: no other thread would get it either */
    bool lively;   /* calls were made since the last look */
} FcGlance;

typedef enum FcAdvice {
    FC_ADVICE_NOTHING,
    FC_ADVICE_WAITING,   /* export; if there was nothing to export, have another thread take over */
    FC_ADVICE_COMPUTING, /* export; no candidate for others; another thread only where no peer can help */
    FC_ADVICE_HELD,      /* export; no candidate for others; no thread of ours would get the GIL */
} FcAdvice;

typedef struct FcWatch {
    uint64_t usual_ns;         /* between two looks; FC_WATCH_NS, or longer where the clock is slow */
    uint64_t least_ns;         /* what is met for less is nothing */
    uint64_t call;             /* that was seen last; 0: none */
    uint64_t since, cpu_since; /* when, and how much CPU its thread had used then */
    uint64_t summoned_at;      /* a thread was summoned during this call; 0: none was */
    uint64_t close_until;      /* look closely until then */
    uint64_t calls_at;         /* when calls were last made */
} FcWatch;

void fc_watch_init(FcWatch *watch, uint64_t usual_ns, uint64_t least_ns);
FcAdvice fc_watch_look(FcWatch *watch, const FcGlance *glance);
/* The advice was followed: a thread was summoned. */
void fc_watch_summoned(FcWatch *watch, uint64_t now);
/* When to look again; 0: when calls are made again. */
uint64_t fc_watch_next(const FcWatch *watch, uint64_t now);

#endif

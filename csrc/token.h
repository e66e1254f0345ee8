/* Who may touch an engine's tables: whoever holds its token.
 *
 * Two kinds hold it. A serving thread does between taking a connection in and giving the next one out: it
 * also holds what serialises the gateway (the GIL), and gives the token up before that, so that of several
 * serving threads only one at a time ever asks. The monitor borrows it, without the GIL, while such a thread
 * is stuck in the application. Hence a serving thread that does not get the token waits for the monitor, for
 * microseconds, and must do that without the GIL.
 */
#ifndef FC_TOKEN_H
#define FC_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FC_TOKEN_FREE, FC_TOKEN_SERVER, FC_TOKEN_MONITOR };

typedef struct FcToken {
    _Atomic uint32_t holder;  /* FC_TOKEN_*; what its holder wrote is seen by the next: acquire, release */
    _Atomic uint32_t waiting; /* threads in fc_token_await() */
} FcToken;

static inline bool
fc_token_take(FcToken *token, uint32_t holder)
{
    uint32_t free_token = FC_TOKEN_FREE;

    return atomic_compare_exchange_strong_explicit(&token->holder, &free_token, holder, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* By a serving thread: nobody waits for one. */
static inline void
fc_token_release(FcToken *token)
{
    atomic_store_explicit(&token->holder, FC_TOKEN_FREE, memory_order_release);
}

/* By the monitor: wakes those who wait. */
void fc_token_give_back(FcToken *token);
/* Sleep while the monitor has it. Not with the GIL. Taking it is still to be tried. */
void fc_token_await(FcToken *token);
/* In a child that was forked in the middle of whatever. */
void fc_token_reset(FcToken *token);

#endif

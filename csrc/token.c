/* See token.h. */
#include "token.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The word and the count of those who wait for it are accessed sequentially consistent: either the one who
 * gives the token back sees that somebody waits, or the kernel finds the word changed and does not let him
 * sleep. */
void
fc_token_give_back(FcToken *token)
{
    atomic_store(&token->holder, FC_TOKEN_FREE);
    if (atomic_load(&token->waiting) > 0)
        syscall(SYS_futex, &token->holder, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void
fc_token_await(FcToken *token)
{
    atomic_fetch_add(&token->waiting, 1);
    while (atomic_load(&token->holder) == FC_TOKEN_MONITOR)
        syscall(SYS_futex, &token->holder, FUTEX_WAIT_PRIVATE, FC_TOKEN_MONITOR, NULL, NULL, 0);
    atomic_fetch_sub(&token->waiting, 1);
}

void
fc_token_reset(FcToken *token)
{
    atomic_store(&token->holder, FC_TOKEN_FREE);
    atomic_store(&token->waiting, 0);
}

/* See handover.h. The life of a hand-over's state and what comes in; what goes out is in departure.c. */
#include "handover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "departure.h"
#include "pages.h"
#include "spare.h"

#define RETRY_NS 50000000ull
#define COUNT_NS 100000000ull  /* how long a count of descriptors is believed while there are plenty */
#define LOOK_NS  1000000000ull /* how long nobody need look who sends nothing */
#define PLENTY   1024
#define MESSAGES 256 /* read at one look; what is left is reported again */

/* What name[@SLOT.EPOCH[.GENERATION]] says to the worker of that line. */
static FcStop
stop_of(const char *name, const FcLine *line)
{
    unsigned long slot = 0, epoch = 0, generation = fc_load(&line->generation);
    const char *at = name != NULL ? strchr(name, '@') : NULL;
    size_t len = name == NULL ? 0 : at != NULL ? (size_t)(at - name) : strlen(name);
    static const char *const names[] = {
        [FC_STOP_BEFORE_SEND] = "handover-before-send",    [FC_STOP_AFTER_SEND] = "handover-after-send",
        [FC_STOP_BEFORE_RECEIVE] = "inbox-before-receive", [FC_STOP_AFTER_RECEIVE] = "inbox-after-receive",
        [FC_STOP_BEFORE_ACCEPT] = "accept-before",
    };

    if (at != NULL &&
        (sscanf(at, "@%lu.%lu.%lu", &slot, &epoch, &generation) < 2 || slot != fc_load(&line->slot) ||
         epoch != fc_load(&line->epoch) || generation != fc_load(&line->generation)))
        return FC_STOP_NOWHERE;
    for (unsigned i = FC_STOP_BEFORE_SEND; len > 0 && i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return (FcStop)i;
    return FC_STOP_NOWHERE;
}

void
fc_handover_stop_here(FcHandover *handover, FcStop point)
{
    if (handover == NULL || handover->stop_at != point)
        return;
    handover->stop_at = FC_STOP_NOWHERE;
    raise(SIGSTOP);
}

FcHandover *
fc_handover_new(const FcBoard *board, const FcLine *line, int inbox)
{
    FcHandover *handover = fc_pages_new(sizeof *handover);

    if (handover == NULL)
        return NULL;
    fc_peers_init(&handover->peers, board);
    handover->inbox = inbox;
    handover->shut = inbox < 0;
    handover->stop_at = stop_of(getenv("FORKCLUSTER_STOP_AT"), line);
    return handover;
}

void
fc_handover_free(FcHandover *handover)
{
    if (handover == NULL)
        return;
    fc_peers_free(&handover->peers);
    fc_pages_free(handover, sizeof *handover);
}

/* -- the inbox
 * ---------------------------------------------------------------------------------------------------- */

/* Level-triggered: what one look leaves is reported again. */
static int
poll_inbox(FcEngine *engine, bool poll)
{
    FcHandover *handover = engine->handover;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = FC_DATA_INBOX};

    if (handover->polled == poll || handover->inbox < 0)
        return 0;
    if (epoll_ctl(engine->epoll, poll ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, handover->inbox, &event) < 0)
        return -errno;
    handover->polled = poll;
    return 0;
}

/* Connections opened since descriptors were counted. */
static uint64_t
opened_since(const FcEngine *engine)
{
    return engine->open > engine->handover->counted_open ? engine->open - engine->handover->counted_open : 0;
}

/* Free descriptors, as far as it matters. Counting costs a system call, so a count is believed for a moment
 * while there are plenty, less what was opened here since. */
static uint64_t
spare(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    uint64_t opened = opened_since(engine);

    if (handover->counted_at == 0 || engine->now >= handover->counted_at + COUNT_NS ||
        handover->counted_spare < opened + PLENTY) {
        handover->counted_spare = fc_spare_descriptors(engine->open);
        handover->counted_open = engine->open;
        handover->counted_at = engine->now;
        opened = 0;
    }
    return handover->counted_spare - opened;
}

/* Before it serves a worker on hold reads nothing: what is sent to it, for want of others, the master takes
 * back. */
static bool
reads(const FcEngine *engine)
{
    return engine->listening || engine->draining;
}

/* Whether the inbox may be read. If not, the line says so, and it is looked at again in a moment. */
static bool
has_room(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    bool full = spare(engine) < FC_SPARE_LEAST * (handover->full ? 2 : 1);

    if (full && handover->tick_at == 0)
        handover->tick_at = engine->now + RETRY_NS;
    if (full ||
        handover->full) /* without a peer who accepts it goes on, and sheds idle connections in the end */
        fc_engine_look_away(engine, full && fc_departure_has_peer(engine));
    if (full == handover->full)
        return !full;
    handover->full = full;
    poll_inbox(engine, !full && !handover->shut && reads(engine));
    fc_engine_show(engine);
    return !full;
}

/* Go on with a connection where its last worker stopped; the descriptor becomes the engine's. */
static void
adopt(FcEngine *engine, const FcPassed *passed)
{
    FcConn *conn = fc_conn_adopt(engine, passed->fd);

    if (conn == NULL)
        return;
    /* An index out of range is of other listeners than ours: as of the first. */
    conn->listener = passed->listener < engine->n_listeners ? (uint8_t)passed->listener : 0;
    conn->hops = passed->hops;
    conn->served = passed->served;
    conn->accepted_ns = passed->accepted_ns;
    conn->looks = 1;
    conn->peer.len = passed->addr_len <= sizeof conn->peer.v6 ? passed->addr_len : 0;
    memcpy(&conn->peer.any, passed->addr, conn->peer.len);
    fc_add(&engine->line->handed_in, 1);
    if (passed->unread_len > 0)
        fc_conn_refill(engine, conn, passed->unread, passed->unread_len, passed->deadline_ns);
    else if (passed->deadline_ns != 0)
        fc_conn_idle_until(engine, conn, passed->deadline_ns);
    else
        fc_conn_queue(engine, conn); /* nobody has read from it yet */
}

static FcPassResult
receive_one(FcEngine *engine)
{
    FcPassed passed[FC_PASS_MOST];
    unsigned count = 0;
    FcPassResult result = fc_receive_connections(engine->handover->inbox, engine->scratch, passed, &count);

    if (result == FC_PASS_OK)
        fc_handover_stop_here(engine->handover, FC_STOP_AFTER_RECEIVE);
    for (unsigned i = 0; result == FC_PASS_OK && i < count; i++)
        adopt(engine, &passed[i]);
    if (result == FC_PASS_TRUNCATED)
        fc_add(&engine->line->truncated, 1);
    return result;
}

/* The inbox was found empty after sent had been read: all that was sent until then is taken, or was never
 * sent. */
static void
all_taken(FcEngine *engine, uint64_t sent)
{
    fc_store(&engine->line->taken, sent);
    fc_store(&engine->line->stale, 0);
}

/* Whether to read the inbox all the same: who leaves with nothing open has room enough, and what only we can
 * take we take while it goes at all. */
static bool
must_receive(FcEngine *engine)
{
    bool alone = engine->draining ? engine->open == 0 : !fc_departure_has_peer(engine);

    return alone && spare(engine) >= FC_PASS_MOST;
}

void
fc_handover_receive(FcEngine *engine)
{
    FcHandover *handover = engine->handover;

    for (unsigned i = 0; i < MESSAGES && !handover->shut && (has_room(engine) || must_receive(engine)); i++) {
        uint64_t sent = fc_load(&engine->line->sent);
        FcPassResult result = receive_one(engine);

        if (result == FC_PASS_AGAIN || result == FC_PASS_CLOSED)
            all_taken(engine, sent);
        if (result == FC_PASS_CLOSED || result == FC_PASS_ERROR) {
            handover->shut = true;
            poll_inbox(engine, false);
        }
        if (result == FC_PASS_AGAIN)
            return;
    }
}

void
fc_handover_wake(FcEngine *engine)
{
    fc_handover_stop_here(engine->handover, FC_STOP_BEFORE_RECEIVE);
    fc_handover_receive(engine);
}

int
fc_handover_listen(FcEngine *engine)
{
    int error = engine->handover->full || engine->handover->shut ? 0 : poll_inbox(engine, true);

    fc_handover_receive(engine);
    return error;
}

/* -- the turn
 * ----------------------------------------------------------------------------------------------------- */

void
fc_handover_turn(FcEngine *engine)
{
    FcHandover *handover = engine->handover;

    if (handover->movers > 0)
        fc_departure_flush(engine);
    if (engine->now >= handover->counted_at + LOOK_NS ||
        opened_since(engine) + FC_SPARE_LEAST > handover->counted_spare / 2)
        has_room(engine);
    if (handover->tick_at == 0 || engine->now < handover->tick_at)
        return;
    handover->tick_at = 0;
    if (reads(engine))
        fc_handover_receive(engine);
    if (!engine->draining && engine->config.balance)
        fc_departure_settled(engine);
    if (engine->draining) {
        fc_departure_all(engine);
        if (engine->open > 0 || !handover->shut)
            handover->tick_at = engine->now + RETRY_NS;
    }
}

void
fc_handover_leave(FcEngine *engine)
{
    FcHandover *handover = engine->handover;

    /* An atomic close: from now on senders get EPIPE, what was sent before stays readable. */
    if (handover->inbox >= 0)
        shutdown(handover->inbox, SHUT_RD);
    handover->tick_at = engine->now;
    fc_handover_turn(engine);
}

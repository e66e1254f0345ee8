/* See export.h.
 *
 * First all that waits is brought into the ready queue, where a leader would find it, too; then what can move
 * is taken out again. Nothing is read and nothing is parsed: that is for whoever serves it.
 */
#include "export.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "batch.h"
#include "connection.h"
#include "departure.h"

#define ACCEPT_MOST 64 /* connections taken from an accept queue at one look */

/* -- what waits
 * --------------------------------------------------------------------------------------------------- */

bool
fc_export_waits(FcEngine *engine)
{
    struct pollfd poller = {.fd = engine->epoll, .events = POLLIN};

    return fc_engine_busy(engine) || atomic_load_explicit(&engine->n_fetched, memory_order_acquire) > 0 ||
           (engine->ring != NULL && atomic_load(&engine->ring->head) != atomic_load(&engine->ring->tail)) ||
           poll(&poller, 1, 0) > 0;
}

static void
take_new(FcEngine *engine, unsigned listener)
{
    unsigned left = ACCEPT_MOST;

    engine->accept_left = 1; /* the accept sets it to 0 when the queue is empty */
    while (engine->listening && left-- > 0 && engine->accept_left > 0) {
        FcConn *conn = fc_engine_accept(engine, listener);

        if (conn != NULL)
            fc_conn_queue(engine, conn);
    }
    engine->accept_left = 0;
}

/* Do what an event asks for, as far as that needs no gateway: who is to be looked at is queued. False: it is
 * the leader's. */
static bool
sort_one(FcEngine *engine, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32);
    FcConn *conn;

    if (generation == 0 && index == FC_DATA_WAKE) {
        fc_engine_obey(engine); /* the drain of a worker that is stuck begins at once */
        return true;
    }
    if (generation == 0 && index == FC_DATA_INBOX) {
        fc_handover_receive(engine);
        return true;
    }
    if (generation == 0 && index >= FC_DATA_LISTENER && index < FC_DATA_INBOX) {
        take_new(engine, index - FC_DATA_LISTENER);
        return true;
    }
    if (index >= engine->n_blocks * FC_CONNS_A_BLOCK)
        return false;
    conn = fc_conn_at(engine, index);
    if (conn->generation != generation || conn->state == FC_CONN_FREE)
        return true;
    if (conn->state == FC_CONN_OUT)
        return false;
    if (fc_conn_note(conn, event->events))
        fc_conn_queue(engine, conn);
    return true;
}

/* Whether an event of the same kind is among the first so many: what happened is added to it. */
static bool
merge(struct epoll_event *events, unsigned count, const struct epoll_event *event)
{
    for (unsigned i = 0; i < count; i++) {
        if (events[i].data.u64 == event->data.u64) {
            events[i].events |= event->events;
            return true;
        }
    }
    return false;
}

/* Bring what waits into the queue; events of other kinds stay where they are, each once, so that there is
 * room for more however long the call takes. */
static void
sort(FcEngine *engine)
{
    unsigned kept = 0;
    int n;
    FcConn *conn;

    fc_engine_recall(engine);
    memmove(engine->events, engine->events + engine->event_at,
            (engine->event_end - engine->event_at) * sizeof *engine->events);
    engine->event_end -= engine->event_at;
    engine->event_at = 0;
    if (engine->event_end < FC_EVENTS) {
        n = epoll_wait(engine->epoll, engine->events + engine->event_end,
                       (int)(FC_EVENTS - engine->event_end), 0);
        engine->event_end += n > 0 ? (unsigned)n : 0;
    }
    for (unsigned i = 0; i < engine->event_end; i++)
        if (!sort_one(engine, &engine->events[i]) && !merge(engine->events, kept, &engine->events[i]))
            engine->events[kept++] = engine->events[i];
    engine->event_end = kept;
    while (engine->ring != NULL && (conn = fc_engine_take_accepted(engine)) != NULL)
        fc_conn_queue(engine, conn);
}

/* -- where it goes
 * ------------------------------------------------------------------------------------------------ */

/* Whether a request, or a part of one, is there. A new one that is silent stays: moving it would help nobody;
 * nothing reports when it speaks, so it is asked at each look. */
static bool
has_asked(FcConn *conn)
{
    char byte;

    if (!conn->readable && conn->buf == NULL && !conn->registered)
        conn->readable = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    return conn->readable || conn->buf != NULL;
}

static bool
may_go(FcConn *conn)
{
    return fc_batch_takes(conn) && conn->hops < FC_PASS_HOPS && has_asked(conn);
}

/* Take a batch from the queue; what cannot move stays in it, in order. */
static void
collect(FcEngine *engine, FcBatch *batch, unsigned most)
{
    FcConn **at = &engine->ready;

    *batch = (FcBatch){0};
    while (*at != NULL && batch->count < most) {
        FcConn *conn = *at;

        if (!may_go(conn) || batch->bytes + fc_batch_unread(conn) > FC_BATCH_UNREAD) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        if (engine->ready_tail == &conn->next)
            engine->ready_tail = at;
        conn->queued = false;
        batch->conns[batch->count++] = conn;
        batch->bytes += fc_batch_unread(conn);
    }
}

static unsigned
count_movable(FcEngine *engine)
{
    unsigned count = 0;

    for (FcConn *conn = engine->ready; conn != NULL; conn = conn->next)
        count += may_go(conn);
    return count;
}

/* Send them, evenly. The lock of the peers is held. How many went. */
static unsigned
send_all(FcEngine *engine, FcLoad *loads, unsigned peers, unsigned movable)
{
    unsigned share = (movable + peers - 1) / peers, sent = 0;
    unsigned most = share < FC_PASS_MOST ? share : FC_PASS_MOST;

    while (peers > 0) {
        int at = fc_place_blocked(loads, peers);
        FcBatch batch, again;

        collect(engine, &batch, most);
        if (batch.count == 0)
            break;
        again = batch;
        if (fc_batch_send(engine, &batch, loads[at].seat, true)) {
            loads[at].queued += again.count;
            sent += again.count;
            continue;
        }
        loads[at] = loads[--peers];
        for (unsigned i = 0; i < again.count; i++)
            fc_conn_queue(engine, again.conns[i]);
    }
    return sent;
}

FcExport
fc_export(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    unsigned movable, peers, sent = 0;

    sort(engine);
    if (engine->draining)
        fc_engine_housekeep(engine);
    movable = count_movable(engine);
    if (movable > 0 && handover != NULL && (engine->config.balance || engine->draining)) {
        pthread_mutex_lock(&handover->peers.lock);
        peers = fc_peers_look(&handover->peers, false);
        peers = fc_place_free(handover->peers.loads, peers, engine->config.nested);
        if (peers > 0)
            sent = send_all(engine, handover->peers.loads, peers, movable);
        pthread_mutex_unlock(&handover->peers.lock);
        fc_add(&engine->line->exports, sent);
    }
    if (engine->config.nested)
        fc_engine_nudge(engine); /* its loop would not come by itself for what is in here */
    return sent > 0 ? FC_EXPORT_DONE : movable > 0 ? FC_EXPORT_NOBODY : FC_EXPORT_NOTHING;
}

/* The table of connections: made, found, watched, queued, closed. See engine.h and connection.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "connection.h"

#define SHED 16 /* idle connections closed for want of descriptors, at a time */

static bool
add_block(FcEngine *engine)
{
    FcConn *block = NULL;

    if (engine->n_blocks == engine->cap_blocks) {
        unsigned cap = engine->cap_blocks == 0 ? 16 : engine->cap_blocks * 2;
        FcConn **blocks = realloc(engine->blocks, cap * sizeof(FcConn *));

        if (blocks == NULL)
            return false;
        engine->blocks = blocks;
        engine->cap_blocks = cap;
    }
    block = calloc(FC_CONNS_A_BLOCK, sizeof(FcConn));
    if (block == NULL)
        return false;
    for (unsigned i = FC_CONNS_A_BLOCK; i-- > 0;) {
        block[i].index = engine->n_blocks * FC_CONNS_A_BLOCK + i;
        block[i].fd = -1;
        block[i].next = engine->free;
        engine->free = &block[i];
    }
    engine->blocks[engine->n_blocks++] = block;
    return true;
}

FcConn *
fc_conn_adopt(FcEngine *engine, int fd)
{
    FcConn *conn;

    if (engine->free == NULL && !add_block(engine)) {
        close(fd);
        return NULL;
    }
    conn = engine->free;
    engine->free = conn->next;
    conn->fd = fd;
    conn->state = FC_CONN_IDLE;
    conn->hops = 0;
    conn->registered = conn->queued = conn->readable = conn->hung_up = false;
    conn->wants = 0;
    conn->cut_short = conn->keep_alive = conn->head_sent = conn->resets = conn->counted_idle = conn->probe =
        conn->unparsed = false;
    conn->looks = 0;
    conn->served = 0;
    conn->accepted_ns = engine->now;
    conn->buf = NULL;
    conn->gateway = NULL;
    conn->flight = NULL;
    fc_body_init(&conn->body);
    engine->open++;
    fc_store(&engine->line->open, engine->open);
    return conn;
}

void
fc_conn_close(FcEngine *engine, FcConn *conn)
{
    if (conn->fd < 0)
        return;
    fc_conn_land(engine, conn);
    close(conn->fd); /* leaves the epoll set with its last descriptor */
    conn->fd = -1;
    fc_conn_count_idle(engine, conn, false);
    conn->generation++;
    conn->state = FC_CONN_FREE;
    fc_timer_clear(&conn->timer);
    fc_buf_return(engine, conn->buf);
    conn->buf = NULL;
    fc_body_clear(&conn->body);
    fc_output_clear(&conn->out, &engine->spent);
    engine->open--;
    fc_store(&engine->line->open, engine->open);
    if (!conn->queued) { /* else fc_engine_next frees it when it comes to it */
        conn->next = engine->free;
        engine->free = conn;
    }
}

void
fc_conn_queue(FcEngine *engine, FcConn *conn)
{
    if (conn->queued)
        return;
    conn->queued = true;
    conn->next = NULL;
    *engine->ready_tail = conn;
    engine->ready_tail = &conn->next;
}

void
fc_conn_count_idle(FcEngine *engine, FcConn *conn, bool idle)
{
    if (conn->counted_idle == idle)
        return;
    conn->counted_idle = idle;
    engine->idle += idle ? 1 : (unsigned)-1;
    fc_store(&engine->line->idle, engine->idle);
}

FcConn *
fc_conn_next_queued(FcEngine *engine)
{
    FcConn *conn = engine->ready;

    if (conn == NULL)
        return NULL;
    engine->ready = conn->next;
    if (engine->ready == NULL)
        engine->ready_tail = &engine->ready;
    conn->queued = false;
    return conn;
}

void
fc_conn_watch(FcEngine *engine, FcConn *conn, bool room)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};

    /* Who waits for room asks anew each time: the edge may have come while nobody waited. */
    if (conn->registered && !room)
        return;
    if (room)
        event.events |= EPOLLOUT;
    event.data.u64 = (uint64_t)conn->generation << 32 | conn->index;
    /* MOD re-arms the edges, so nothing that is there already is missed. */
    if (epoll_ctl(engine->epoll, conn->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &event) < 0) {
        /* Out of memory or of watches: the deadline will close it. */
        return;
    }
    conn->registered = true;
}

void
fc_conn_unwatch(FcEngine *engine, FcConn *conn)
{
    if (conn->registered)
        epoll_ctl(engine->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->registered = false;
}

/* Close some idle connections to get descriptors back, those that have waited longest first. */
void
fc_engine_shed(FcEngine *engine)
{
    for (unsigned n = 0; n < SHED; n++) {
        FcConn *oldest = NULL;

        for (uint32_t i = 0; i < engine->n_blocks * FC_CONNS_A_BLOCK; i++) {
            FcConn *conn = fc_conn_at(engine, i);

            if (conn->state == FC_CONN_IDLE && !conn->queued &&
                (oldest == NULL || conn->timer.deadline < oldest->timer.deadline))
                oldest = conn;
        }
        if (oldest == NULL)
            return;
        fc_conn_close(engine, oldest);
        fc_add(&engine->line->shed, 1);
    }
}

/* The engine's own life: table of connections, accept, events, deadlines, drain. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "handover.h"

#define DATA_LISTENER   0xffff0000u /* + index, in the low half of epoll data; the high half is 0 */
#define DATA_WAKE       0xfffffffeu
#define DATA_ALARM      0xfffffffdu

#define ACCEPT_PAUSE_NS 100000000ull /* after EMFILE and the like */
#define DRAIN_IDLE_NS   1000000000ull
#define ACCEPT_LEAVING  64   /* connections taken from each accept queue when this worker leaves */
#define ACCEPT_FINAL    4096 /* ... and when the app stops */
#define SHED            16   /* idle connections closed for want of descriptors, at a time */
#define TIMERS_A_TURN   256  /* looked at between two looks at events */

uint64_t
fc_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* -- the table
 * ---------------------------------------------------------------------------------------------------- */

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

/* A connection for fd (owned from now on), or NULL: out of memory, fd is closed. */
static FcConn *
conn_new(FcEngine *engine, int fd)
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
    conn->registered = conn->wants_room = conn->queued = conn->readable = conn->hung_up = false;
    conn->wants = 0;
    conn->keep_alive = conn->head_sent = conn->counted_idle = conn->probe = conn->unparsed = false;
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

FcConn *
fc_conn_adopt(FcEngine *engine, int fd)
{
    return conn_new(engine, fd);
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

static FcConn *
pop_ready(FcEngine *engine)
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

    if (conn->registered && (!room || conn->wants_room))
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
    conn->wants_room = room;
}

void
fc_conn_unwatch(FcEngine *engine, FcConn *conn)
{
    if (conn->registered)
        epoll_ctl(engine->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->registered = conn->wants_room = false;
}

/* -- listeners
 * ---------------------------------------------------------------------------------------------------- */

int
fc_engine_add_listener(FcEngine *engine, int fd)
{
    FcListener *listener = &engine->listeners[engine->n_listeners];
    int one = 1, family = 0;
    socklen_t len = sizeof family;

    if (engine->n_listeners == FC_LISTENERS)
        return -ENOSPC;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
        return -errno;
    listener->fd = fd;
    listener->tcp = family != AF_UNIX;
    listener->polled = false;
    if (listener->tcp) /* inherited by what is accepted: no call per connection */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    engine->n_listeners++;
    return 0;
}

static int
poll_listener(FcEngine *engine, unsigned index)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = DATA_LISTENER + index};
    FcListener *listener = &engine->listeners[index];

    if (listener->polled)
        return 0;
    if (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, listener->fd, &event) < 0)
        return -errno;
    listener->polled = true;
    return 0;
}

int
fc_engine_listen(FcEngine *engine)
{
    if (engine->config.hold)
        return 0;
    for (unsigned i = 0; i < engine->n_listeners && !engine->config.nested; i++) {
        int error = poll_listener(engine, i);

        if (error < 0)
            return error;
    }
    engine->listening = true;
    fc_store(&engine->line->state,
             engine->handover != NULL && engine->handover->full ? FC_STATE_FULL : FC_STATE_READY);
    return engine->handover != NULL ? fc_handover_listen(engine) : 0;
}

/* Go to the end of the queue of those who wait for connections, so that the workers take turns: the kernel
 * wakes the first who waits, which under light load is always the same one. Adding looks at the queue at
 * once: nothing is missed. */
static void
rotate(FcEngine *engine, unsigned index)
{
    FcListener *listener = &engine->listeners[index];

    if (!engine->config.balance || ++listener->accepted % FC_ROTATE != 0 || !listener->polled)
        return;
    epoll_ctl(engine->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->polled = false;
    poll_listener(engine, index);
}

static void
unpoll_listeners(FcEngine *engine)
{
    for (unsigned i = 0; i < engine->n_listeners; i++) {
        if (engine->listeners[i].polled)
            epoll_ctl(engine->epoll, EPOLL_CTL_DEL, engine->listeners[i].fd, NULL);
        engine->listeners[i].polled = false;
    }
}

void
fc_engine_look_away(FcEngine *engine, bool away)
{
    if (engine->config.nested || !engine->listening)
        return;
    if (away)
        unpoll_listeners(engine);
    for (unsigned i = 0; i < engine->n_listeners && !away; i++)
        poll_listener(engine, i);
}

/* Close some idle connections to get descriptors back, those that have waited longest first. */
static void
shed_idle(FcEngine *engine)
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

/* Nothing can be accepted for want of descriptors or memory: look away for a moment instead of spinning. */
static void
pause_accept(FcEngine *engine)
{
    fc_add(&engine->line->accept_errors, 1);
    unpoll_listeners(engine);
    engine->accept_pause_until = engine->now + ACCEPT_PAUSE_NS;
    shed_idle(engine);
}

/* Accept one connection of a listener. NULL: none, or none that could be kept. */
static FcConn *
accept_one(FcEngine *engine, unsigned index)
{
    FcListener *listener = &engine->listeners[index];
    FcPeer peer = {0};
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    FcConn *conn;
    int fd;

    do {
        len = sizeof addr;
        fd = accept4(listener->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accept(engine);
        engine->accept_left = 0;
        return NULL;
    }
    fc_add(&engine->line->accepted, 1);
    rotate(engine, index);
    peer.len = listener->tcp && len <= sizeof peer.v6 ? (uint8_t)len : 0;
    memcpy(&peer.any, &addr, peer.len);
    if (engine->config.balance && engine->handover != NULL &&
        fc_handover_place(engine, fd, index, &peer, fc_load(&engine->line->in_flight)))
        return NULL;
    conn = conn_new(engine, fd);
    if (conn == NULL)
        return NULL;
    conn->listener = (uint8_t)index;
    conn->peer = peer;
    return conn;
}

/* -- life
 * ---------------------------------------------------------------------------------------------------------
 */

/* What an engine needs whose set is watched by another loop. */
static int
make_nested(FcEngine *engine)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA_ALARM};

    engine->ring = calloc(1, sizeof *engine->ring);
    if (engine->ring == NULL)
        return -ENOMEM;
    atomic_store(&engine->ring->asleep, true);
    engine->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (engine->alarm < 0 || epoll_ctl(engine->epoll, EPOLL_CTL_ADD, engine->alarm, &event) < 0)
        return -errno;
    return 0;
}

int
fc_engine_init(FcEngine *engine, const FcConfig *config, FcLine *line)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA_WAKE};
    int error;

    memset(engine, 0, sizeof *engine);
    engine->config = *config;
    engine->line = line;
    engine->epoll = engine->wake = engine->alarm = engine->accept_from = -1;
    atomic_store(&engine->probe, -1);
    fc_flights_init(&engine->flights);
    engine->ready_tail = &engine->ready;
    engine->now = fc_now();
    fc_timers_init(&engine->timers, engine->now);
    engine->scratch = malloc(FC_SCRATCH_SIZE);
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    engine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->scratch == NULL || engine->epoll < 0 || engine->wake < 0 ||
        epoll_ctl(engine->epoll, EPOLL_CTL_ADD, engine->wake, &event) < 0) {
        error = engine->scratch == NULL ? -ENOMEM : -errno;
        fc_engine_free(engine);
        return error;
    }
    if (config->nested && (error = make_nested(engine)) < 0) {
        fc_engine_free(engine);
        return error;
    }
    return 0;
}

void
fc_engine_free(FcEngine *engine)
{
    for (uint32_t i = 0; i < engine->n_blocks * FC_CONNS_A_BLOCK; i++)
        fc_conn_close(engine, fc_conn_at(engine, i));
    for (unsigned i = 0; i < engine->n_blocks; i++)
        free(engine->blocks[i]);
    free(engine->blocks);
    engine->blocks = NULL;
    engine->n_blocks = engine->cap_blocks = 0;
    while (engine->pool != NULL) {
        FcBuf *buf = engine->pool;

        engine->pool = buf->next;
        free(buf);
    }
    fc_flights_free(&engine->flights);
    free(engine->scratch);
    engine->scratch = NULL;
    if (engine->epoll >= 0)
        close(engine->epoll);
    if (engine->wake >= 0)
        close(engine->wake);
    if (engine->alarm >= 0)
        close(engine->alarm);
    engine->epoll = engine->wake = engine->alarm = -1;
    if (atomic_load(&engine->probe) >= 0)
        close(atomic_exchange(&engine->probe, -1));
    while (engine->ring != NULL && atomic_load(&engine->ring->head) != atomic_load(&engine->ring->tail)) {
        close(engine->ring->entries[atomic_load(&engine->ring->head) % FC_RING].fd);
        atomic_fetch_add(&engine->ring->head, 1);
    }
    free(engine->ring);
    engine->ring = NULL;
}

void
fc_engine_command(FcEngine *engine, uint32_t commands)
{
    uint64_t one = 1;
    ssize_t ignored;

    atomic_fetch_or_explicit(&engine->commands, commands, memory_order_release);
    ignored = write(engine->wake, &one, sizeof one); /* full: it is awake */
    (void)ignored;
}

/* Take what waits in the accept queues: a wake-up that was given to us was given to nobody else, and when the
 * whole app stops nobody comes after us. */
static void
accept_rest(FcEngine *engine)
{
    bool final = engine->handover == NULL || engine->handover->final;
    unsigned most = final ? ACCEPT_FINAL : ACCEPT_LEAVING;

    for (unsigned i = 0; i < engine->n_listeners && !engine->config.nested; i++) {
        engine->accept_left = most;
        while (engine->accept_left > 0) {
            FcConn *conn = accept_one(engine, i);

            if (conn != NULL)
                fc_conn_queue(engine, conn);
            if (engine->accept_left > 0) /* accept_one has not found it empty */
                engine->accept_left--;
        }
    }
}

static void
begin_drain(FcEngine *engine)
{
    bool listened = engine->listening;

    if (engine->draining)
        return;
    fc_store(&engine->line->state, FC_STATE_DRAINING);
    engine->draining = true;
    engine->listening = false;
    unpoll_listeners(engine);
    if (listened)
        accept_rest(engine);
    engine->accept_left = 0;
    engine->accept_pause_until = 0;
    engine->drain_idle_until = engine->now + DRAIN_IDLE_NS;
    if (engine->handover != NULL)
        fc_handover_leave(engine);
}

/* Draining, and idle connections have had their time for a last request. */
static void
close_idle(FcEngine *engine)
{
    for (uint32_t i = 0; i < engine->n_blocks * FC_CONNS_A_BLOCK; i++) {
        FcConn *conn = fc_conn_at(engine, i);

        if (conn->state == FC_CONN_IDLE && !conn->queued)
            fc_conn_close(engine, conn);
    }
}

/* The master's question to a worker that does not accept yet. */
static void
take_probe(FcEngine *engine)
{
    int fd = atomic_exchange(&engine->probe, -1);
    FcConn *conn = fd >= 0 ? conn_new(engine, fd) : NULL;

    if (conn == NULL)
        return;
    conn->probe = true;
    conn->listener = 0;
    conn->peer.len = 0;
    fc_conn_queue(engine, conn);
}

static void
obey(FcEngine *engine)
{
    uint32_t commands = atomic_exchange_explicit(&engine->commands, 0, memory_order_acquire);

    if (commands & FC_COMMAND_FINAL && engine->handover != NULL)
        engine->handover->final = true;
    if (commands & FC_COMMAND_DRAIN)
        begin_drain(engine);
    if (commands & FC_COMMAND_SHED)
        shed_idle(engine);
    if (commands & FC_COMMAND_LISTEN && engine->config.hold) {
        engine->config.hold = false;
        if (!engine->draining)
            fc_engine_listen(engine);
    }
    if (commands & FC_COMMAND_PROBE)
        take_probe(engine);
    if (commands & FC_COMMAND_NUDGE && engine->listening) {
        /* Adding looks at the queue at once: what an exclusive wake-up has left stranded is found. */
        unpoll_listeners(engine);
        fc_engine_listen(engine);
    }
}

static bool
ring_is_empty(const FcRing *ring)
{
    return ring == NULL || atomic_load(&ring->head) == atomic_load(&ring->tail);
}

bool
fc_engine_drained(const FcEngine *engine)
{
    return engine->draining && engine->open == 0 && ring_is_empty(engine->ring) &&
           (engine->handover == NULL || engine->handover->shut);
}

FcSegment *
fc_engine_spent(FcEngine *engine)
{
    FcSegment *spent = engine->spent;

    engine->spent = NULL;
    return spent;
}

/* -- the turn
 * ----------------------------------------------------------------------------------------------------- */

/* A deadline has passed. */
static FcLook
time_out(FcEngine *engine, FcConn *conn)
{
    if ((conn->state == FC_CONN_PARKED || conn->state == FC_CONN_FLUSH || conn->wants & FC_WANT_ROOM) &&
        fc_conn_takes(engine, conn))
        return FC_LOOK_WAIT;
    fc_add(&engine->line->timeouts, 1);
    switch ((FcConnState)conn->state) {
    case FC_CONN_HEAD:
    case FC_CONN_BODY:
        conn->begun_ns = engine->now;
        fc_conn_refuse(engine, conn, 408);
        return FC_LOOK_GONE;
    case FC_CONN_PARKED:
        conn->state = FC_CONN_OUT;
        conn->why = FC_WHY_GONE;
        return FC_LOOK_OUT;
    case FC_CONN_FLUSH:
        fc_conn_abort(engine, conn);
        return FC_LOOK_GONE;
    case FC_CONN_OUT: /* the gateway waits for it; a deadline that is for nothing was cleared */
        if (!(conn->wants & (FC_WANT_ROOM | FC_WANT_BODY)))
            return FC_LOOK_WAIT;
        conn->why = conn->wants & FC_WANT_ROOM ? FC_WHY_GONE : FC_WHY_LATE;
        conn->wants = 0;
        return FC_LOOK_OUT;
    case FC_CONN_FREE:
    case FC_CONN_IDLE:
    case FC_CONN_LINGER:
        break;
    }
    fc_conn_close(engine, conn);
    return FC_LOOK_GONE;
}

/* A connection that the gateway keeps has events: give it out if they are what it waits for. */
static FcLook
look_at_kept(FcEngine *engine, FcConn *conn)
{
    if (conn->wants & FC_WANT_ROOM) {
        FcLook look = fc_conn_flush(engine, conn);

        if (look != FC_LOOK_WAIT)
            return look;
    }
    if (conn->wants & FC_WANT_BODY && (conn->readable || conn->hung_up)) {
        conn->wants &= (uint8_t)~FC_WANT_BODY;
        if (!(conn->wants & FC_WANT_ROOM)) /* else the deadline is that of a slow reader */
            fc_timer_clear(&conn->timer);
        conn->why = FC_WHY_BODY;
        return FC_LOOK_OUT;
    }
    if (conn->wants & FC_WANT_GONE && conn->hung_up) {
        conn->wants &= (uint8_t)~FC_WANT_GONE;
        conn->why = FC_WHY_GONE;
        return FC_LOOK_OUT;
    }
    return FC_LOOK_WAIT;
}

/* Look at a connection that has events, or that was queued. */
static FcLook
look_at(FcEngine *engine, FcConn *conn)
{
    switch ((FcConnState)conn->state) {
    case FC_CONN_IDLE:
    case FC_CONN_HEAD:
    case FC_CONN_BODY:
        if (conn->buf != NULL && (conn->state == FC_CONN_IDLE || conn->unparsed)) {
            FcLook look;

            conn->unparsed = false;
            look = fc_conn_advance(engine, conn); /* pipelined bytes, or those its last worker has read */

            if (look != FC_LOOK_WAIT || !(conn->readable || conn->hung_up))
                return look;
        }
        return fc_conn_read(engine, conn);
    case FC_CONN_PARKED:
    case FC_CONN_FLUSH:
        return fc_conn_flush(engine, conn);
    case FC_CONN_LINGER:
        return fc_conn_discard(engine, conn);
    case FC_CONN_OUT:
        return look_at_kept(engine, conn);
    case FC_CONN_FREE:
        break;
    }
    return FC_LOOK_WAIT;
}

/* One fetched event. The connection it belongs to, if that is to be looked at. */
static FcConn *
take_event(FcEngine *engine, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32);
    FcConn *conn;

    if (generation == 0 && index == DATA_WAKE) {
        obey(engine);
        return NULL;
    }
    if (generation == 0 && index == FC_DATA_INBOX) {
        fc_handover_wake(engine);
        return NULL;
    }
    if (generation == 0 && index == DATA_ALARM) {
        engine->alarm_at = 0; /* fc_engine_next looks at the timers anyway; an edge needs no read */
        return NULL;
    }
    if (generation == 0 && index >= DATA_LISTENER) {
        fc_handover_stop_here(engine->handover, FC_STOP_BEFORE_ACCEPT);
        engine->accept_from = (int)(index - DATA_LISTENER);
        engine->accept_left = engine->listening ? engine->config.accept_burst : 0;
        return NULL;
    }
    conn = fc_conn_at(engine, index);
    if (conn->generation != generation || conn->state == FC_CONN_FREE)
        return NULL; /* of a connection that is gone */
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->hung_up = true;
    if (event->events & EPOLLIN)
        conn->readable = true;
    if (event->events & EPOLLOUT || conn->state < FC_CONN_OUT || conn->state == FC_CONN_LINGER ||
        conn->hung_up || conn->wants & FC_WANT_BODY)
        return conn;
    return NULL;
}

/* A connection from the acceptor thread; NULL: none. */
static FcConn *
take_accepted(FcEngine *engine)
{
    FcRing *ring = engine->ring;
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const FcAccepted *accepted = &ring->entries[head % FC_RING];
    FcConn *conn;

    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        /* Say that we look away, then look once more: whoever pushes after this sees it and wakes us. */
        atomic_store(&ring->asleep, true);
        if (head == atomic_load(&ring->tail))
            return NULL;
        atomic_store(&ring->asleep, false);
    }
    conn = conn_new(engine, accepted->fd);
    if (conn != NULL) {
        conn->listener = accepted->listener;
        conn->peer = accepted->peer;
    }
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return conn != NULL ? conn : take_accepted(engine);
}

uint64_t
fc_engine_load(const FcEngine *engine)
{
    uint32_t waiting = atomic_load(&engine->ring->tail) - atomic_load(&engine->ring->head);

    if (waiting > 0 && fc_now() < fc_load(&engine->line->heartbeat_ns) + FC_STUCK_NS)
        waiting = 0;
    return fc_load(&engine->line->in_flight) + waiting;
}

bool
fc_engine_push(FcEngine *engine, const FcAccepted *accepted)
{
    FcRing *ring = engine->ring;
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t one = 1;
    ssize_t ignored;

    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) >= FC_RING)
        return false;
    ring->entries[tail % FC_RING] = *accepted;
    atomic_store(&ring->tail, tail + 1);
    if (atomic_exchange(&ring->asleep, false)) {
        ignored = write(engine->wake, &one, sizeof one);
        (void)ignored;
    }
    return true;
}

bool
fc_engine_busy(const FcEngine *engine)
{
    return engine->event_at < engine->event_end || engine->ready != NULL || engine->accept_left > 0;
}

/* A connection to look at next: queued, with an event, or new. */
static FcConn *
pick(FcEngine *engine)
{
    FcConn *conn;

    for (;;) {
        if (engine->event_at < engine->event_end) {
            conn = take_event(engine, &engine->events[engine->event_at++]);
            if (conn != NULL)
                return conn;
        } else if (engine->accept_left > 0) {
            engine->accept_left--;
            conn = accept_one(engine, (unsigned)engine->accept_from);
            if (conn != NULL)
                return conn;
        } else if (engine->ring != NULL && (conn = take_accepted(engine)) != NULL) {
            return conn;
        } else {
            return pop_ready(engine);
        }
    }
}

static void
housekeeping(FcEngine *engine)
{
    if (engine->accept_pause_until != 0 && engine->now >= engine->accept_pause_until) {
        engine->accept_pause_until = 0;
        if (engine->listening)
            fc_engine_listen(engine);
    }
    if (engine->handover != NULL)
        fc_handover_turn(engine);
    if (engine->draining && engine->drain_idle_until == 0 && engine->idle > 0)
        engine->drain_idle_until =
            engine->now + DRAIN_IDLE_NS; /* who was to move may find that nobody is left */
    if (engine->drain_idle_until == 0 || engine->now < engine->drain_idle_until)
        return;
    engine->drain_idle_until = 0;
    if (engine->handover == NULL || !fc_handover_possible(engine))
        close_idle(engine);
}

FcConn *
fc_engine_next(FcEngine *engine)
{
    unsigned budget = TIMERS_A_TURN;
    FcConn *conn;
    FcTimer *timer;

    while ((conn = pick(engine)) != NULL) {
        if (conn->state == FC_CONN_FREE) { /* closed while it was queued */
            conn->next = engine->free;
            engine->free = conn;
            continue;
        }
        if (look_at(engine, conn) == FC_LOOK_OUT)
            return conn;
    }
    housekeeping(engine);
    while ((timer = fc_timers_expired(&engine->timers, engine->now, &budget)) != NULL) {
        conn = (FcConn *)timer; /* its first member */
        if (time_out(engine, conn) == FC_LOOK_OUT)
            return conn;
    }
    return NULL;
}

/* How long to sleep, in ms, when the caller would sleep for at most timeout_ms. */
static int
sleep_ms(FcEngine *engine, int timeout_ms)
{
    uint64_t until = fc_timers_next(&engine->timers), ms;

    if (engine->handover != NULL && engine->handover->tick_at != 0 && engine->handover->tick_at < until)
        until = engine->handover->tick_at;
    if (engine->accept_pause_until != 0 && engine->accept_pause_until < until)
        until = engine->accept_pause_until;
    if (engine->drain_idle_until != 0 && engine->drain_idle_until < until)
        until = engine->drain_idle_until;
    if (until == UINT64_MAX)
        return timeout_ms;
    ms = until > engine->now ? (until - engine->now) / 1000000 + 1 : 0;
    if (timeout_ms >= 0 && ms > (uint64_t)timeout_ms)
        return timeout_ms;
    return ms < 3600000 ? (int)ms : 3600000;
}

void
fc_engine_rest(FcEngine *engine)
{
    struct itimerspec spec = {{0, 0}, {0, 0}};
    uint64_t at;
    int ms;

    if (!engine->timers.placed && engine->alarm_at != 0 && engine->drain_idle_until == 0 &&
        (engine->handover == NULL || engine->handover->tick_at == 0))
        return;
    engine->timers.placed = false;
    ms = sleep_ms(engine, -1);
    at = ms < 0 ? 0 : engine->now + (uint64_t)ms * 1000000;

    /* A deadline that was pushed back costs one early alarm, not a call per request. */
    if (at == 0 || (engine->alarm_at != 0 && engine->alarm_at <= at))
        return;
    engine->alarm_at = at;
    spec.it_value.tv_sec = (time_t)(at / 1000000000ull);
    spec.it_value.tv_nsec = (long)(at % 1000000000ull);
    timerfd_settime(engine->alarm, TFD_TIMER_ABSTIME, &spec, NULL);
}

int
fc_engine_poll(FcEngine *engine, int timeout_ms)
{
    int n = epoll_wait(engine->epoll, engine->events, FC_EVENTS,
                       timeout_ms == 0 ? 0 : sleep_ms(engine, timeout_ms));
    int error = n < 0 ? errno : 0;

    engine->now = fc_now();
    engine->event_at = 0;
    engine->event_end = n > 0 ? (unsigned)n : 0;
    fc_store(&engine->line->heartbeat_ns, engine->now);
    return n >= 0 ? n : error == EINTR ? 0 : -error;
}

const char *
fc_engine_date(FcEngine *engine, size_t *len)
{
    uint64_t second = (engine->now + engine->wall_offset_ns) / 1000000000ull;
    struct timespec wall;
    struct tm tm;
    time_t seconds;

    if (second != engine->date_second) {
        clock_gettime(CLOCK_REALTIME, &wall);
        engine->wall_offset_ns = (uint64_t)wall.tv_sec * 1000000000ull + (uint64_t)wall.tv_nsec - engine->now;
        engine->date_second = second = (uint64_t)wall.tv_sec;
        seconds = wall.tv_sec;
        gmtime_r(&seconds, &tm);
        engine->date_len =
            (unsigned)strftime(engine->date, sizeof engine->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    *len = engine->date_len;
    return engine->date;
}

/* The engine's own life: events, deadlines, commands, drain. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "handover.h"

#define DRAIN_IDLE_NS 1000000000ull
#define TIMERS_A_TURN 256 /* looked at between two looks at events */

uint64_t
fc_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* -- life
 * ---------------------------------------------------------------------------------------------------------
 */

/* What an engine needs whose set is watched by another loop. */
static int
make_nested(FcEngine *engine)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = FC_DATA_ALARM};

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
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = FC_DATA_WAKE};
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
fc_engine_nudge(FcEngine *engine)
{
    uint64_t one = 1;
    ssize_t ignored = write(engine->wake, &one, sizeof one); /* full: it is awake */

    (void)ignored;
}

void
fc_engine_command(FcEngine *engine, uint32_t commands)
{
    atomic_fetch_or_explicit(&engine->commands, commands, memory_order_release);
    fc_engine_nudge(engine);
}

static void
begin_drain(FcEngine *engine)
{
    bool listened = engine->listening;

    if (engine->draining)
        return;
    engine->draining = true;
    fc_engine_show(engine);
    engine->listening = false;
    fc_engine_unpoll(engine);
    if (listened)
        fc_engine_accept_rest(engine);
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
    FcConn *conn = fd >= 0 ? fc_conn_adopt(engine, fd) : NULL;

    if (conn == NULL)
        return;
    conn->probe = true;
    conn->listener = 0;
    conn->peer.len = 0;
    fc_conn_queue(engine, conn);
}

void
fc_engine_obey(FcEngine *engine)
{
    uint32_t commands = atomic_exchange_explicit(&engine->commands, 0, memory_order_acquire);

    if (commands & FC_COMMAND_FINAL && engine->handover != NULL)
        engine->handover->final = true;
    if (commands & FC_COMMAND_DRAIN)
        begin_drain(engine);
    if (commands & FC_COMMAND_SHED)
        fc_engine_shed(engine);
    if (commands & FC_COMMAND_LISTEN && engine->config.hold) {
        engine->config.hold = false;
        if (!engine->draining)
            fc_engine_listen(engine);
    }
    if (commands & FC_COMMAND_PROBE)
        take_probe(engine);
    if (commands & FC_COMMAND_NUDGE && engine->listening) {
        /* Adding looks at the queue at once: what an exclusive wake-up has left stranded is found. */
        fc_engine_unpoll(engine);
        fc_engine_listen(engine);
    }
}

void
fc_engine_show(FcEngine *engine)
{
    if (engine->draining)
        fc_store(&engine->line->state, FC_STATE_DRAINING);
    else if (engine->listening)
        fc_store(&engine->line->state, engine->handover != NULL && engine->handover->full ? FC_STATE_FULL
                                       : engine->says_busy                                ? FC_STATE_BUSY
                                                                                          : FC_STATE_READY);
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

bool
fc_conn_note(FcConn *conn, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->hung_up = true;
    if (events & EPOLLIN)
        conn->readable = true;
    return events & EPOLLOUT || conn->state < FC_CONN_OUT || conn->state == FC_CONN_LINGER || conn->hung_up ||
           conn->wants & FC_WANT_BODY;
}

/* One fetched event. The connection it belongs to, if that is to be looked at. */
static FcConn *
take_event(FcEngine *engine, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32);
    FcConn *conn;

    if (generation == 0 && index == FC_DATA_WAKE) {
        fc_engine_obey(engine);
        return NULL;
    }
    if (generation == 0 && index == FC_DATA_INBOX) {
        fc_handover_wake(engine);
        return NULL;
    }
    if (generation == 0 && index == FC_DATA_ALARM) {
        engine->alarm_at = 0; /* fc_engine_next looks at the timers anyway; an edge needs no read */
        return NULL;
    }
    if (generation == 0 && index >= FC_DATA_LISTENER) {
        fc_handover_stop_here(engine->handover, FC_STOP_BEFORE_ACCEPT);
        engine->accept_from = (int)(index - FC_DATA_LISTENER);
        engine->accept_left = engine->listening ? engine->config.accept_burst : 0;
        return NULL;
    }
    conn = fc_conn_at(engine, index);
    if (conn->generation != generation || conn->state == FC_CONN_FREE)
        return NULL; /* of a connection that is gone */
    return fc_conn_note(conn, event->events) ? conn : NULL;
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
            conn = fc_engine_accept(engine, (unsigned)engine->accept_from);
            if (conn != NULL)
                return conn;
        } else if (engine->ring != NULL && (conn = fc_engine_take_accepted(engine)) != NULL) {
            return conn;
        } else {
            return fc_conn_next_queued(engine);
        }
    }
}

void
fc_engine_housekeep(FcEngine *engine)
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
    fc_engine_housekeep(engine);
    while ((timer = fc_timers_expired(&engine->timers, engine->now, &budget)) != NULL) {
        conn = (FcConn *)timer; /* its first member */
        if (time_out(engine, conn) == FC_LOOK_OUT)
            return conn;
    }
    return NULL;
}

/* When there is something to do without an event; UINT64_MAX: never. */
static uint64_t
next_due(const FcEngine *engine)
{
    uint64_t until = fc_timers_next(&engine->timers);

    if (engine->handover != NULL && engine->handover->tick_at != 0 && engine->handover->tick_at < until)
        until = engine->handover->tick_at;
    if (engine->accept_pause_until != 0 && engine->accept_pause_until < until)
        until = engine->accept_pause_until;
    if (engine->drain_idle_until != 0 && engine->drain_idle_until < until)
        until = engine->drain_idle_until;
    return until;
}

/* How long to sleep until then, in ms; -1: for ever. */
static int
sleep_ms(const FcEngine *engine, uint64_t until)
{
    uint64_t ms = until > engine->now ? (until - engine->now) / 1000000 + 1 : 0;

    if (until == UINT64_MAX)
        return -1;
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
    ms = sleep_ms(engine, next_due(engine));
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
fc_engine_plan_sleep(FcEngine *engine)
{
    engine->sleep_until = next_due(engine);
    return sleep_ms(engine, engine->sleep_until);
}

int
fc_engine_sleep(FcEngine *engine, int timeout_ms)
{
    int n = epoll_wait(engine->epoll, engine->fetched, FC_EVENTS, timeout_ms);

    if (n > 0)
        atomic_store_explicit(&engine->n_fetched, (unsigned)n, memory_order_release);
    return n >= 0 ? n : errno == EINTR ? 0 : -errno;
}

void
fc_engine_recall(FcEngine *engine)
{
    unsigned n = atomic_load_explicit(&engine->n_fetched, memory_order_acquire);

    if (n == 0)
        return;
    memmove(engine->events, engine->events + engine->event_at,
            (engine->event_end - engine->event_at) * sizeof *engine->events);
    engine->event_end -= engine->event_at;
    engine->event_at = 0;
    memcpy(engine->events + engine->event_end, engine->fetched, n * sizeof *engine->events);
    engine->event_end += n;
    atomic_store_explicit(&engine->n_fetched, 0, memory_order_relaxed);
}

void
fc_engine_wake(FcEngine *engine)
{
    engine->now = fc_now();
    fc_engine_recall(engine);
    fc_store(&engine->line->heartbeat_ns, engine->now);
}

bool
fc_engine_unsettled(FcEngine *engine)
{
    return engine->ready != NULL || engine->event_at < engine->event_end || engine->draining ||
           next_due(engine) < engine->sleep_until;
}

void
fc_engine_set_busy(FcEngine *engine, bool busy)
{
    engine->says_busy = busy;
    fc_engine_show(engine);
}

int
fc_engine_poll(FcEngine *engine)
{
    int n = epoll_wait(engine->epoll, engine->events, FC_EVENTS, 0);
    int error = n < 0 ? errno : 0;

    engine->now = fc_now();
    engine->event_at = 0;
    engine->event_end = n > 0 ? (unsigned)n : 0;
    fc_store(&engine->line->heartbeat_ns, engine->now);
    return n >= 0 ? n : error == EINTR ? 0 : -error;
}

const char *
fc_engine_date(FcEngine *engine, uint64_t now, size_t *len)
{
    uint64_t second = (now + engine->wall_offset_ns) / 1000000000ull;
    struct timespec wall;
    struct tm tm;
    time_t seconds;

    if (second != engine->date_second) {
        clock_gettime(CLOCK_REALTIME, &wall);
        engine->wall_offset_ns = (uint64_t)wall.tv_sec * 1000000000ull + (uint64_t)wall.tv_nsec - now;
        engine->date_second = second = (uint64_t)wall.tv_sec;
        seconds = wall.tv_sec;
        gmtime_r(&seconds, &tm);
        engine->date_len =
            (unsigned)strftime(engine->date, sizeof engine->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    *len = engine->date_len;
    return engine->date;
}

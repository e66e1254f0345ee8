/* A turn of the engine: events, deadlines, sleep. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "connection.h"
#include "departure.h"
#include "handover.h"

#define TIMERS_A_TURN 256        /* looked at between two looks at events */
#define FAIR_NS       1000000ull /* queued connections have their turn for so long, and one at least */

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

/* A connection that the gateway keeps has events: give it out if they are what it waits for. One event may
 * say both that there is room and that something has come, and says so once: FC_WHY_BODY and FC_WHY_GONE are
 * for who waits for room, too. */
static FcLook
look_at_kept(FcEngine *engine, FcConn *conn)
{
    FcLook look = conn->wants & FC_WANT_ROOM ? fc_conn_flush(engine, conn) : FC_LOOK_WAIT;

    if (look == FC_LOOK_OUT && conn->why == FC_WHY_GONE)
        return look;
    if (conn->wants & FC_WANT_BODY && (conn->readable || conn->hung_up)) {
        conn->wants &= (uint8_t)~FC_WANT_BODY;
        fc_conn_rest_stream(engine, conn);
        conn->why = FC_WHY_BODY;
        return FC_LOOK_OUT;
    }
    if (conn->wants & FC_WANT_GONE && conn->hung_up) {
        conn->wants &= (uint8_t)~FC_WANT_GONE;
        conn->why = FC_WHY_GONE;
        return FC_LOOK_OUT;
    }
    return look;
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
            if (engine->ready != NULL && engine->queue_ns == 0)
                engine->queue_ns = fc_now();
            return fc_conn_next_queued(engine);
        }
    }
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
            engine->now + FC_DRAIN_IDLE_NS; /* who was to move may find that nobody is left */
    if (engine->drain_idle_until == 0 || engine->now < engine->drain_idle_until)
        return;
    engine->drain_idle_until = 0;
    if (engine->handover == NULL || !fc_handover_possible(engine))
        close_idle(engine);
}

/* What is due without an event. A connection that its deadline has given back to the gateway; NULL: none. */
static FcConn *
look_at_time(FcEngine *engine)
{
    unsigned budget = TIMERS_A_TURN;
    FcTimer *timer;

    fc_engine_housekeep(engine);
    while ((timer = fc_timers_expired(&engine->timers, engine->now, &budget)) != NULL) {
        FcConn *conn = (FcConn *)timer; /* its first member */

        if (time_out(engine, conn) == FC_LOOK_OUT)
            return conn;
    }
    return NULL;
}

/* Connections that have always more (pipelined requests, a fast upload) are queued again and again: whether
 * it is time to look for others. */
static bool
is_unfair(const FcEngine *engine)
{
    return engine->ready != NULL && engine->queue_ns != 0 && engine->event_at == engine->event_end &&
           engine->accept_left == 0 && fc_now() >= engine->queue_ns + FAIR_NS;
}

FcConn *
fc_engine_next(FcEngine *engine)
{
    FcConn *conn;

    for (;;) {
        if (is_unfair(engine)) {
            fc_engine_poll(engine); /* a failure is the next poll's to tell */
            if ((conn = look_at_time(engine)) != NULL)
                return conn;
        }
        conn = pick(engine);
        if (conn == NULL)
            return look_at_time(engine);
        if (conn->state == FC_CONN_FREE) { /* closed while it was queued */
            conn->next = engine->free;
            engine->free = conn;
            continue;
        }
        if (look_at(engine, conn) == FC_LOOK_OUT)
            return conn;
    }
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
    engine->queue_ns = 0;
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
    engine->queue_ns = 0;
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

/* The engine's own life: its start and end, the commands it obeys, its drain. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "handover.h"

uint64_t
fc_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

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
    engine->drain_idle_until = engine->now + FC_DRAIN_IDLE_NS;
    engine->drain_began = engine->now;
    if (engine->handover != NULL)
        fc_handover_leave(engine);
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
    if (commands & FC_COMMAND_MEET && engine->handover != NULL)
        fc_handover_meet(engine);
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

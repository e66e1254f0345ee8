/* The monitor meets long calls and publishes old flights. See monitor_parts.h, and watch.h for the decisions.
 *
 * What is done with an engine is done with its token, and only when the call that was met still runs once the
 * token is held: a leader comes out of a call with the token only, so until it is given back the loop stays
 * where it is.
 */
#include <poll.h>
#include <time.h>

#include "export.h"
#include "monitor_parts.h"

#define PUBLISH_NS 100000000ull

static uint64_t
cpu_of(const FcServer *server)
{
    struct timespec t;

    if (server == NULL || clock_gettime(server->clock, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* -- looking
 * ------------------------------------------------------------------------------------------------------ */

/* What the loop of a gateway with threads hangs on: the leader's call, or its wait for the GIL. */
static void
glance_at_calls(FcMonitor *monitor, FcGlance *glance)
{
    FcEngine *engine = monitor->engine;
    uint64_t calls = fc_load(&engine->line->calls);
    uint64_t waiting = atomic_load_explicit(&engine->waiting, memory_order_relaxed);

    glance->lively = calls != monitor->calls;
    monitor->calls = calls;
    glance->held = calls % 2 == 0 && waiting % 2 == 1;
    glance->call = calls % 2 == 1 ? calls : glance->held ? ~waiting : 0;
}

/* What an event loop hangs on: it does nothing here, although something waits. */
static void
glance_at_loop(FcMonitor *monitor, FcGlance *glance)
{
    FcEngine *engine = monitor->engine;
    uint64_t turns = atomic_load_explicit(&engine->turns, memory_order_relaxed);
    uint64_t handled = atomic_load_explicit(&engine->handled, memory_order_relaxed);
    bool turned = turns != monitor->turns;

    glance->lively = handled != monitor->handled; /* deadlines alone do not keep us awake */
    monitor->handled = handled;
    monitor->turns = turns;
    if (turned || !fc_token_take(&engine->token, FC_TOKEN_MONITOR))
        return;
    glance->call = fc_export_waits(engine) ? turns + 1 : 0;
    fc_token_give_back(&engine->token);
}

/* -- acting
 * ------------------------------------------------------------------------------------------------------- */

/* With the token: whether the loop still is where it was seen. */
static bool
still_there(const FcMonitor *monitor, const FcGlance *glance)
{
    const FcEngine *engine = monitor->engine;

    if (engine->config.nested)
        return atomic_load_explicit(&engine->turns, memory_order_relaxed) + 1 == glance->call;
    if (glance->held)
        return ~atomic_load_explicit(&engine->waiting, memory_order_relaxed) == glance->call;
    return fc_load(&engine->line->calls) == glance->call;
}

/* Tell the thread that its call is a long one: what it takes from here on, it counts itself. */
static void
tell(const FcWatch *watch, FcServer *server, const FcGlance *glance)
{
    if (server == NULL || glance->held ||
        atomic_load_explicit(&server->met, memory_order_relaxed) == glance->call)
        return;
    atomic_store_explicit(&server->met_ns, watch->since, memory_order_relaxed);
    atomic_store_explicit(&server->met_cpu, watch->cpu_since, memory_order_relaxed);
    atomic_store_explicit(&server->met, glance->call, memory_order_release);
}

/* A loop that is blocked counts nothing: we do. */
static void
count_blocked(FcMonitor *monitor, const FcGlance *glance, bool blocked)
{
    FcLine *line = monitor->engine->line;
    uint64_t wall, cpu;

    if (blocked && monitor->wall == 0) {
        monitor->wall = monitor->watch.since;
        monitor->cpu = monitor->watch.cpu_since;
    }
    if (monitor->wall == 0)
        return;
    wall = glance->now - monitor->wall;
    cpu = glance->cpu - monitor->cpu < wall ? glance->cpu - monitor->cpu : wall;
    fc_add(&line->computed_ns, cpu);
    fc_add(&line->blocked_ns, wall - cpu);
    monitor->wall = blocked ? glance->now : 0;
    monitor->cpu = glance->cpu;
}

static void
summon(FcMonitor *monitor, const FcGlance *glance)
{
    if (monitor->crew == NULL || monitor->watch.summoned_at != 0)
        return;
    if (fc_crew_summon(monitor->crew, glance->call))
        fc_watch_summoned(&monitor->watch, glance->now);
}

/* Something hangs. */
static void
act(FcMonitor *monitor, const FcGlance *glance, FcAdvice advice)
{
    FcEngine *engine = monitor->engine;
    bool alone = monitor->crew == NULL || fc_crew_exhausted(monitor->crew);
    FcExport result;

    if (!fc_token_take(&engine->token, FC_TOKEN_MONITOR))
        return; /* it moves */
    if (!still_there(monitor, glance)) {
        fc_token_give_back(&engine->token);
        return;
    }
    if (glance->now > engine->now)
        engine->now = glance->now; /* deadlines of what is accepted now do not begin with the call */
    fc_store(&engine->line->blocked_at_ns, glance->now);
    result = fc_export(engine);
    if (!engine->says_busy && (advice != FC_ADVICE_WAITING || alone))
        fc_engine_set_busy(engine, true);
    fc_token_give_back(&engine->token);
    if ((advice == FC_ADVICE_WAITING && result != FC_EXPORT_DONE) ||
        (advice == FC_ADVICE_COMPUTING && result == FC_EXPORT_NOBODY))
        summon(monitor, glance);
}

static void
look(FcMonitor *monitor, uint64_t now)
{
    FcEngine *engine = monitor->engine;
    FcServer *leader = atomic_load_explicit(&engine->leader, memory_order_acquire);
    FcGlance glance = {.now = now};
    FcAdvice advice;

    if (engine->config.nested)
        glance_at_loop(monitor, &glance);
    else
        glance_at_calls(monitor, &glance);
    if (glance.call != 0 || monitor->wall != 0)
        glance.cpu = cpu_of(leader);
    advice = fc_watch_look(&monitor->watch, &glance);
    if (engine->config.nested)
        count_blocked(monitor, &glance, advice != FC_ADVICE_NOTHING);
    if (advice == FC_ADVICE_NOTHING)
        return;
    if (!engine->config.nested)
        tell(&monitor->watch, leader, &glance);
    act(monitor, &glance, advice);
}

/* -- the turn
 * ----------------------------------------------------------------------------------------------------- */

void
fc_overseer_wake(FcMonitor *monitor, uint64_t now)
{
    if (monitor->awake)
        return;
    monitor->awake = true;
    monitor->watch.calls_at = now;
    monitor->look_at = fc_watch_next(&monitor->watch, now);
    monitor->publish_at = now + PUBLISH_NS;
}

/* Publish the oldest request in flight; when there is none, and no calls are made, wait to be woken. */
static void
publish(FcMonitor *monitor, uint64_t now)
{
    FcEngine *engine = monitor->engine;
    bool any = fc_flights_publish(&engine->flights, engine->line, now);

    monitor->publish_at = now + PUBLISH_NS;
    if (!any && fc_watch_next(&monitor->watch, now) == 0 && fc_flights_unwatch(&engine->flights))
        monitor->awake = false;
}

void
fc_overseer_turn(FcMonitor *monitor, uint64_t now)
{
    uint64_t due = fc_overseer_next(monitor);

    if (due == 0 || now < due)
        return;
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine == NULL) {
        monitor->awake = false;
    } else {
        look(monitor, now);
        monitor->look_at = fc_watch_next(&monitor->watch, now);
        if (now >= monitor->publish_at)
            publish(monitor, now);
    }
    pthread_mutex_unlock(&monitor->lock);
}

uint64_t
fc_overseer_next(const FcMonitor *monitor)
{
    if (!monitor->awake)
        return 0;
    return monitor->look_at != 0 && monitor->look_at < monitor->publish_at ? monitor->look_at
                                                                           : monitor->publish_at;
}

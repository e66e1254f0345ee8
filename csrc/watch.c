/* See watch.h. */
#include "watch.h"

void
fc_watch_init(FcWatch *watch, uint64_t usual_ns, uint64_t least_ns)
{
    *watch = (FcWatch){.usual_ns = usual_ns, .least_ns = least_ns};
}

static bool
computes(const FcWatch *watch, const FcGlance *glance)
{
    uint64_t wall = glance->now - watch->since, cpu = glance->cpu - watch->cpu_since;

    return cpu * 100 >= wall * FC_WATCH_COMPUTING;
}

FcAdvice
fc_watch_look(FcWatch *watch, const FcGlance *glance)
{
    if (glance->lively || glance->call != 0)
        watch->calls_at = glance->now;
    if (glance->call == 0 || glance->call != watch->call) {
        watch->call = glance->call;
        watch->since = glance->now;
        watch->cpu_since = glance->cpu;
        watch->summoned_at = 0;
        return FC_ADVICE_NOTHING;
    }
    if (glance->now < watch->since + watch->least_ns)
        return FC_ADVICE_NOTHING;
    watch->close_until = glance->now + FC_WATCH_WHILE_NS;
    if (glance->held)
        return FC_ADVICE_HELD;
    if (watch->summoned_at != 0 && glance->now >= watch->summoned_at + FC_WATCH_GIL_NS)
        return FC_ADVICE_HELD;
    return computes(watch, glance) ? FC_ADVICE_COMPUTING : FC_ADVICE_WAITING;
}

void
fc_watch_summoned(FcWatch *watch, uint64_t now)
{
    watch->summoned_at = now;
}

uint64_t
fc_watch_next(const FcWatch *watch, uint64_t now)
{
    uint64_t age = watch->call != 0 ? now - watch->since : 0;
    uint64_t close = age < FC_WATCH_YOUNG_NS ? FC_WATCH_CLOSE_NS : FC_WATCH_LATER_NS;

    if (now < watch->close_until && age < FC_WATCH_WHILE_NS && close < watch->usual_ns)
        return now + close;
    return now < watch->calls_at + FC_WATCH_WHILE_NS ? now + watch->usual_ns : 0;
}

/* See placement.h. */
#include "placement.h"

#define LEAST_DIFFERENCE 2
#define BLOCKED_NS       1000000000ull /* how long a worker that met a long call is offered no idle connections */

FcLoad
fc_load_of(const FcLine *line, uint32_t seat)
{
    uint64_t taken = fc_load(&line->taken), sent = fc_load(&line->sent);

    return (FcLoad){
        .seat = seat,
        .ready = fc_load(&line->state) == FC_STATE_READY,
        .generation = fc_load(&line->generation),
        .in_flight = fc_load(&line->in_flight),
        .idle = fc_load(&line->idle),
        .queued = sent > taken ? sent - taken : 0, /* below zero counts as zero */
        .out = fc_load(&line->threads_out),
        .blocked_ns = fc_load(&line->blocked_at_ns),
    };
}

FcPeerState
fc_peer_state(const FcLine *line, uint32_t epoch)
{
    if (fc_load(&line->epoch) != epoch)
        return FC_PEER_GONE;
    switch ((FcState)fc_load(&line->state)) {
    case FC_STATE_READY:
        return fc_load(&line->stale) == 0 ? FC_PEER_CANDIDATE : FC_PEER_UNABLE;
    case FC_STATE_BOOTING:
        return FC_PEER_STARTING;
    case FC_STATE_BUSY:
        return fc_load(&line->stale) == 0 ? FC_PEER_BUSY : FC_PEER_UNABLE;
    case FC_STATE_FULL:
        return FC_PEER_UNABLE;
    case FC_STATE_EMPTY:
    case FC_STATE_DRAINING:
    case FC_STATE_DEAD:
        break;
    }
    return FC_PEER_GONE;
}

int
fc_place_new(const FcLoad *peers, unsigned count, uint64_t in_flight)
{
    uint64_t best = UINT64_MAX;
    int chosen = -1;

    for (unsigned i = 0; i < count; i++) {
        uint64_t load = peers[i].in_flight + peers[i].queued;

        if (peers[i].ready && load < best) {
            best = load;
            chosen = (int)i;
        }
    }
    return chosen >= 0 && in_flight >= best + LEAST_DIFFERENCE + in_flight / 8 ? chosen : -1;
}

bool
fc_place_held_up(const FcLoad *peer, uint64_t now)
{
    return peer->blocked_ns != 0 && now < peer->blocked_ns + BLOCKED_NS;
}

int
fc_place_idle(const FcLoad *peers, unsigned count, uint64_t idle, uint64_t now)
{
    uint64_t best = UINT64_MAX;
    int chosen = -1;

    for (unsigned i = 0; i < count; i++) {
        uint64_t load = peers[i].idle + peers[i].queued;

        if (peers[i].ready && !fc_place_held_up(&peers[i], now) && load < best) {
            best = load;
            chosen = (int)i;
        }
    }
    return chosen >= 0 && idle >= best + LEAST_DIFFERENCE ? chosen : -1;
}

unsigned
fc_place_free(FcLoad *peers, unsigned count, bool loops)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (peers[i].ready && peers[i].queued == 0 && (loops || peers[i].in_flight <= peers[i].out))
            peers[kept++] = peers[i];
    return kept;
}

int
fc_place_blocked(const FcLoad *peers, unsigned count)
{
    unsigned chosen = 0;

    for (unsigned i = 1; i < count; i++)
        if (peers[i].queued < peers[chosen].queued)
            chosen = i;
    return (int)chosen;
}

/* Whether a is the better place for a connection of a worker of that generation that leaves. */
static bool
is_better(const FcLoad *a, const FcLoad *b, uint64_t generation)
{
    bool a_newer = a->generation > generation, b_newer = b->generation > generation;

    if (a->ready != b->ready)
        return a->ready;
    if (a_newer != b_newer)
        return a_newer;
    return a->idle + a->queued < b->idle + b->queued;
}

int
fc_place_leaving(const FcLoad *peers, unsigned count, uint64_t generation)
{
    int chosen = -1;

    for (unsigned i = 0; i < count; i++)
        if (chosen < 0 || is_better(&peers[i], &peers[chosen], generation))
            chosen = (int)i;
    return chosen;
}

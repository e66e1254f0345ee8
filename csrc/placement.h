/* Which worker should have a connection: pure decisions over the lines of the scoreboard.
 *
 * A decision is made from copies (FcLoad) taken a moment ago; what was sent to a peer and not yet taken
 * counts as its load, so that two workers who look at the same time do not both pick the same one for long.
 * Knows no descriptor and no engine; owns nothing.
 */
#ifndef FC_PLACEMENT_H
#define FC_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "scoreboard.h"

/* What one peer has to do. */
typedef struct FcLoad {
    uint32_t seat;
    bool ready; /* serves at once; else it has only said that it will in a moment, or is in a long call */
    uint64_t generation;
    uint64_t in_flight;  /* requests in its application */
    uint64_t idle;       /* its idle connections */
    uint64_t queued;     /* connections sent to it and not yet taken */
    uint64_t out;        /* its threads in calls that others have taken the loop over from */
    uint64_t blocked_ns; /* when it last met a long call; 0: never */
} FcLoad;

/* A copy of a peer's line. */
FcLoad fc_load_of(const FcLine *line, uint32_t seat);

/* What an owner of a sending end may do with it. */
typedef enum FcPeerState {
    FC_PEER_CANDIDATE, /* connections may be sent to it */
    FC_PEER_STARTING,  /* it is introduced but does not serve yet: only those who must leave send to it */
    FC_PEER_BUSY,      /* it is in a long call: only those who must leave send to it */
    FC_PEER_UNABLE,    /* not now: full, or does not read its inbox */
    FC_PEER_GONE,      /* never again: the seat has another owner or none, or it drains */
} FcPeerState;

/* What the line says of the owner with that epoch. */
FcPeerState fc_peer_state(const FcLine *line, uint32_t epoch);

/* Each gives the index of the chosen peer, or -1: keep the connection. */

/* A new connection for a worker with that many requests in flight. Passed on for a difference that matters: 2
 * and an eighth of ours, so that workers that are all loaded do not play ball. */
int fc_place_new(const FcLoad *peers, unsigned count, uint64_t in_flight);

/* An idle connection of a worker that has that many, this one among them: to the peer with the fewest, for a
 * difference of 2 (then both have the same afterwards). Not to one that has met a long call a moment ago: it
 * would give it away again. */
int fc_place_idle(const FcLoad *peers, unsigned count, uint64_t idle, uint64_t now);

/* Whether a peer has met a long call a moment ago. */
bool fc_place_held_up(const FcLoad *peer, uint64_t now);

/* Keep of the peers those that would answer at once: ready, nothing on its way to them, and a loop that is
 * free (with loops, of ASGI workers, all that do not say that they are busy). How many. */
unsigned fc_place_free(FcLoad *peers, unsigned count, bool loops);
/* A readable connection of a worker that is blocked: of such peers, the one with the fewest on their way; not
 * -1. */
int fc_place_blocked(const FcLoad *peers, unsigned count);

/* A connection of a worker that leaves, of that generation: to the peer with the fewest, one that serves
 * before one that starts or is busy, one of a newer generation before those that may leave next. */
int fc_place_leaving(const FcLoad *peers, unsigned count, uint64_t generation);

#endif

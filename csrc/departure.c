/* See departure.h and handover.h. */
#include "departure.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "batch.h"
#include "connection.h"

#define HELD_UP_NS      250000000ull  /* a peer that is offered nothing now is looked at after this, */
#define HELD_UP_MOST_NS 2000000000ull /* then ever less often, down to this: an idle worker sleeps */
#define HOPE_NS                                                                                              \
    3000000000ull /* of a drain, in which those that can take nothing count: they may in a moment */

/* The connection of a mover, if it still is what it was. */
static FcConn *
find(FcEngine *engine, const FcMover *mover)
{
    FcConn *conn = fc_conn_at(engine, mover->index);

    return conn->generation == mover->generation && fc_batch_takes(conn) ? conn : NULL;
}

/* -- balance
 * ------------------------------------------------------------------------------------------------------ */

/* Decide for each mover in turn, as if those before had moved; chosen: the seat, -1: stays. */
static void
choose(FcEngine *engine, int *chosen, unsigned count)
{
    FcHandover *handover = engine->handover;
    FcLoad *loads = handover->peers.loads;
    unsigned peers = fc_peers_look(&handover->peers, false);
    uint64_t idle = engine->idle;

    for (unsigned i = 0; i < count; i++) {
        FcConn *conn = find(engine, &handover->mover[i]);
        bool may = conn != NULL && conn->counted_idle && conn->hops < FC_PASS_HOPS;
        int at = may ? fc_place_idle(loads, peers, idle, engine->now) : -1;

        chosen[i] = at >= 0 ? (int)loads[at].seat : -1;
        if (at >= 0) {
            loads[at].queued++;
            idle--;
        }
    }
}

/* Send a batch to its better place. Where that has no room now the connections have not been looked at. */
static void
send_over(FcEngine *engine, FcBatch *batch, uint32_t seat)
{
    FcHandover *handover = engine->handover;
    FcBatch tried = *batch;

    if (!handover->refused && fc_batch_send(engine, batch, seat, true))
        return;
    handover->refused = true;
    for (unsigned i = 0; i < tried.count; i++)
        tried.conns[i]->looks -= tried.conns[i]->looks > 0;
}

static void
balance(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    unsigned count = handover->movers;
    int chosen[FC_PASS_MOST];

    choose(engine, chosen, count);
    for (unsigned i = 0; i < count; i++) {
        FcBatch batch = {0};
        int seat = chosen[i];

        if (seat < 0)
            continue;
        for (unsigned j = i; j < count; j++) {
            FcConn *conn = chosen[j] == seat ? find(engine, &handover->mover[j]) : NULL;

            if (conn == NULL || batch.bytes + fc_batch_unread(conn) > FC_BATCH_UNREAD)
                continue;
            batch.conns[batch.count++] = conn;
            batch.bytes += fc_batch_unread(conn);
            chosen[j] = -1;
        }
        if (batch.count > 0)
            send_over(engine, &batch, (uint32_t)seat);
    }
}

/* -- leaving
 * ------------------------------------------------------------------------------------------------------ */

/* Send a batch to whoever can take it. *peers falls by those who cannot; at 0 nobody is left and the batch
 * stays. */
static void
send_away(FcEngine *engine, FcBatch *batch, unsigned *peers)
{
    FcLoad *loads = engine->handover->peers.loads;
    uint64_t generation = fc_load(&engine->line->generation);
    FcBatch again = *batch;

    while (batch->count > 0 && *peers > 0) {
        int at = fc_place_leaving(loads, *peers, generation);

        loads[at].queued += batch->count;
        if (fc_batch_send(engine, batch, loads[at].seat, false))
            return;
        loads[at] = loads[--*peers];
        *batch = again;
    }
    batch->count = 0;
}

static void
add_leaving(FcEngine *engine, FcBatch *batch, FcConn *conn, unsigned most, unsigned *peers)
{
    if (batch->bytes + fc_batch_unread(conn) > FC_BATCH_UNREAD)
        send_away(engine, batch, peers);
    batch->conns[batch->count++] = conn;
    batch->bytes += fc_batch_unread(conn);
    if (batch->count >= most)
        send_away(engine, batch, peers);
}

void
fc_departure_all(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    FcBatch batch = {0};
    unsigned peers, most;

    if (handover->final || engine->open == 0)
        return;
    pthread_mutex_lock(&handover->peers.lock);
    peers = fc_peers_look(&handover->peers, true);
    /* Small batches while they are few, so that they are spread. */
    most = peers > 0 && engine->open / peers < FC_PASS_MOST ? engine->open / peers + 1 : FC_PASS_MOST;
    for (uint32_t i = 0; peers > 0 && i < engine->n_blocks * FC_CONNS_A_BLOCK; i++)
        if (fc_batch_takes(fc_conn_at(engine, i)))
            add_leaving(engine, &batch, fc_conn_at(engine, i), most, &peers);
    send_away(engine, &batch, &peers);
    pthread_mutex_unlock(&handover->peers.lock);
}

static void
leave(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    FcBatch batch = {0};
    unsigned peers = fc_peers_look(&handover->peers, true);

    for (unsigned i = 0; i < handover->movers; i++) {
        FcConn *conn = find(engine, &handover->mover[i]);

        if (conn != NULL)
            add_leaving(engine, &batch, conn, FC_PASS_MOST, &peers);
    }
    send_away(engine, &batch, &peers);
}

/* -- the doors
 * ---------------------------------------------------------------------------------------------------- */

void
fc_departure_flush(FcEngine *engine)
{
    FcHandover *handover = engine->handover;

    pthread_mutex_lock(&handover->peers.lock);
    if (engine->draining)
        leave(engine);
    else
        balance(engine);
    pthread_mutex_unlock(&handover->peers.lock);
    handover->movers = 0;
}

/* To be moved at the end of the turn. */
static void
add_mover(FcEngine *engine, FcConn *conn)
{
    FcHandover *handover = engine->handover;

    for (unsigned i = 0; i < handover->movers; i++)
        if (handover->mover[i].index == conn->index && handover->mover[i].generation == conn->generation)
            return; /* idle for the second time this turn: to be sent once */
    if (handover->movers == FC_PASS_MOST)
        fc_departure_flush(engine);
    handover->mover[handover->movers++] = (FcMover){.index = conn->index, .generation = conn->generation};
}

void
fc_handover_consider(FcEngine *engine, FcConn *conn)
{
    FcHandover *handover = engine->handover;

    if (engine->draining && !handover->final)
        add_mover(engine, conn);
    if (!engine->draining && engine->config.balance && handover->tick_at == 0)
        handover->tick_at = engine->now + FC_SETTLED_NS;
}

void
fc_handover_meet(FcEngine *engine)
{
    if (engine->draining || !engine->config.balance)
        return;
    for (uint32_t i = 0; i < engine->n_blocks * FC_CONNS_A_BLOCK; i++)
        fc_conn_at(engine, i)->looks = fc_conn_at(engine, i)->hops = 0;
    engine->handover->waited_ns = 0;
    engine->handover->tick_at = engine->now + FC_SETTLED_NS;
}

static bool
has_peer_held_up(FcEngine *engine)
{
    FcPeers *peers = &engine->handover->peers;
    bool held_up;

    pthread_mutex_lock(&peers->lock);
    held_up = fc_peers_held_up(peers, engine->now);
    pthread_mutex_unlock(&peers->lock);
    return held_up;
}

/* How long to wait for the next look. */
static uint64_t
next_wait(FcHandover *handover, bool held_up)
{
    uint64_t most = handover->full ? HELD_UP_NS : HELD_UP_MOST_NS, wait = 2 * handover->waited_ns;

    if (!held_up)
        wait = FC_SETTLED_NS;
    else if (wait < HELD_UP_NS)
        wait = HELD_UP_NS;
    else if (wait > most)
        wait = most;
    handover->waited_ns = wait;
    return wait;
}

void
fc_departure_settled(FcEngine *engine)
{
    FcHandover *handover = engine->handover;
    bool more = false, held_up = has_peer_held_up(engine);

    handover->refused = false;
    for (uint32_t i = 0; i < engine->n_blocks * FC_CONNS_A_BLOCK; i++) {
        FcConn *conn = fc_conn_at(engine, i);

        if (conn->looks >= FC_LOOKS || !conn->counted_idle || conn->hops >= FC_PASS_HOPS)
            continue;
        if (engine->now < conn->accepted_ns + FC_SETTLED_NS) {
            more = true;
            continue;
        }
        conn->looks += !held_up; /* a peer that is not offered any now may be the right one in a moment */
        more = more || conn->looks < FC_LOOKS;
        if (engine->idle >= 2) /* else no difference would matter */
            add_mover(engine, conn);
    }
    if (handover->movers > 0)
        fc_departure_flush(engine);
    if (more || handover->refused)
        handover->tick_at = engine->now + next_wait(handover, held_up);
}

bool
fc_departure_has_peer(FcEngine *engine)
{
    FcPeers *peers = &engine->handover->peers;
    unsigned count;

    pthread_mutex_lock(&peers->lock);
    count = fc_peers_look(peers, false);
    pthread_mutex_unlock(&peers->lock);
    return count > 0;
}

bool
fc_handover_possible(FcEngine *engine)
{
    FcPeers *peers = &engine->handover->peers;
    bool hopeful = fc_now() < engine->drain_began + HOPE_NS, found;

    pthread_mutex_lock(&peers->lock);
    found = hopeful ? fc_peers_live(peers) : fc_peers_look(peers, true) > 0;
    pthread_mutex_unlock(&peers->lock);
    return found && !engine->handover->final;
}

bool
fc_handover_may_accept(FcEngine *engine)
{
    return fc_load(&engine->line->state) != FC_STATE_FULL || !fc_departure_has_peer(engine);
}

bool
fc_handover_place(FcEngine *engine, int fd, unsigned listener, const FcPeer *peer, uint64_t in_flight)
{
    FcPeers *peers = &engine->handover->peers;
    FcPassed passed = {
        .fd = fd, .listener = (uint16_t)listener, .hops = 1, .addr_len = peer->len, .accepted_ns = fc_now()};
    int at;
    bool sent = false;

    if (in_flight < 2) /* no difference would matter */
        return false;
    memcpy(passed.addr, &peer->any, peer->len);
    pthread_mutex_lock(&peers->lock);
    at = fc_place_new(peers->loads, fc_peers_look(peers, false), in_flight);
    if (at >= 0)
        sent = fc_peers_send(peers, peers->loads[at].seat, &passed, 1) == FC_PASS_OK;
    pthread_mutex_unlock(&peers->lock);
    if (!sent)
        return false;
    close(fd);
    fc_add_shared(&engine->line->handed_out, 1);
    return true;
}

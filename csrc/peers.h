/* The peers of a worker: sending ends of their inboxes, by (seat, epoch).
 *
 * The master introduces them over the channel (PEER), so the monitor adds; the engine's thread sends, and in
 * a nested engine the monitor sends, too. All three go through one lock, held for a look at the board and one
 * sendmsg that does not block, never while waiting for anything else (the GIL, the engine token, sleep): so a
 * worker whose Python is stuck still learns of its peers, and there is no order of locks to keep but monitor
 * before peers.
 *
 * An end is owned by the table. It is dropped when the board says that the seat has another owner, or none
 * that takes connections again, and when its inbox is found shut.
 */
#ifndef FC_PEERS_H
#define FC_PEERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fdpass.h"
#include "placement.h"
#include "scoreboard.h"

typedef struct FcPeerEnd {
    uint32_t epoch;
    int fd;
} FcPeerEnd;

typedef struct FcPeers {
    pthread_mutex_t lock;         /* of all below */
    const FcBoard *board;         /* borrowed */
    uint64_t held[FC_SEATS / 64]; /* a bit for each seat whose end is in ends */
    FcPeerEnd ends[FC_SEATS];
    FcLoad loads[FC_SEATS]; /* of the present candidates */
} FcPeers;

void fc_peers_init(FcPeers *peers, const FcBoard *board);
void fc_peers_free(FcPeers *peers); /* closes all ends; nobody else uses the table any more */
/* In a child that was forked in the middle of whatever: close all ends, without the lock. */
void fc_peers_close_inherited(FcPeers *peers);

/* Learn of a peer. fd is stolen. */
void fc_peers_add(FcPeers *peers, uint32_t seat, uint32_t epoch, int fd);

/* Copy what the candidates have to do into peers->loads; leaving: those that start or are busy, too. Their
 * number. The lock is held. */
unsigned fc_peers_look(FcPeers *peers, bool leaving);
/* Whether there is one that takes connections, or may in a moment. The lock is held. */
bool fc_peers_live(const FcPeers *peers);
/* Whether one of them is offered no idle connections now, but may be in a moment: it does not serve yet,
 * cannot take any, or has met a long call. */
bool fc_peers_held_up(FcPeers *peers, uint64_t now);

/* Send connections to the peer in that seat, which a look has just shown; sent is raised before. All or none.
 * The lock is held. */
FcPassResult fc_peers_send(FcPeers *peers, uint32_t seat, const FcPassed *connections, unsigned count);

#endif

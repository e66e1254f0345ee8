/* Connections on the move between workers: the inbox of this one, what is passed to peers, and the drain.
 *
 * A connection between two requests is a descriptor, an address, unread bytes and deadlines, so any worker
 * can go on with it. It moves when it is new and a peer has fewer requests in flight, when it has stayed for
 * a moment and a peer has fewer idle ones, and when this worker leaves. There are no acknowledgements: a
 * sender that cannot send keeps the connection and serves it; a receiver reads its inbox only while it has
 * descriptors for all that a message can bring.
 *
 * All calls are the engine thread's (whoever holds the engine token) but those that say otherwise: these
 * touch the table of peers only, which has its own lock. Knows the engine's connections, the peers and the
 * board; must not know Python.
 */
#ifndef FC_HANDOVER_H
#define FC_HANDOVER_H

#include "engine.h"
#include "peers.h"

#define FC_SETTLED_NS  50000000ull /* a connection that stays so long is worth a look where it should be */
#define FC_LOOKS       3 /* so often: others decide at the same time, and what they do is seen a moment later */
#define FC_SPARE_LEAST 32 /* free descriptors without which the inbox is not read */

/* Where a test may have the process stop itself (SIGSTOP), once: FORKCLUSTER_STOP_AT=name, or name@SLOT.EPOCH
 * or name@SLOT.EPOCH.GENERATION for one worker only. */
typedef enum FcStop {
    FC_STOP_NOWHERE,
    FC_STOP_BEFORE_SEND,    /* handover-before-send */
    FC_STOP_AFTER_SEND,     /* handover-after-send: our copies are still open */
    FC_STOP_BEFORE_RECEIVE, /* inbox-before-receive */
    FC_STOP_AFTER_RECEIVE,  /* inbox-after-receive */
    FC_STOP_BEFORE_ACCEPT,  /* accept-before: woken for a connection that is still in the accept queue */
} FcStop;

/* A connection that is to move at the end of the turn. */
typedef struct FcMover {
    uint32_t index, generation;
} FcMover;

typedef struct FcHandover {
    FcPeers peers;
    int inbox;          /* borrowed; -1: none */
    bool polled;        /* the inbox is in the epoll set */
    bool shut;          /* the inbox was read to its end: nothing can come any more */
    bool full;          /* short of descriptors */
    _Atomic bool final; /* the whole app stops: nobody to hand over to; set once, T; read by G, too */
    FcStop stop_at;
    uint64_t tick_at;                   /* when to try again; 0: nothing to try */
    uint64_t waited_ns;                 /* between the last two looks for better places */
    bool refused;                       /* at this look a peer had no room in its inbox */
    uint64_t counted_at, counted_spare; /* descriptors: when they were counted, how many were free */
    unsigned counted_open;              /* connections at that time */
    unsigned movers;
    FcMover mover[FC_PASS_MOST];
} FcHandover;

/* Make it; NULL: out of memory. board, our line and inbox (-1: none) are borrowed. */
FcHandover *fc_handover_new(const FcBoard *board, const FcLine *line, int inbox);
void fc_handover_free(FcHandover *handover); /* NULL is fine */

/* Stop this process here if a test has asked for it. */
void fc_handover_stop_here(FcHandover *handover, FcStop point);

/* Begin to read the inbox. 0 or -errno. */
int fc_handover_listen(FcEngine *engine);
/* Read the inbox until it is empty. */
void fc_handover_receive(FcEngine *engine);
/* The same, on its event. */
void fc_handover_wake(FcEngine *engine);

/* A connection is idle that has not found its worker yet, or while draining: perhaps it is to move. */
void fc_handover_consider(FcEngine *engine, FcConn *conn);
/* There is a peer more: what has found its worker looks again, however often it was moved. */
void fc_handover_meet(FcEngine *engine);
/* The end of a turn: move what is to move, try again what could not be done. */
void fc_handover_turn(FcEngine *engine);

/* Begin to leave: the inbox is shut and read to its end, everything that can move does. */
void fc_handover_leave(FcEngine *engine);
/* Whether a leaving worker may still find a home for a connection that stays open: also with a peer that can
 * take none at the moment. */
bool fc_handover_possible(FcEngine *engine);

/* Whether this worker should accept: not while it is short of descriptors and a peer is not. The acceptor's
 * thread. */
bool fc_handover_may_accept(FcEngine *engine);

/* Pass a new connection to a peer that has less to do than in_flight requests. True: done, fd is closed. The
 * acceptor's thread. */
bool fc_handover_place(FcEngine *engine, int fd, unsigned listener, const FcPeer *peer, uint64_t in_flight);

#endif

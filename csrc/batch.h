/* Connections on their way to a peer, in one message. For the files of the hand-over.
 *
 * The order of a hand-over: out of our epoll set, then sent, then our copy is closed. Out of the set first,
 * because the entry belongs to the open file, which lives on in the peer; close and never shutdown, for the
 * same reason. What cannot be sent goes back into the set, which reports again what is there.
 */
#ifndef FC_BATCH_H
#define FC_BATCH_H

#include "handover.h"

typedef struct FcBatch {
    unsigned count;
    size_t bytes; /* of unread bytes */
    FcConn *conns[FC_PASS_MOST];
} FcBatch;

/* Bytes of a message that records and head leave for unread bytes. */
#define FC_BATCH_UNREAD (FC_PASS_BYTES - FC_PASS_MOST * sizeof(FcPassed) - 64)

/* Whether a connection can move: between two requests, with nothing of an answer left and no more unread
 * bytes than may travel. */
bool fc_batch_takes(const FcConn *conn);
/* Its unread bytes. */
size_t fc_batch_unread(const FcConn *conn);

/* Send a batch to the peer in that seat; the batch is empty afterwards. counts: as a hop of these
 * connections. What leaves with its worker does not count: it goes one way, and an idle connection may see
 * many reloads. False: they stay. The lock of the peers is held. T. */
bool fc_batch_send(FcEngine *engine, FcBatch *batch, uint32_t seat, bool counts);

#endif

/* See batch.h. */
#include "batch.h"

#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "departure.h"

size_t
fc_batch_unread(const FcConn *conn)
{
    return conn->buf != NULL ? conn->buf->len : 0;
}

bool
fc_batch_takes(const FcConn *conn)
{
    return conn->fd >= 0 && (conn->state == FC_CONN_IDLE || conn->state == FC_CONN_HEAD) && !conn->hung_up &&
           !conn->probe && fc_batch_unread(conn) <= FC_PASS_UNREAD && fc_output_empty(&conn->out);
}

static FcPassed
describe(const FcConn *conn, bool counts)
{
    FcPassed passed = {
        .fd = conn->fd,
        .listener = conn->listener,
        .hops = (uint8_t)(conn->hops + counts),
        .addr_len = conn->peer.len,
        .served = conn->served,
        .deadline_ns = conn->timer.deadline,
        .accepted_ns = conn->accepted_ns,
        .unread_len = (uint32_t)fc_batch_unread(conn),
        .unread = conn->buf != NULL ? conn->buf->data : NULL,
    };

    memcpy(passed.addr, &conn->peer.any, conn->peer.len);
    return passed;
}

bool
fc_batch_send(FcEngine *engine, FcBatch *batch, uint32_t seat, bool counts)
{
    FcHandover *handover = engine->handover;
    FcPassed passed[FC_PASS_MOST];
    FcPassResult result;
    unsigned count = batch->count;

    batch->count = 0;
    batch->bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        passed[i] = describe(batch->conns[i], counts);
        fc_conn_unwatch(engine, batch->conns[i]);
    }
    fc_handover_stop_here(handover, FC_STOP_BEFORE_SEND);
    result = fc_peers_send(&handover->peers, seat, passed, count);
    if (result == FC_PASS_OK) {
        fc_handover_stop_here(handover, FC_STOP_AFTER_SEND);
        fc_add_shared(&engine->line->handed_out, count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (result == FC_PASS_OK)
            fc_conn_close(engine, batch->conns[i]);
        else
            fc_conn_watch(engine, batch->conns[i], false);
    }
    return result == FC_PASS_OK;
}

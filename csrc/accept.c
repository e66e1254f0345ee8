/* How connections come: from the listeners, and from the acceptor's thread through the ring. See engine.h and
 * connection.h. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "connection.h"
#include "departure.h"
#include "handover.h"

#define ACCEPT_PAUSE_NS 100000000ull /* after EMFILE and the like */
#define ACCEPT_LEAVING  64           /* connections taken from each accept queue when this worker leaves */
#define ACCEPT_FINAL    4096         /* ... and when the app stops */

int
fc_engine_add_listener(FcEngine *engine, int fd)
{
    FcListener *listener = &engine->listeners[engine->n_listeners];
    int one = 1, family = 0;
    socklen_t len = sizeof family;

    if (engine->n_listeners == FC_LISTENERS)
        return -ENOSPC;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
        return -errno;
    listener->fd = fd;
    listener->tcp = family != AF_UNIX;
    listener->polled = false;
    if (listener->tcp) /* inherited by what is accepted: no call per connection */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    engine->n_listeners++;
    return 0;
}

static int
poll_listener(FcEngine *engine, unsigned index)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = FC_DATA_LISTENER + index};
    FcListener *listener = &engine->listeners[index];

    if (listener->polled)
        return 0;
    if (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, listener->fd, &event) < 0)
        return -errno;
    listener->polled = true;
    return 0;
}

int
fc_engine_listen(FcEngine *engine)
{
    if (engine->config.hold)
        return 0;
    for (unsigned i = 0; i < engine->n_listeners && !engine->config.nested; i++) {
        int error = poll_listener(engine, i);

        if (error < 0)
            return error;
    }
    engine->listening = true;
    fc_engine_show(engine);
    return engine->handover != NULL ? fc_handover_listen(engine) : 0;
}

/* Go to the end of the queue of those who wait for connections, so that the workers take turns: the kernel
 * wakes the first who waits, which under light load is always the same one. Adding looks at the queue at
 * once: nothing is missed. */
static void
rotate(FcEngine *engine, unsigned index)
{
    FcListener *listener = &engine->listeners[index];

    if (!engine->config.balance || ++listener->accepted % FC_ROTATE != 0 || !listener->polled)
        return;
    if (engine->handover == NULL || !fc_departure_has_peer(engine))
        return; /* nobody to take turns with */
    epoll_ctl(engine->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->polled = false;
    poll_listener(engine, index);
}

void
fc_engine_unpoll(FcEngine *engine)
{
    for (unsigned i = 0; i < engine->n_listeners; i++) {
        if (engine->listeners[i].polled)
            epoll_ctl(engine->epoll, EPOLL_CTL_DEL, engine->listeners[i].fd, NULL);
        engine->listeners[i].polled = false;
    }
}

void
fc_engine_look_away(FcEngine *engine, bool away)
{
    if (engine->config.nested || !engine->listening)
        return;
    if (away)
        fc_engine_unpoll(engine);
    for (unsigned i = 0; i < engine->n_listeners && !away; i++)
        poll_listener(engine, i);
}

/* Nothing can be accepted for want of descriptors or memory: look away for a moment instead of spinning. */
static void
pause_accept(FcEngine *engine)
{
    fc_add(&engine->line->accept_errors, 1);
    fc_engine_unpoll(engine);
    engine->accept_pause_until = engine->now + ACCEPT_PAUSE_NS;
    fc_engine_shed(engine);
}

FcConn *
fc_engine_accept(FcEngine *engine, unsigned index)
{
    FcListener *listener = &engine->listeners[index];
    FcPeer peer = {0};
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    FcConn *conn;
    int fd;

    do {
        len = sizeof addr;
        fd = accept4(listener->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accept(engine);
        engine->accept_left = 0;
        return NULL;
    }
    fc_add(&engine->line->accepted, 1);
    rotate(engine, index);
    peer.len = listener->tcp && len <= sizeof peer.v6 ? (uint8_t)len : 0;
    memcpy(&peer.any, &addr, peer.len);
    if (engine->config.balance && engine->handover != NULL &&
        fc_handover_place(engine, fd, index, &peer, fc_load(&engine->line->in_flight)))
        return NULL;
    conn = fc_conn_adopt(engine, fd);
    if (conn == NULL)
        return NULL;
    conn->listener = (uint8_t)index;
    conn->peer = peer;
    return conn;
}

void
fc_engine_accept_rest(FcEngine *engine)
{
    bool final = engine->handover == NULL || engine->handover->final;
    unsigned most = final ? ACCEPT_FINAL : ACCEPT_LEAVING;

    for (unsigned i = 0; i < engine->n_listeners && !engine->config.nested; i++) {
        engine->accept_left = most;
        while (engine->accept_left > 0) {
            FcConn *conn = fc_engine_accept(engine, i);

            if (conn != NULL)
                fc_conn_queue(engine, conn);
            if (engine->accept_left > 0) /* fc_engine_accept has not found it empty */
                engine->accept_left--;
        }
        fc_engine_close_listener(engine, i);
    }
}

void
fc_engine_close_listener(FcEngine *engine, unsigned index)
{
    if (engine->listeners[index].fd >= 0)
        close(engine->listeners[index].fd);
    engine->listeners[index].fd = -1;
}

/* -- the ring
 * ------------------------------------------------------------------------------------------------------ */

FcConn *
fc_engine_take_accepted(FcEngine *engine)
{
    FcRing *ring = engine->ring;
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const FcAccepted *accepted = &ring->entries[head % FC_RING];
    FcConn *conn;

    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        /* Say that we look away, then look once more: whoever pushes after this sees it and wakes us. */
        atomic_store(&ring->asleep, true);
        if (head == atomic_load(&ring->tail))
            return NULL;
        atomic_store(&ring->asleep, false);
    }
    conn = fc_conn_adopt(engine, accepted->fd);
    if (conn != NULL) {
        conn->listener = accepted->listener;
        conn->peer = accepted->peer;
    }
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return conn != NULL ? conn : fc_engine_take_accepted(engine);
}

uint64_t
fc_engine_load(const FcEngine *engine)
{
    uint32_t waiting = atomic_load(&engine->ring->tail) - atomic_load(&engine->ring->head);

    if (waiting > 0 && fc_now() < fc_load(&engine->line->heartbeat_ns) + FC_STUCK_NS)
        waiting = 0;
    return fc_load(&engine->line->in_flight) + waiting;
}

bool
fc_engine_push(FcEngine *engine, const FcAccepted *accepted)
{
    FcRing *ring = engine->ring;
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t one = 1;
    ssize_t ignored;

    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) >= FC_RING)
        return false;
    ring->entries[tail % FC_RING] = *accepted;
    atomic_store(&ring->tail, tail + 1);
    if (atomic_exchange(&ring->asleep, false)) {
        ignored = write(engine->wake, &one, sizeof one);
        (void)ignored;
    }
    return true;
}

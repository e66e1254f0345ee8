/* The acceptor of a nested engine, on the monitor's thread: an exclusive wake-up does not reach through a
 * nested epoll set. See monitor_parts.h. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "connection.h"
#include "handover.h"
#include "monitor_parts.h"

#define ACCEPT_BURST    4        /* connections taken at one wake-up: the others are for our peers */
#define ACCEPT_RETRY_NS 20000000 /* after a full ring or a lack of descriptors */

static void
poll_listeners(FcMonitor *monitor, bool poll)
{
    pthread_mutex_lock(&monitor->lock);
    for (unsigned i = 0; monitor->engine != NULL && i < monitor->engine->n_listeners; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = i};

        epoll_ctl(monitor->epoll, poll ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, monitor->engine->listeners[i].fd,
                  &event);
        monitor->listeners = i + 1;
    }
    monitor->accepting = poll;
    pthread_mutex_unlock(&monitor->lock);
}

static void
pause_accepting(FcMonitor *monitor)
{
    poll_listeners(monitor, false);
    monitor->accept_at = fc_now() + ACCEPT_RETRY_NS;
}

/* One connection from the listener to the engine. False: no more for now. */
static bool
accept_one(FcEngine *engine, uint8_t index, bool *pause)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    FcAccepted accepted = {.listener = index};

    do {
        accepted.fd = accept4(engine->listeners[index].fd, (struct sockaddr *)&addr, &len,
                              SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (accepted.fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (accepted.fd < 0) {
        *pause = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        if (*pause) {
            atomic_fetch_add_explicit(&engine->line->accept_errors, 1, memory_order_relaxed);
            fc_engine_command(engine, FC_COMMAND_SHED);
        }
        return false;
    }
    if (engine->listeners[index].tcp && len <= sizeof accepted.peer.v6) {
        accepted.peer.len = (uint8_t)len;
        memcpy(&accepted.peer.any, &addr, len);
    }
    fc_add(&engine->line->accepted, 1);
    if (engine->config.balance && engine->handover != NULL &&
        fc_handover_place(engine, accepted.fd, index, &accepted.peer, fc_engine_load(engine)))
        return true;
    if (fc_engine_push(engine, &accepted))
        return true;
    close(accepted.fd); /* the caller looks for room before it accepts: not reached */
    *pause = true;
    return false;
}

/* After some connections the others go first: see rotate() in engine.c. The lock is held. */
static void
rotate(FcMonitor *monitor, uint8_t index)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = index};
    FcListener *listener = &monitor->engine->listeners[index];

    if (!monitor->engine->config.balance || !monitor->accepting || ++listener->accepted % FC_ROTATE != 0)
        return;
    epoll_ctl(monitor->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
    epoll_ctl(monitor->epoll, EPOLL_CTL_ADD, listener->fd, &event);
}

/* Accept up to most connections of a listener. False: not now, for want of room or descriptors. */
static bool
accept_some(FcMonitor *monitor, uint8_t index, int most)
{
    bool pause = false;

    pthread_mutex_lock(&monitor->lock);
    for (int i = 0; i < most && monitor->engine != NULL; i++) {
        if (!fc_engine_has_room(monitor->engine) ||
            (monitor->engine->handover != NULL && !fc_handover_may_accept(monitor->engine))) {
            pause = true;
            break;
        }
        if (!accept_one(monitor->engine, index, &pause))
            break;
        rotate(monitor, index);
    }
    pthread_mutex_unlock(&monitor->lock);
    return !pause;
}

/* Take what waits in each accept queue, then close the listener; a full ring is waited for. */
static void
close_listeners(FcMonitor *monitor)
{
    monitor->accept_at = 0;
    for (unsigned i = 0; i < FC_LISTENERS && i < monitor->listeners; i++) {
        if (!accept_some(monitor, (uint8_t)i, FC_RING)) {
            monitor->accept_at = fc_now() + ACCEPT_RETRY_NS;
            continue;
        }
        pthread_mutex_lock(&monitor->lock);
        if (monitor->engine != NULL)
            fc_engine_close_listener(monitor->engine, i);
        pthread_mutex_unlock(&monitor->lock);
    }
}

void
fc_acceptor_stop(FcMonitor *monitor)
{
    bool accepted = monitor->accepting || monitor->accept_at != 0;

    monitor->accept_at = 0;
    atomic_store(&monitor->accept_wanted, false);
    if (!accepted)
        return;
    monitor->closing = true;
    if (monitor->accepting)
        poll_listeners(monitor, false);
    close_listeners(monitor);
}

void
fc_acceptor_begin(FcMonitor *monitor)
{
    if (atomic_load(&monitor->accept_wanted) && !monitor->hold && !monitor->accepting &&
        monitor->accept_at == 0)
        poll_listeners(monitor, true);
}

void
fc_acceptor_nudge(FcMonitor *monitor)
{
    if (!monitor->accepting)
        return;
    poll_listeners(monitor, false); /* adding looks at the queue at once */
    poll_listeners(monitor, true);
}

void
fc_acceptor_turn(FcMonitor *monitor, uint64_t now)
{
    if (monitor->accept_at == 0 || now < monitor->accept_at)
        return;
    monitor->accept_at = 0;
    if (monitor->closing)
        close_listeners(monitor);
    else
        poll_listeners(monitor, true);
}

void
fc_acceptor_wake(FcMonitor *monitor, uint8_t index)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL)
        fc_handover_stop_here(monitor->engine->handover, FC_STOP_BEFORE_ACCEPT);
    pthread_mutex_unlock(&monitor->lock);
    if (!accept_some(monitor, index, ACCEPT_BURST))
        pause_accepting(monitor);
}

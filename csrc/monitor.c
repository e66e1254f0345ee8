/* See monitor.h. */
#include "monitor_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "handover.h"
#include "wire.h"

#define DESCRIPTORS   16
#define LOG_FLUSH_MS  200
#define LOOP_LEAST_NS 5000000ull /* a loop that does nothing here for so long is blocked */

enum { DATA_WAKE = -1, DATA_CHANNEL = -2 }; /* epoll data; else the index of a listener */

/* For the signal handler: what it may touch is one descriptor and one atomic pointer. */
static FcMonitor *_Atomic term_monitor;

static void
leave_at_once(FcMonitor *monitor, int code)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL && monitor->engine->log != NULL)
        fc_engine_stop_log(monitor->engine, LOG_FLUSH_MS);
    _exit(code);
}

static void
command(FcMonitor *monitor, uint32_t commands)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL)
        fc_engine_command(monitor->engine, commands);
    pthread_mutex_unlock(&monitor->lock);
}

static void
reopen_log(FcMonitor *monitor, int *fd)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL && monitor->engine->log != NULL) {
        fc_accesslog_reopen(monitor->engine->log, *fd);
        *fd = -1;
    }
    pthread_mutex_unlock(&monitor->lock);
}

/* Exchange the file behind the descriptor that all threads of this process write their log to. */
static void
reopen_own_log(FcMonitor *monitor, int fd)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL && monitor->engine->config.log_fd > 0)
        dup3(fd, monitor->engine->config.log_fd, O_CLOEXEC);
    pthread_mutex_unlock(&monitor->lock);
}

static void
hand_probe(FcMonitor *monitor, int *fd)
{
    int unserved = -1;

    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL) {
        unserved = atomic_exchange(&monitor->engine->probe, *fd);
        *fd = -1;
        fc_engine_command(monitor->engine, FC_COMMAND_PROBE);
    }
    pthread_mutex_unlock(&monitor->lock);
    if (unserved >= 0)
        close(unserved);
}

static void
meet(FcMonitor *monitor, const FcHead *head, int *fd)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL && monitor->engine->handover != NULL) {
        fc_peers_add(&monitor->engine->handover->peers, head->seat, head->epoch, *fd);
        *fd = -1;
        fc_engine_command(monitor->engine, FC_COMMAND_MEET);
    }
    pthread_mutex_unlock(&monitor->lock);
}

static void
obey(FcMonitor *monitor, const FcHead *head, int *fds, int n_fds)
{
    switch (head->kind) {
    case FC_KIND_RETIRE:
        if (head->deadline_ns != 0)
            monitor->exit_at = head->deadline_ns;
        fc_acceptor_stop(monitor);
        command(monitor, head->arg != 0 ? FC_COMMAND_DRAIN | FC_COMMAND_FINAL : FC_COMMAND_DRAIN);
        break;
    case FC_KIND_PEER:
        if (n_fds > 0)
            meet(monitor, head, &fds[0]);
        break;
    case FC_KIND_QUIT:
        leave_at_once(monitor, 0);
        break;
    case FC_KIND_NUDGE:
        fc_acceptor_nudge(monitor);
        command(monitor, FC_COMMAND_NUDGE);
        break;
    case FC_KIND_LISTEN:
        monitor->hold = false;
        command(monitor, FC_COMMAND_LISTEN);
        fc_acceptor_begin(monitor);
        break;
    case FC_KIND_PROBE:
        if (n_fds > 0)
            hand_probe(monitor, &fds[0]);
        break;
    case FC_KIND_LOG:
        if (n_fds > 0 && head->arg == FC_LOG_ACCESS)
            reopen_log(monitor, &fds[0]);
        else if (n_fds > 0)
            reopen_own_log(monitor, fds[0]);
        break;
    default: /* of a newer master: ignored */
        break;
    }
    for (int i = 0; i < n_fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* One message of the master. False: it is gone. */
static bool
receive(FcMonitor *monitor)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS)];
    } control;
    FcHead head;
    struct iovec vector = {.iov_base = &head, .iov_len = sizeof head};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int fds[DESCRIPTORS], n_fds = 0;
    ssize_t n = recvmsg(monitor->channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (n == 0)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)n_fds * sizeof(int));
    }
    if ((size_t)n < sizeof head || head.magic != FC_WIRE_MAGIC || head.version != FC_WIRE_VERSION)
        head.kind = 0;
    obey(monitor, &head, fds, n_fds);
    return true;
}

static void
send_leave(FcMonitor *monitor)
{
    const char *reason = atomic_exchange(&monitor->leave, NULL);
    FcHead head = {.magic = FC_WIRE_MAGIC,
                   .version = FC_WIRE_VERSION,
                   .kind = FC_KIND_LEAVE,
                   .seat = monitor->seat,
                   .epoch = monitor->epoch};
    struct iovec vectors[2] = {{.iov_base = &head, .iov_len = sizeof head}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};

    if (reason == NULL)
        return;
    vectors[1].iov_base = (void *)(uintptr_t)reason;
    vectors[1].iov_len = strlen(reason);
    sendmsg(monitor->channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
become_orphan(FcMonitor *monitor)
{
    uint64_t at = fc_now() + FC_ORPHAN_NS;

    monitor->orphan = true;
    if (monitor->exit_at == 0 || monitor->exit_at > at)
        monitor->exit_at = at;
    epoll_ctl(monitor->epoll, EPOLL_CTL_DEL, monitor->channel, NULL);
    fc_acceptor_stop(monitor);
    command(monitor, FC_COMMAND_DRAIN | FC_COMMAND_FINAL); /* our peers are orphans, too */
}

/* When to wake without an event; 0: never. */
static uint64_t
next_due(const FcMonitor *monitor)
{
    uint64_t due[] = {monitor->exit_at, monitor->accept_at, fc_overseer_next(monitor)}, first = 0;

    for (unsigned i = 0; i < sizeof due / sizeof *due; i++)
        if (due[i] != 0 && (first == 0 || due[i] < first))
            first = due[i];
    return first;
}

/* One event, slept for to less than a millisecond where the kernel can (Linux 5.11). */
static int
await_event(FcMonitor *monitor, struct epoll_event *event)
{
    uint64_t due = next_due(monitor), now = due != 0 ? fc_now() : 0, left = due > now ? due - now : 0;
    struct timespec time = {.tv_sec = (time_t)(left / 1000000000ull),
                            .tv_nsec = (long)(left % 1000000000ull)};
    int n = -1;

    if (!monitor->coarse) {
        n = (int)syscall(SYS_epoll_pwait2, monitor->epoll, event, 1, due != 0 ? &time : NULL, NULL, 0);
        monitor->coarse = n < 0 && errno == ENOSYS;
    }
    if (monitor->coarse)
        n = epoll_wait(monitor->epoll, event, 1, due == 0 ? -1 : (int)((left + 999999) / 1000000));
    return n;
}

static void
on_wake(FcMonitor *monitor)
{
    uint64_t woken;
    ssize_t ignored = read(monitor->wake, &woken, sizeof woken);

    (void)ignored;
    fc_overseer_wake(monitor, fc_now());
    send_leave(monitor);
    fc_acceptor_begin(monitor);
}

static void *
run(void *arg)
{
    FcMonitor *monitor = arg;

    for (;;) {
        struct epoll_event event;
        uint64_t now = fc_now();

        if (monitor->exit_at != 0 && now >= monitor->exit_at)
            leave_at_once(monitor, monitor->orphan ? 0 : 1);
        fc_overseer_turn(monitor, now);
        fc_acceptor_turn(monitor, now);
        if (await_event(monitor, &event) <= 0)
            continue;
        if ((int64_t)event.data.u64 == DATA_WAKE)
            on_wake(monitor);
        else if ((int64_t)event.data.u64 != DATA_CHANNEL)
            fc_acceptor_wake(monitor, (uint8_t)event.data.u64);
        else if (!receive(monitor))
            become_orphan(monitor);
    }
    return NULL;
}

static bool
watch(FcMonitor *monitor, int fd, int data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(int64_t)data};

    return epoll_ctl(monitor->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

FcMonitor *
fc_monitor_start(FcEngine *engine, FcCrew *crew, int channel, uint32_t seat, uint32_t epoch)
{
    FcMonitor *monitor = calloc(1, sizeof *monitor);
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int error;

    if (monitor == NULL)
        return NULL;
    pthread_mutex_init(&monitor->lock, NULL);
    monitor->engine = engine;
    monitor->crew = crew;
    fc_watch_init(&monitor->watch, engine->config.look, engine->config.nested ? LOOP_LEAST_NS : 0);
    monitor->hold = engine->config.hold;
    monitor->channel = channel;
    monitor->seat = seat;
    monitor->epoch = epoch;
    monitor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    monitor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (monitor->wake < 0 || monitor->epoll < 0 || !watch(monitor, monitor->wake, DATA_WAKE) ||
        (channel >= 0 && !watch(monitor, channel, DATA_CHANNEL))) {
        error = errno;
        goto fail;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, monitor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0) {
        atomic_store(&engine->flights.wake, monitor->wake);
        return monitor;
    }
fail:
    if (monitor->wake >= 0)
        close(monitor->wake);
    if (monitor->epoll >= 0)
        close(monitor->epoll);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
    errno = error;
    return NULL;
}

void
fc_monitor_accept(FcMonitor *monitor)
{
    uint64_t one = 1;
    ssize_t ignored;

    atomic_store(&monitor->accept_wanted, true);
    ignored = write(monitor->wake, &one, sizeof one);
    (void)ignored;
}

void
fc_monitor_detach(FcMonitor *monitor)
{
    pthread_mutex_lock(&monitor->lock);
    monitor->engine = NULL;
    monitor->crew = NULL;
    pthread_mutex_unlock(&monitor->lock);
}

void
fc_monitor_leave(FcMonitor *monitor, const char *reason)
{
    uint64_t one = 1;
    int saved = errno;
    ssize_t ignored;

    atomic_store(&monitor->leave, reason);
    ignored = write(monitor->wake, &one, sizeof one);
    (void)ignored;
    errno = saved;
}

static void
on_term(int signal)
{
    FcMonitor *monitor = atomic_load(&term_monitor);

    (void)signal;
    if (monitor != NULL)
        fc_monitor_leave(monitor, "SIGTERM");
}

int
fc_monitor_catch_term(FcMonitor *monitor)
{
    struct sigaction action = {.sa_handler = on_term, .sa_flags = SA_RESTART};

    atomic_store(&term_monitor, monitor);
    sigemptyset(&action.sa_mask);
    return sigaction(SIGTERM, &action, NULL) < 0 ? -errno : 0;
}

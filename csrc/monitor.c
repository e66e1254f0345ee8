/* See monitor.h. */
#include "monitor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire.h"

#define DESCRIPTORS 16
#define LOG_FLUSH_MS 200

struct FcMonitor {
    pthread_mutex_t lock; /* of engine */
    FcEngine *engine;     /* NULL: detached */
    int channel, wake;
    uint32_t seat, epoch;
    uint64_t exit_at; /* CLOCK_MONOTONIC ns; 0: no deadline */
    bool orphan;
    const char *_Atomic leave; /* reason to be sent; static text */
};

/* For the signal handler: what it may touch is one descriptor and one atomic pointer. */
static FcMonitor *_Atomic term_monitor;

static void
leave_at_once(FcMonitor *monitor, int code)
{
    pthread_mutex_lock(&monitor->lock);
    if (monitor->engine != NULL && monitor->engine->log != NULL)
        fc_accesslog_stop(monitor->engine->log, LOG_FLUSH_MS);
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

static void
obey(FcMonitor *monitor, const FcHead *head, int *fds, int n_fds)
{
    switch (head->kind) {
    case FC_KIND_RETIRE:
        if (head->deadline_ns != 0)
            monitor->exit_at = head->deadline_ns;
        command(monitor, FC_COMMAND_DRAIN);
        break;
    case FC_KIND_QUIT:
        leave_at_once(monitor, 0);
        break;
    case FC_KIND_NUDGE:
        command(monitor, FC_COMMAND_NUDGE);
        break;
    case FC_KIND_LOG:
        if (n_fds > 0)
            reopen_log(monitor, &fds[0]);
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
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
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
    command(monitor, FC_COMMAND_DRAIN);
}

static void *
run(void *arg)
{
    FcMonitor *monitor = arg;

    for (;;) {
        struct pollfd pollers[2] = {{.fd = monitor->wake, .events = POLLIN},
                                    {.fd = monitor->orphan ? -1 : monitor->channel, .events = POLLIN}};
        uint64_t now = fc_now(), woken;
        int timeout = -1;

        if (monitor->exit_at != 0 && now >= monitor->exit_at)
            leave_at_once(monitor, monitor->orphan ? 0 : 1);
        if (monitor->exit_at != 0)
            timeout = (int)((monitor->exit_at - now) / 1000000 + 1);
        if (poll(pollers, 2, timeout) <= 0)
            continue;
        if (pollers[0].revents != 0 && read(monitor->wake, &woken, sizeof woken) > 0)
            send_leave(monitor);
        if (pollers[1].revents != 0 && !receive(monitor))
            become_orphan(monitor);
    }
    return NULL;
}

FcMonitor *
fc_monitor_start(FcEngine *engine, int channel, uint32_t seat, uint32_t epoch)
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
    monitor->channel = channel;
    monitor->seat = seat;
    monitor->epoch = epoch;
    monitor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (monitor->wake < 0) {
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
    if (error == 0)
        return monitor;
    close(monitor->wake);
fail:
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
    errno = error;
    return NULL;
}

void
fc_monitor_detach(FcMonitor *monitor)
{
    pthread_mutex_lock(&monitor->lock);
    monitor->engine = NULL;
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

/* The access log's writer: two buffers, one being filled by whoever serves, one being written by our thread.
 *
 * Appending costs a short lock and a copy; the thread is woken when a buffer gets its first line and when it
 * is half full, and lets lines gather for BATCH_MS in between. What may block for ever (pipe, terminal,
 * socket) is written without blocking and waited for beside the wake-up descriptor, so that stop and reopen
 * always get through; a pipe is opened anew for that, because O_NONBLOCK on ours would change it for everyone
 * who shares it.
 */
#include "accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_SIZE = 512 * 1024, /* each of the two */
    BATCH_MS = 50,
    STUCK_MS = 1000, /* what an old descriptor gets once a new one is there */
    STOP_SLACK_MS = 200,
};

_Static_assert(FC_LOG_LINE <= PIPE_BUF, "a pipe takes a line whole or not at all");

struct FcAccessLog {
    FcLogFormat *format; /* owned */
    int wake, done;      /* eventfds: to the thread, from the thread */
    pthread_t thread;
    _Atomic uint64_t dropped;
    _Atomic uint64_t untold; /* of those, not yet taken */

    pthread_mutex_t lock; /* over what follows, to the next blank line */
    char *filling;
    size_t filled;
    int next_fd;                  /* or -1; owned */
    size_t next_at;               /* what is filled before this still goes to the old one */
    bool started, stopping, left; /* left: the thread did not end in time and keeps everything */
    uint64_t deadline_ns;

    /* the thread's own */
    int fd;
    bool may_block, is_socket;
    bool leaving; /* fd is being written for the last time */
    char *writing;
    size_t torn_len; /* rest of a line that was begun: it comes first */
    char torn[FC_LOG_LINE];
};

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
signal_event(int event)
{
    uint64_t one = 1;

    while (write(event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void
clear_event(int event)
{
    uint64_t count = 0;

    while (read(event, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void
count_dropped(FcAccessLog *log, uint64_t lines)
{
    atomic_fetch_add_explicit(&log->dropped, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->untold, lines, memory_order_relaxed);
}

static void
drop(FcAccessLog *log, const char *lines, size_t len)
{
    uint64_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += lines[i] == '\n';
    count_dropped(log, count);
}

/* Make fd (owned) the one that is written. */
static void
adopt(FcAccessLog *log, int fd)
{
    struct stat status;
    char path[40];
    int own = -1;

    log->may_block = log->is_socket = false;
    log->fd = fd;
    if (fstat(fd, &status) < 0)
        return;
    log->is_socket = S_ISSOCK(status.st_mode);
    log->may_block = log->is_socket || S_ISFIFO(status.st_mode) || (S_ISCHR(status.st_mode) && isatty(fd));
    if (!log->may_block || log->is_socket)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own < 0) /* not ours to open: poll() alone must do */
        return;
    close(fd);
    log->fd = own;
}

/* Whether to go on waiting for a descriptor that has been stuck since then: not past the deadline of a stop,
 * and not for long when there is a new one. */
static bool
may_wait(FcAccessLog *log, uint64_t since_ns, int *timeout_ms)
{
    uint64_t now = now_ns();
    uint64_t until = UINT64_MAX;

    pthread_mutex_lock(&log->lock);
    if (log->leaving || log->next_fd >= 0)
        until = since_ns + STUCK_MS * 1000000ull;
    if (log->stopping && log->deadline_ns < until)
        until = log->deadline_ns;
    pthread_mutex_unlock(&log->lock);
    *timeout_ms = until == UINT64_MAX ? -1 : until > now ? (int)((until - now) / 1000000 + 1) : 0;
    return until > now;
}

/* Wait until the descriptor takes something (or fails); false when it is time to give up. */
static bool
wait_writable(FcAccessLog *log)
{
    struct pollfd events[] = {{.fd = log->fd, .events = POLLOUT}, {.fd = log->wake, .events = POLLIN}};
    uint64_t since_ns = now_ns();
    int timeout_ms = 0;

    while (may_wait(log, since_ns, &timeout_ms)) {
        if (poll(events, 2, timeout_ms) < 0 && errno != EINTR)
            return false;
        if (events[0].revents)
            return true;
        if (events[1].revents)
            clear_event(log->wake);
    }
    return false;
}

/* As many whole lines as fit PIPE_BUF. */
static size_t
whole_lines(const char *data, size_t len)
{
    const char *last = NULL;

    if (len <= PIPE_BUF)
        return len;
    last = memrchr(data, '\n', PIPE_BUF);
    return last ? (size_t)(last - data) + 1 : PIPE_BUF;
}

static ssize_t
write_some(const FcAccessLog *log, const char *data, size_t len)
{
    if (log->is_socket)
        return send(log->fd, data, whole_lines(data, len), MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(log->fd, data, log->may_block ? whole_lines(data, len) : len);
}

/* Write until done, failed or to be given up; the bytes written. */
static size_t
write_most(FcAccessLog *log, const char *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        if (log->may_block && !wait_writable(log))
            break;
        ssize_t n = write_some(log, data + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    return done;
}

/* The rest of a line that was begun; false if it is still not written. */
static bool
write_torn(FcAccessLog *log)
{
    size_t done = write_most(log, log->torn, log->torn_len);

    log->torn_len -= done;
    memmove(log->torn, log->torn + done, log->torn_len);
    return log->torn_len == 0;
}

static void
write_lines(FcAccessLog *log, const char *lines, size_t len)
{
    size_t done = 0;

    if (len == 0)
        return;
    if (write_torn(log))
        done = write_most(log, lines, len);
    if (done && done < len && lines[done - 1] != '\n') {
        const char *lf = memchr(lines + done, '\n', len - done);
        log->torn_len = (size_t)(lf - (lines + done)) + 1;
        memcpy(log->torn, lines + done, log->torn_len);
        done += log->torn_len;
    }
    drop(log, lines + done, len - done);
}

static void
switch_to(FcAccessLog *log, int fd)
{
    if (log->torn_len && !write_torn(log))
        drop(log, log->torn, log->torn_len);
    log->torn_len = 0;
    log->leaving = false;
    close(log->fd);
    adopt(log, fd);
}

/* Wait for something to do; let lines gather unless it is urgent. False: all was written and the end is asked
 * for. */
static bool
wait_for_work(FcAccessLog *log)
{
    struct pollfd event = {.fd = log->wake, .events = POLLIN};
    bool gathered = false;

    for (;;) {
        clear_event(log->wake);
        pthread_mutex_lock(&log->lock);
        bool any = log->filled > 0 || log->next_fd >= 0;
        bool urgent = log->filled > BUFFER_SIZE / 2 || log->next_fd >= 0 || log->stopping;
        pthread_mutex_unlock(&log->lock);
        if (urgent || (any && gathered))
            return any;
        poll(&event, 1, any ? BATCH_MS : -1);
        gathered = any;
    }
}

/* Exchange the buffers and write what was in the full one. */
static void
write_batch(FcAccessLog *log)
{
    pthread_mutex_lock(&log->lock);
    char *lines = log->filling;
    size_t len = log->filled;
    int next_fd = log->next_fd;
    size_t old_len = next_fd >= 0 ? log->next_at : len;
    log->filling = log->writing;
    log->filled = 0;
    log->next_fd = -1;
    pthread_mutex_unlock(&log->lock);

    log->writing = lines;
    log->leaving = next_fd >= 0;
    write_lines(log, lines, old_len);
    if (next_fd < 0)
        return;
    switch_to(log, next_fd);
    write_lines(log, lines + old_len, len - old_len);
}

static void *
run_writer(void *argument)
{
    FcAccessLog *log = argument;

    adopt(log, log->fd);
    while (wait_for_work(log))
        write_batch(log);
    if (log->torn_len && !write_torn(log))
        drop(log, log->torn, log->torn_len);
    signal_event(log->done);
    return NULL;
}

FcAccessLog *
fc_accesslog_new(int fd, FcLogFormat *format)
{
    FcAccessLog *log = calloc(1, sizeof *log);

    if (!log)
        return NULL;
    log->next_fd = log->fd = -1;
    log->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log->filling = malloc(BUFFER_SIZE);
    log->writing = malloc(BUFFER_SIZE);
    pthread_mutex_init(&log->lock, NULL);
    if (log->wake < 0 || log->done < 0 || !log->filling || !log->writing) {
        fc_accesslog_free(log);
        return NULL;
    }
    log->fd = fd;
    log->format = format;
    return log;
}

int
fc_accesslog_start(FcAccessLog *log)
{
    sigset_t all;
    sigset_t before;
    int error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&log->thread, NULL, run_writer, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    pthread_setname_np(log->thread, "fc-accesslog");
    pthread_mutex_lock(&log->lock);
    log->started = true;
    pthread_mutex_unlock(&log->lock);
    return 0;
}

bool
fc_accesslog_append(FcAccessLog *log, const FcLogEntry *entry)
{
    char line[FC_LOG_LINE];
    size_t len = fc_logformat_line(log->format, entry, line, sizeof line);
    bool fits = false;
    bool wakes = false;

    pthread_mutex_lock(&log->lock);
    fits = !log->stopping && log->filled + len <= BUFFER_SIZE;
    if (fits) {
        size_t before = log->filled;
        memcpy(log->filling + before, line, len);
        log->filled += len;
        wakes = before == 0 || (before <= BUFFER_SIZE / 2 && log->filled > BUFFER_SIZE / 2);
    }
    pthread_mutex_unlock(&log->lock);
    if (wakes)
        signal_event(log->wake);
    if (!fits)
        count_dropped(log, 1);
    return fits;
}

void
fc_accesslog_reopen(FcAccessLog *log, int fd)
{
    int unused = fd;

    pthread_mutex_lock(&log->lock);
    if (!log->stopping) {
        unused = log->next_fd; /* one that was never written to; its lines go to this one */
        if (unused < 0)
            log->next_at = log->filled;
        log->next_fd = fd;
    }
    pthread_mutex_unlock(&log->lock);
    if (unused >= 0)
        close(unused);
    signal_event(log->wake);
}

uint64_t
fc_accesslog_dropped(const FcAccessLog *log)
{
    return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

uint64_t
fc_accesslog_take_dropped(FcAccessLog *log)
{
    if (atomic_load_explicit(&log->untold, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&log->untold, 0, memory_order_relaxed);
}

void
fc_accesslog_stop(FcAccessLog *log, int timeout_ms)
{
    struct pollfd event = {.fd = log->done, .events = POLLIN};
    uint64_t deadline_ns = now_ns() + (uint64_t)timeout_ms * 1000000u;
    bool again = false;
    int ready = 0;

    pthread_mutex_lock(&log->lock);
    again = log->stopping;
    log->stopping = true;
    log->deadline_ns = deadline_ns;
    pthread_mutex_unlock(&log->lock);
    if (again)
        return;
    if (!log->started) {
        drop(log, log->filling, log->filled);
        return;
    }
    signal_event(log->wake);
    do
        ready = poll(&event, 1, timeout_ms + STOP_SLACK_MS);
    while (ready < 0 && errno == EINTR);
    log->left = ready != 1;
    if (log->left)
        pthread_detach(log->thread);
    else
        pthread_join(log->thread, NULL);
}

void
fc_accesslog_free(FcAccessLog *log)
{
    int fds[4];

    if (!log)
        return;
    if (log->format) /* was made as a whole */
        fc_accesslog_stop(log, 0);
    if (log->left)
        return;
    memcpy(fds, (int[]){log->fd, log->next_fd, log->wake, log->done}, sizeof fds);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&log->lock);
    fc_logformat_free(log->format);
    free(log->filling);
    free(log->writing);
    free(log);
}

/* Cases of csrc/accesslog.c, one per run: accesslog_test CASE. Exit 0, or an assert. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "accesslog.h"
#include "head.h"

enum { THREADS = 4, LINES = 5000 };

static FcRequest no_request;

static FcAccessLog *
open_log(int fd)
{
    char error[128];
    FcLogFormat *format = fc_logformat_compile("%h %U %D", error, sizeof error);
    FcAccessLog *log = fc_accesslog_new(fd, format);

    assert(format && log);
    return log;
}

/* Append a line "who - number", the number given as microseconds. */
static bool
append(FcAccessLog *log, const char *who, uint64_t number)
{
    FcLogEntry entry = {.buf = "",
                        .request = &no_request,
                        .remote = who,
                        .remote_len = strlen(who),
                        .duration_ns = number * 1000};

    return fc_accesslog_append(log, &entry);
}

static int
open_file(char path[32])
{
    int fd = -1;

    strcpy(path, "/tmp/accesslog-XXXXXX");
    fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    assert(fd >= 0);
    return fd;
}

/* Count the lines of a file and take note of each number of each thread in seen; unlink it. */
static unsigned
read_lines(const char *path, unsigned char seen[THREADS][LINES])
{
    FILE *file = fopen(path, "re");
    char line[256];
    unsigned count = 0;
    unsigned who = 0;
    unsigned number = 0;
    int end = 0;

    assert(file);
    while (fgets(line, sizeof line, file)) {
        assert(sscanf(line, "t%u - %u%n", &who, &number, &end) == 2);
        assert(line[end] == '\n' && line[end + 1] == 0 && who < THREADS && number < LINES);
        seen[who][number]++;
        count++;
    }
    fclose(file);
    unlink(path);
    return count;
}

static double
elapsed_s(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
}

static void
limit_file_size(long bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < 0 ? limit.rlim_max : (rlim_t)bytes;
    assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void
lines_reach_the_file_in_order(void)
{
    static unsigned char seen[THREADS][LINES];
    char path[32];
    FcAccessLog *log = open_log(open_file(path));
    FILE *file = NULL;
    char line[64];
    char expected[64];

    assert(fc_accesslog_start(log) == 0);
    for (unsigned i = 0; i < LINES; i++)
        assert(append(log, "t0", i));
    fc_accesslog_stop(log, 5000);
    fc_accesslog_stop(log, 5000);
    assert(!append(log, "t0", 0) && fc_accesslog_dropped(log) == 1);
    fc_accesslog_free(log);
    file = fopen(path, "re");
    for (unsigned i = 0; i < LINES; i++) {
        snprintf(expected, sizeof expected, "t0 - %u\n", i);
        assert(fgets(line, sizeof line, file) && strcmp(expected, line) == 0);
    }
    fclose(file);
    assert(read_lines(path, seen) == LINES);
}

static void
a_line_is_written_without_more_to_come(void)
{
    int ends[2];
    char line[64] = "";
    FcAccessLog *log = NULL;

    assert(pipe2(ends, O_CLOEXEC) == 0);
    log = open_log(ends[1]);
    assert(fc_accesslog_start(log) == 0);
    append(log, "a", 1);
    assert(read(ends[0], line, sizeof line) == 6 && strcmp(line, "a - 1\n") == 0);
    append(log, "b", 2); /* the thread sleeps by now or does not: both must do */
    assert(read(ends[0], line, sizeof line) == 6 && strcmp(line, "b - 2\n") == 0);
    fc_accesslog_free(log);
    close(ends[0]);
}

static void
a_stuck_pipe_drops_and_counts_and_never_blocks(void)
{
    int ends[2];
    unsigned taken = 0;
    unsigned lines = 0;
    char buf[4096];
    struct timespec start;
    FcAccessLog *log = NULL;
    ssize_t n = 0;

    assert(pipe2(ends, O_CLOEXEC) == 0);
    log = open_log(ends[1]);
    assert(fc_accesslog_start(log) == 0);
    for (unsigned i = 0; i < 300000; i++)
        taken += append(log, "stuck", i);
    assert(taken < 300000 && fc_accesslog_dropped(log) == 300000 - taken);
    clock_gettime(CLOCK_MONOTONIC, &start);
    fc_accesslog_stop(log, 100);
    assert(elapsed_s(&start) < 5); /* a deadline for the test, not a measure */
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while ((n = read(ends[0], buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
    assert(lines + fc_accesslog_dropped(log) == 300000); /* every line is in the pipe or counted */
    fc_accesslog_free(log);
    close(ends[0]);
}

static void
the_pipe_of_others_is_not_made_nonblocking(void)
{
    int ends[2];
    int other = -1;
    char byte = 0;
    FcAccessLog *log = NULL;

    assert(pipe2(ends, O_CLOEXEC) == 0);
    other = dup(ends[1]);
    log = open_log(ends[1]);
    assert(fc_accesslog_start(log) == 0);
    append(log, "a", 1);
    assert(read(ends[0], &byte, 1) == 1);
    assert(!(fcntl(other, F_GETFL) & O_NONBLOCK));
    fc_accesslog_free(log);
    close(other);
    close(ends[0]);
}

static void
a_stuck_socket_lets_go_at_the_end(void)
{
    int ends[2];
    FcAccessLog *log = NULL;
    unsigned taken = 0;

    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    log = open_log(ends[1]);
    assert(fc_accesslog_start(log) == 0);
    for (unsigned i = 0; i < 300000; i++)
        taken += append(log, "stuck", i);
    assert(taken < 300000);
    fc_accesslog_stop(log, 50);
    fc_accesslog_free(log);
    close(ends[0]);
}

static void
a_reader_that_left_is_survived(void)
{
    int ends[2];
    FcAccessLog *log = NULL;

    assert(pipe2(ends, O_CLOEXEC) == 0);
    log = open_log(ends[1]);
    close(ends[0]);
    assert(fc_accesslog_start(log) == 0);
    append(log, "a", 1);
    fc_accesslog_stop(log, 5000);
    assert(fc_accesslog_dropped(log) == 1);
    fc_accesslog_free(log);
}

static void
a_full_disk_is_counted_and_a_new_file_works_again(void)
{
    static unsigned char seen[THREADS][LINES];
    char path[32];
    FcAccessLog *log = open_log(open("/dev/full", O_WRONLY | O_CLOEXEC));

    assert(fc_accesslog_start(log) == 0);
    for (unsigned i = 0; i < 10; i++)
        assert(append(log, "t1", i));
    fc_accesslog_reopen(log, open_file(path));
    for (unsigned i = 10; i < 30; i++)
        assert(append(log, "t1", i));
    fc_accesslog_stop(log, 5000);
    assert(fc_accesslog_dropped(log) == 10);
    assert(read_lines(path, seen) == 20 && seen[1][9] == 0 && seen[1][10] == 1 && seen[1][29] == 1);
    fc_accesslog_free(log);
}

static void
a_line_torn_by_a_full_disk_is_finished_when_there_is_room(void)
{
    static unsigned char seen[THREADS][LINES];
    char path[32];
    int fd = open_file(path);
    FcAccessLog *log = NULL;
    uint64_t dropped = 0;

    log = open_log(fd);
    for (unsigned i = 0; i < 100; i++)
        assert(append(log, "t2", i));
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(500); /* in the middle of a line: 10 lines of 7 bytes, then 8 each */
    assert(fc_accesslog_start(log) == 0);
    while ((dropped = fc_accesslog_dropped(log)) == 0)
        poll(NULL, 0, 1);
    limit_file_size(-1);
    for (unsigned i = 100; i < 110; i++)
        assert(append(log, "t2", i));
    fc_accesslog_stop(log, 5000);
    assert(fc_accesslog_dropped(log) == dropped && dropped > 0 && dropped < 100);
    assert(read_lines(path, seen) == 110 - dropped && seen[2][100] == 1 && seen[2][109] == 1);
    fc_accesslog_free(log);
}

typedef struct Appender {
    FcAccessLog *log;
    unsigned index;
} Appender;

static void *
append_many(void *argument)
{
    Appender *appender = argument;
    char who[4];

    snprintf(who, sizeof who, "t%u", appender->index);
    for (unsigned i = 0; i < LINES; i++)
        while (!append(appender->log, who, i)) /* full: the writer is behind */
            poll(NULL, 0, 1);
    return NULL;
}

static void
reopening_loses_and_tears_no_line_of_four_threads(void)
{
    static unsigned char seen[THREADS][LINES];
    enum { FILES = 40 };
    char paths[FILES][32];
    pthread_t threads[THREADS];
    Appender appenders[THREADS];
    unsigned count = 0;
    FcAccessLog *log = open_log(open_file(paths[0]));

    assert(fc_accesslog_start(log) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        appenders[i] = (Appender){log, i};
        assert(pthread_create(&threads[i], NULL, append_many, &appenders[i]) == 0);
    }
    for (unsigned i = 1; i < FILES; i++) {
        fc_accesslog_reopen(log, open_file(paths[i]));
        poll(NULL, 0, i % 3);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    fc_accesslog_stop(log, 10000);
    fc_accesslog_free(log);
    for (unsigned i = 0; i < FILES; i++)
        count += read_lines(paths[i], seen);
    assert(count == THREADS * LINES);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned j = 0; j < LINES; j++)
            assert(seen[i][j] == 1);
}

static void
a_new_descriptor_replaces_a_stuck_one(void)
{
    static unsigned char seen[THREADS][LINES];
    int ends[2];
    int fd = -1;
    char path[32];
    char byte = 0;
    struct stat status = {.st_size = 0};
    FcAccessLog *log = NULL;

    assert(pipe2(ends, O_CLOEXEC) == 0);
    log = open_log(ends[1]);
    assert(fc_accesslog_start(log) == 0);
    append(log, "t3", 0);
    assert(read(ends[0], &byte, 1) == 1);
    while (append(log, "t3", 1)) /* until both buffers and the pipe are full */
        ;
    fd = open_file(path);
    fc_accesslog_reopen(log, dup(fd));
    while (!append(log, "t3", 2))
        poll(NULL, 0, 1);
    while (status.st_size == 0) { /* without being stopped */
        poll(NULL, 0, 1);
        assert(fstat(fd, &status) == 0);
    }
    close(fd);
    fc_accesslog_stop(log, 10000);
    assert(read_lines(path, seen) >= 1 && seen[3][2] == 1);
    fc_accesslog_free(log);
    close(ends[0]);
}

static void
a_log_that_was_never_started_is_freed(void)
{
    char path[32];
    FcAccessLog *log = open_log(open_file(path));

    append(log, "a", 1);
    fc_accesslog_stop(log, 0);
    assert(fc_accesslog_dropped(log) == 1);
    fc_accesslog_reopen(log, open("/dev/null", O_WRONLY | O_CLOEXEC));
    fc_accesslog_free(log);
    fc_accesslog_free(NULL);
    unlink(path);
}

static void
descriptors_are_closed_again(void)
{
    char path[32];
    int before = dup(0);

    close(before);
    for (int i = 0; i < 3; i++) {
        FcAccessLog *log = open_log(open_file(path));
        assert(fc_accesslog_start(log) == 0);
        fc_accesslog_reopen(log, open("/dev/null", O_WRONLY | O_CLOEXEC));
        append(log, "a", 1);
        fc_accesslog_free(log);
        unlink(path);
    }
    assert(dup(0) == before);
}

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    CASE(lines_reach_the_file_in_order),
    CASE(a_line_is_written_without_more_to_come),
    CASE(a_stuck_pipe_drops_and_counts_and_never_blocks),
    CASE(the_pipe_of_others_is_not_made_nonblocking),
    CASE(a_stuck_socket_lets_go_at_the_end),
    CASE(a_reader_that_left_is_survived),
    CASE(a_full_disk_is_counted_and_a_new_file_works_again),
    CASE(a_line_torn_by_a_full_disk_is_finished_when_there_is_room),
    CASE(reopening_loses_and_tears_no_line_of_four_threads),
    CASE(a_new_descriptor_replaces_a_stuck_one),
    CASE(a_log_that_was_never_started_is_freed),
    CASE(descriptors_are_closed_again),
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "no such case\n");
    return 2;
}

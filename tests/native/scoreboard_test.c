/* Cases of csrc/scoreboard.c, one per run: scoreboard_test CASE. Exit 0, or an assert. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scoreboard.h"

static FcLine line; /* zeroed; stands for one in shared memory */

static void
every_duration_falls_in_its_bucket(void)
{
    for (unsigned power = 0; power < 64; power++) {
        for (int off = -2; off <= 2; off++) {
            for (uint64_t part = 0; part < 8; part++) {
                uint64_t ns = (1ull << power) + part * ((1ull << power) / 8) + (uint64_t)off;
                unsigned bucket = fc_bucket(ns);
                assert(bucket < FC_BUCKETS);
                assert(ns < fc_bucket_bound(bucket) || bucket == FC_BUCKETS - 1);
                assert(bucket == 0 || ns >= fc_bucket_bound(bucket - 1));
            }
        }
    }
}

static void
the_bounds_are_those_documented(void)
{
    assert(fc_bucket_bound(0) == 65536);
    assert(fc_bucket_bound(1) == 81920);
    assert(fc_bucket_bound(FC_BUCKETS - 2) == 1ull << 36);
    assert(fc_bucket_bound(FC_BUCKETS - 1) == UINT64_MAX);
    assert(fc_bucket(UINT64_MAX) == FC_BUCKETS - 1);
    for (unsigned i = 1; i < FC_BUCKETS; i++)
        assert(fc_bucket_bound(i) > fc_bucket_bound(i - 1));
}

static void
texts_are_cut_and_ended(void)
{
    FcOldest oldest;
    char path[300];

    memset(path, 'p', sizeof path);
    for (size_t len = 0; len <= sizeof path; len++) {
        fc_oldest_publish(&line, 5, path, len, path, len);
        assert(fc_oldest_read(&line, &oldest));
        assert(strlen(oldest.method) == (len < 15 ? len : 15));
        assert(strlen(oldest.path) == (len < 255 ? len : 255));
        assert(oldest.since_ns == 5);
    }
}

static void
a_writer_that_died_in_the_middle_stops_no_reader_and_no_successor(void)
{
    FcOldest oldest;

    fc_oldest_publish(&line, 5, "GET", 3, "/a", 2);
    fc_add(&line.oldest_seq, 1); /* as it is in the middle of a publish */
    assert(!fc_oldest_read(&line, &oldest));
    fc_oldest_publish(&line, 6, "PUT", 3, "/b", 2);
    assert(fc_oldest_read(&line, &oldest));
    assert(oldest.since_ns == 6 && strcmp(oldest.method, "PUT") == 0 && strcmp(oldest.path, "/b") == 0);
}

enum { PUBLISHES = 100000 };

static void *
publish_often(void *unused)
{
    char path[200];

    (void)unused;
    for (unsigned i = 1; i <= PUBLISHES; i++) {
        memset(path, 'a' + i % 26, sizeof path);
        fc_oldest_publish(&line, i, path, 10, path, sizeof path);
    }
    return NULL;
}

static void
a_reader_never_sees_half_of_two_requests(void)
{
    pthread_t writer;
    FcOldest oldest = {.since_ns = 0};

    assert(pthread_create(&writer, NULL, publish_often, NULL) == 0);
    while (oldest.since_ns < PUBLISHES) {
        if (!fc_oldest_read(&line, &oldest) || oldest.since_ns == 0)
            continue;
        char expected = (char)('a' + oldest.since_ns % 26);
        assert(oldest.method[0] == expected && oldest.path[0] == expected && oldest.path[199] == expected);
    }
    pthread_join(writer, NULL);
}

static void *
raise_sent(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100000; i++)
        fc_add_shared(&line.sent, 1);
    return NULL;
}

static void
several_senders_lose_no_count(void)
{
    pthread_t senders[3];

    for (int i = 0; i < 3; i++)
        assert(pthread_create(&senders[i], NULL, raise_sent, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(senders[i], NULL);
    assert(fc_load(&line.sent) == 300000);
}

static void
a_board_is_sealed_and_maps(void)
{
    FcBoard board;
    int fd = fc_board_create("api");

    assert(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert(ftruncate(fd, 4096) < 0 && errno == EPERM);
    assert(ftruncate(fd, (off_t)FC_BOARD_SIZE + 1) < 0 && errno == EPERM);
    assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
    assert(fc_board_map(&board, fd, true) == 0);
    assert(strcmp(board.header->app, "api") == 0);
    fc_add(&fc_board_line(&board, FC_SEATS - 1)->accepted, 1);
    assert(fc_board_line(&board, FC_SEATS) == NULL);
    fc_board_unmap(&board);
    fc_board_unmap(&board);
    close(fd);
}

static void
a_reader_cannot_write(void)
{
    FcBoard board;
    int status = 0;
    int fd = fc_board_create("api");
    pid_t child = -1;

    assert(fc_board_map(&board, fd, false) == 0);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
        fc_store(&fc_board_line(&board, 0)->accepted, 1);
        _exit(0);
    }
    assert(waitpid(child, &status, 0) == child);
    assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    fc_board_unmap(&board);
    close(fd);
}

static void
another_layout_and_other_files_are_refused(void)
{
    FcBoard board;
    int fd = fc_board_create("api");
    int other = memfd_create("other", MFD_CLOEXEC);

    assert(fc_board_map(&board, fd, true) == 0);
    board.header->layout[0] ^= 1;
    fc_board_unmap(&board);
    assert(fc_board_map(&board, fd, false) == -EPROTO && board.header == NULL);
    assert(fc_board_map(&board, other, false) == -EINVAL && board.header == NULL);
    assert(ftruncate(other, (off_t)FC_BOARD_SIZE) == 0);
    assert(fc_board_map(&board, other, false) == -EINVAL); /* not sealed: could shrink under us */
    assert(fc_board_map(&board, -1, false) == -EBADF);
    close(fd);
    close(other);
}

static void
a_reset_keeps_the_counters_and_clears_the_gauges(void)
{
    fc_line_claim(&line, 1, 2, 3, 4);
    assert(fc_load(&line.state) == FC_STATE_BOOTING && fc_load(&line.started_ns) == 4);
    fc_add(&line.in_flight, 9);
    fc_add(&line.accepted, 9);
    fc_add(&line.requests[2], 9);
    fc_add(&line.duration[7], 9);
    fc_oldest_publish(&line, 5, "GET", 3, "/a", 2);
    fc_line_reset(&line);
    FcOldest oldest;
    assert(fc_load(&line.state) == FC_STATE_EMPTY && fc_load(&line.in_flight) == 0);
    assert(fc_load(&line.accepted) == 9 && fc_load(&line.requests[2]) == 9 &&
           fc_load(&line.duration[7]) == 9);
    assert(fc_oldest_read(&line, &oldest) && oldest.since_ns == 0);
}

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    CASE(every_duration_falls_in_its_bucket),
    CASE(the_bounds_are_those_documented),
    CASE(texts_are_cut_and_ended),
    CASE(a_writer_that_died_in_the_middle_stops_no_reader_and_no_successor),
    CASE(a_reader_never_sees_half_of_two_requests),
    CASE(several_senders_lose_no_count),
    CASE(a_board_is_sealed_and_maps),
    CASE(a_reader_cannot_write),
    CASE(another_layout_and_other_files_are_refused),
    CASE(a_reset_keeps_the_counters_and_clears_the_gauges),
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

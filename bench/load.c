/* The client: asks as fast as it is answered, on many connections, from one thread on epoll.
 *
 *     load PORT [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] [-b BYTES] [-f FIELDS] [-p PATH] [-x]
 *
 * -b sends a POST with a body of so many bytes, -f adds so many header fields, -x makes a new connection for
 * each request. It prints one line of JSON. It understands answers with Content-Length and no others: a
 * chunked answer counts as an error, and so does any status but 200. With -n exactly so many requests are
 * made.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUF_SIZE  (64 * 1024)
#define MICROS    20000 /* finer histogram: a bucket for each microsecond */
#define MILLIS    10000 /* coarser one: a bucket for each millisecond */
#define CONNS_MAX 4096

typedef struct Conn {
    int fd;
    size_t sent, got,
        expected;   /* bytes of the request, of the answer; expected 0: its head is not whole yet */
    uint64_t since; /* when the request was made, nanoseconds; 0: none is out */
    char data[BUF_SIZE];
} Conn;

static struct {
    const char *path;
    long connections, requests, body, fields;
    uint16_t port;
    double seconds;
    bool fresh;
} want = {.path = "/", .connections = 64, .seconds = 3};

static char request[256 * 1024];
static size_t request_len;
static long asked, answered, errors, connected;
static long micros[MICROS], millis[MILLIS + 1];
static int epoll = -1;
static uint64_t deadline;

static uint64_t
now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void
compose(void)
{
    FILE *out = fmemopen(request, sizeof request, "w");

    fprintf(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", want.body ? "POST" : "GET", want.path);
    for (long i = 0; i < want.fields; i++)
        fprintf(out, "X-Field-%ld: the value of field number %ld\r\n", i, i);
    if (want.fresh)
        fprintf(out, "Connection: close\r\n");
    if (want.body)
        fprintf(out, "Content-Type: application/octet-stream\r\nContent-Length: %ld\r\n", want.body);
    fprintf(out, "\r\n");
    for (long i = 0; i < want.body; i++)
        fputc('a' + (int)(i % 26), out);
    if (fflush(out) != 0 || (request_len = (size_t)ftell(out)) >= sizeof request) {
        fprintf(stderr, "load: the request is too long\n");
        exit(2);
    }
    fclose(out);
}

static void open_conn(Conn *conn);

static void
give_up(Conn *conn)
{
    errors++;
    close(conn->fd);
    open_conn(conn);
}

/* Send what is left of the request; the rest when there is room. */
static void
push(Conn *conn)
{
    ssize_t sent =
        send(conn->fd, request + conn->sent, request_len - conn->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent > 0)
        conn->sent += (size_t)sent;
}

/* Make the next request, if there is one to make. */
static void
ask(Conn *conn)
{
    conn->sent = conn->got = conn->expected = 0;
    conn->since = 0;
    if (want.requests ? asked == want.requests : now() > deadline)
        return;
    asked++;
    conn->since = now();
    push(conn);
}

static void
open_conn(Conn *conn)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(want.port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn};

    if (want.requests ? asked == want.requests : now() > deadline)
        return;
    inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&where, sizeof where) != 0) {
        perror("load: connecting");
        exit(1);
    }
    connected++;
    epoll_ctl(epoll, EPOLL_CTL_ADD, conn->fd, &event);
    ask(conn);
}

static void
record(uint64_t nanos)
{
    uint64_t micro = nanos / 1000;

    if (micro < MICROS)
        micros[micro]++;
    else
        millis[micro / 1000 < MILLIS ? micro / 1000 : MILLIS]++;
}

/* Find the length of the answer whose head is in the buffer. Returns false when it is none that we
 * understand. */
static bool
measure(Conn *conn)
{
    char *end = memmem(conn->data, conn->got, "\r\n\r\n", 4);

    if (end == NULL)
        return conn->got < BUF_SIZE;
    if (conn->got < 12 || memcmp(conn->data + 9, "200", 3) != 0)
        return false;
    for (char *line = conn->data; line != NULL && line < end;
         line = memchr(line, '\n', (size_t)(end - line))) {
        line += *line == '\n';
        if (strncasecmp(line, "content-length:", 15) == 0) {
            conn->expected = (size_t)(end + 4 - conn->data) + strtoul(line + 15, NULL, 10);
            return true;
        }
    }
    return false;
}

/* Read; at the end of an answer make the next request. A bigger answer than the buffer is read over itself.
 */
static void
pull(Conn *conn)
{
    for (;;) {
        size_t at = conn->expected ? 0 : conn->got;
        ssize_t got = recv(conn->fd, conn->data + at, BUF_SIZE - at, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            give_up(conn);
            return;
        }
        conn->got += (size_t)got;
        if (conn->expected == 0 && !measure(conn)) {
            give_up(conn);
            return;
        }
        if (conn->expected != 0 && conn->got >= conn->expected)
            break;
    }
    answered++;
    record(now() - conn->since);
    if (want.fresh) {
        close(conn->fd);
        open_conn(conn);
    } else {
        ask(conn);
    }
}

static double
percentile(double part)
{
    long left = (long)((double)answered * part);

    for (int i = 0; i < MICROS; i++)
        if ((left -= micros[i]) < 0)
            return i / 1000.0;
    for (int i = 0; i <= MILLIS; i++)
        if ((left -= millis[i]) < 0)
            return i;
    return MILLIS;
}

static void
parse(int argc, char **argv)
{
    int option = 0;

    while ((option = getopt(argc, argv, "c:n:d:b:f:p:x")) != -1) {
        switch (option) {
        case 'c':
            want.connections = atol(optarg);
            break;
        case 'n':
            want.requests = atol(optarg);
            break;
        case 'd':
            want.seconds = atof(optarg);
            break;
        case 'b':
            want.body = atol(optarg);
            break;
        case 'f':
            want.fields = atol(optarg);
            break;
        case 'p':
            want.path = optarg;
            break;
        case 'x':
            want.fresh = true;
            break;
        default:
            exit(2);
        }
    }
    want.port = (uint16_t)(optind < argc ? atoi(argv[optind]) : 0);
    if (want.port == 0 || want.connections < 1 || want.connections > CONNS_MAX) {
        fprintf(stderr, "usage: load [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] [-b BYTES] [-f FIELDS] "
                        "[-p PATH] [-x] PORT\n");
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    struct epoll_event events[256];
    uint64_t started = 0;

    parse(argc, argv);
    compose();
    epoll = epoll_create1(0);
    started = now();
    deadline = started + (uint64_t)(want.seconds * 1e9);
    Conn *conns = calloc((size_t)want.connections, sizeof *conns);
    if (conns == NULL)
        return 1;
    for (long i = 0; i < want.connections; i++)
        open_conn(&conns[i]);
    /* An answer that does not come within 10 s ends the run: what is missing then counts as errors. */
    while (answered + errors < asked) {
        int count = epoll_wait(epoll, events, 256, 10000);
        if (count <= 0)
            break;
        for (int i = 0; i < count; i++) {
            Conn *conn = events[i].data.ptr;
            if (conn->sent < request_len && events[i].events & EPOLLOUT && conn->since != 0)
                push(conn);
            if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && conn->since != 0)
                pull(conn);
        }
    }
    printf("{\"requests\": %ld, \"errors\": %ld, \"connections\": %ld, \"seconds\": %.6f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f}\n",
           answered, asked - answered, connected, (double)(now() - started) / 1e9, percentile(0.5),
           percentile(0.99));
    free(conns);
    return 0;
}

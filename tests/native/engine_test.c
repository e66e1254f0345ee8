/* The engine without Python, over pairs of sockets; a case is a function, run by name. See test_engine.py. */
#include "check.h"
#include "connection.h"
#include "handover.h"

#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define SOON   (SECOND / 20)
#define NEVER  (5 * SECOND)

static FcEngine engine;
static FcLine line;
static char bytes[1 << 20];

static void
begin(uint64_t body_timeout, uint64_t write_timeout)
{
    FcConfig config = {
        .limits = {.request_line = 8190, .field = 8190, .head = 65536, .fields = 100},
        .header_timeout = NEVER,
        .keep_alive = NEVER,
        .body_timeout = body_timeout,
        .write_timeout = write_timeout,
        .body_buffer = 65536,
        .stream_body = true,
    };

    CHECK(fc_engine_init(&engine, &config, &line) == 0);
}

/* The client's end of a new connection, without blocking. */
static int
client(void)
{
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    fc_conn_idle(&engine, fc_conn_adopt(&engine, pair[0]));
    return pair[1];
}

static void
say(int fd, const char *text)
{
    CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
}

/* Read all that is there. */
static size_t
drain(int fd)
{
    size_t all = 0;
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        all += (size_t)n;
    return all;
}

/* What the engine gives out next; NULL: nothing is ready. */
static FcConn *
next(void)
{
    FcConn *conn = fc_engine_next(&engine);

    if (conn == NULL) {
        CHECK(fc_engine_poll(&engine) >= 0);
        conn = fc_engine_next(&engine);
    }
    return conn;
}

static FcConn *
next_before(uint64_t until)
{
    FcConn *conn;

    while ((conn = next()) == NULL && fc_now() < until)
        ;
    return conn;
}

static void
spin(uint64_t ns)
{
    uint64_t until = fc_now() + ns;

    while (fc_now() < until)
        ;
}

/* Send pieces of an answer until the kernel takes no more: less than one is queued. */
static void
fill(FcConn *conn)
{
    struct iovec vector = {bytes, 4096};
    bool kept;

    while (fc_conn_send(&engine, conn, &vector, 1, NULL, &kept) != FC_QUEUED)
        ;
}

/* -- fairness */

static void
pipelined_requests_starve_nobody(void)
{
    static const char request[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    unsigned served = 0;
    size_t all = 0;
    int greedy, other;
    FcConn *conn;

    begin(NEVER, NEVER);
    greedy = client();
    other = client();
    for (; all < 4000; all++)
        memcpy(bytes + all * (sizeof request - 1), request, sizeof request - 1);
    CHECK(send(greedy, bytes, all * (sizeof request - 1), 0) == (ssize_t)(all * (sizeof request - 1)));
    conn = next();
    CHECK(conn != NULL);
    say(other, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    while (conn != NULL && memcmp(conn->buf->data + 4, "/b", 2) != 0) {
        served++;
        spin(SECOND / 100000);
        fc_conn_checkin(&engine, conn);
        conn = next();
    }
    CHECK(conn != NULL && served < all / 2);
    close(greedy);
    close(other);
}

static void
busy_clients_starve_no_pipelined_requests(void)
{
    static const char request[] = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    int other[2], pipelining, left = 3;

    begin(NEVER, NEVER);
    pipelining = client();
    other[0] = client();
    other[1] = client();
    say(other[0], request);
    say(other[1], request);
    for (int i = 0; i < left; i++)
        say(pipelining, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int served = 0; left > 0; served++) {
        FcConn *conn = next();
        int which = conn->index == 1 ? 0 : 1;

        CHECK(conn != NULL && served < 20);
        spin(2 * SECOND / 1000); /* an application that takes longer than a queue's turn */
        if (memcmp(conn->buf->data + 4, "/a", 2) == 0)
            left--;
        else
            say(other[which], request); /* as soon as it has its answer */
        fc_conn_checkin(&engine, conn);
    }
    close(pipelining);
    close(other[0]);
    close(other[1]);
}

/* -- a connection that its gateway keeps, and waits for in two ways */

/* One whose request has a body to come, and whose answer the client does not read. */
static FcConn *
busy_both_ways(int fd)
{
    FcConn *conn;

    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    conn = next();
    CHECK(conn != NULL && conn->why == FC_WHY_REQUEST);
    fill(conn);
    fc_conn_want(&engine, conn, FC_WANT_ROOM);
    return conn;
}

static void
room_that_came_while_nobody_waited_is_told(void)
{
    int fd;
    FcConn *conn;

    begin(NEVER, NEVER);
    fd = client();
    conn = busy_both_ways(fd);
    drain(fd);
    CHECK(next() == conn && conn->why == FC_WHY_ROOM);
    fill(conn);
    drain(fd);
    CHECK(next() == NULL); /* the edge is spent */
    fc_conn_want(&engine, conn, FC_WANT_ROOM);
    CHECK(next() == conn && conn->why == FC_WHY_ROOM);
    close(fd);
}

static void
bytes_that_come_with_room_are_told(void)
{
    int fd;
    FcConn *conn;

    begin(NEVER, NEVER);
    fd = client();
    conn = busy_both_ways(fd);
    fc_conn_want(&engine, conn, FC_WANT_BODY);
    CHECK(next() == NULL);
    drain(fd);
    say(fd, "h");
    CHECK(next() == conn && conn->why == FC_WHY_BODY);
    close(fd);
}

static void
an_end_that_comes_with_room_is_told(void)
{
    int fd;
    FcConn *conn;

    begin(NEVER, NEVER);
    fd = client();
    conn = busy_both_ways(fd);
    fc_conn_want(&engine, conn, FC_WANT_GONE);
    CHECK(next() == NULL);
    drain(fd);
    shutdown(fd, SHUT_WR);
    conn = next();
    CHECK(conn != NULL && conn->why == FC_WHY_GONE);
    close(fd);
}

static void
a_body_is_late_though_an_answer_was_queued(void)
{
    int fd;
    FcConn *conn;

    begin(SOON, NEVER);
    fd = client();
    conn = busy_both_ways(fd);
    fc_conn_want(&engine, conn, FC_WANT_BODY);
    for (uint64_t until = fc_now() + NEVER; fc_now() < until;) {
        drain(fd);
        conn = next();
        if (conn != NULL && conn->why == FC_WHY_LATE)
            break;
    }
    CHECK(conn != NULL && conn->why == FC_WHY_LATE);
    close(fd);
}

static void
a_pause_of_the_gateway_is_not_the_clients(void)
{
    size_t got;
    bool last;
    int fd;
    FcConn *conn;

    begin(SOON, NEVER);
    engine.config.body_min_rate = 1000;
    fd = client();
    conn = busy_both_ways(fd);
    fc_conn_want(&engine, conn, FC_WANT_BODY);
    say(fd, "h");
    CHECK(next() == conn && conn->why == FC_WHY_BODY && conn->wants & FC_WANT_ROOM);
    CHECK(fc_conn_stream(&engine, conn, bytes, 1, &got, &last) == FC_STREAM_DATA);
    while (conn->wants & FC_WANT_ROOM) {
        drain(fd);
        next();
    }
    spin(3 * SOON);
    fc_conn_want(&engine, conn, FC_WANT_BODY);
    CHECK(next() == NULL);
    say(fd, "e");
    CHECK(next() == conn && conn->why == FC_WHY_BODY);
    close(fd);
}

static void
a_body_in_drops_is_late(void)
{
    uint64_t until;
    int fd;
    FcConn *conn;

    begin(SOON, NEVER);
    engine.config.body_min_rate = 1000;
    fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    conn = next();
    CHECK(conn != NULL);
    until = fc_now() + NEVER;
    for (conn->why = FC_WHY_BODY; conn->why == FC_WHY_BODY && fc_now() < until;) {
        size_t got;
        bool last;

        say(fd, "x");
        fc_conn_want(&engine, conn, FC_WANT_BODY);
        CHECK(next_before(until) == conn);
        spin(SECOND / 200);
        while (fc_conn_stream(&engine, conn, bytes, sizeof bytes, &got, &last) == FC_STREAM_DATA)
            ;
        fc_conn_want(&engine, conn, FC_WANT_BODY);
        spin(SECOND / 200);
        if (next() == conn)
            break;
        conn->why = FC_WHY_BODY;
    }
    CHECK(conn->why == FC_WHY_LATE);
    close(fd);
}

/* A request whose body comes after its head, with `behind` right behind it, is answered. */
static FcConn *
answer_late_body(bool streamed, int fd, const char *behind)
{
    size_t got = 5;
    bool last = true;
    FcConn *conn;

    engine.config.stream_body = streamed;
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    conn = next();
    CHECK((conn != NULL) == streamed);
    snprintf(bytes, sizeof bytes, "hello%s", behind);
    say(fd, bytes);
    if (streamed) {
        fc_conn_want(&engine, conn, FC_WANT_BODY);
        CHECK(next() == conn && conn->why == FC_WHY_BODY);
        CHECK(fc_conn_stream(&engine, conn, bytes, sizeof bytes, &got, &last) == FC_STREAM_DATA);
    } else {
        conn = next();
        CHECK(conn != NULL && memcmp(conn->body.memory, "hello", 5) == 0);
        got = conn->body.size;
    }
    CHECK(got == 5 && last);
    fc_conn_checkin(&engine, conn);
    return conn;
}

static void
a_body_read_to_its_end_leaves_nothing_to_look_at(void)
{
    int fd;

    begin(NEVER, NEVER);
    fd = client();
    for (int streamed = 0; streamed < 2; streamed++) {
        answer_late_body(streamed, fd, "");
        CHECK(!fc_engine_busy(&engine));
    }
    close(fd);
}

static void
what_comes_with_the_end_of_a_body_is_the_next_request(void)
{
    int fd;
    FcConn *conn;

    begin(NEVER, NEVER);
    fd = client();
    for (int streamed = 0; streamed < 2; streamed++) {
        conn = answer_late_body(streamed, fd, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK(next() == conn && memcmp(conn->buf->data, "GET /b ", 7) == 0);
        fc_conn_checkin(&engine, conn);
        CHECK(next() == NULL && conn->state == FC_CONN_IDLE);
    }
    close(fd);
}

static void
what_is_sent_meanwhile_gives_a_silent_reader_no_time(void)
{
    uint64_t until;
    int fd;
    FcConn *conn, *given = NULL;

    begin(NEVER, SOON);
    fd = client();
    conn = busy_both_ways(fd);
    for (until = fc_now() + NEVER; given == NULL && fc_now() < until; given = next()) {
        struct iovec vector = {bytes, 1};
        bool kept;

        CHECK(fc_conn_send(&engine, conn, &vector, 1, NULL, &kept) == FC_QUEUED);
        fc_conn_want(&engine, conn, FC_WANT_ROOM);
        spin(SECOND / 1000);
    }
    CHECK(given == conn && conn->why == FC_WHY_GONE);
    close(fd);
}

/* -- leaving */

/* Leave with one idle connection and one peer in that state. */
static void
leave_beside(FcState state, FcBoard *board, FcHandover **handover, int pair[2])
{
    int board_fd = fc_board_create("a");
    FcLine *peer;

    CHECK(fc_board_map(board, board_fd, true) == 0);
    close(board_fd);
    peer = fc_board_line(board, 1);
    fc_line_claim(peer, 7, 0, 1, fc_now());
    fc_store(&peer->state, state);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    begin(NEVER, NEVER);
    *handover = engine.handover = fc_handover_new(board, &line, -1);
    CHECK(*handover != NULL);
    fc_peers_add(&(*handover)->peers, 1, 7, pair[0]);
    client();
    fc_engine_command(&engine, FC_COMMAND_DRAIN);
    CHECK(next() == NULL);
}

static void
end_beside(FcBoard *board, FcHandover *handover, int inbox)
{
    close(inbox);
    fc_engine_free(&engine);
    fc_handover_free(handover);
    fc_board_unmap(board);
}

static void
who_leaves_waits_for_a_peer_that_is_full(void)
{
    FcBoard board;
    FcHandover *handover;
    int pair[2];

    leave_beside(FC_STATE_FULL, &board, &handover, pair);
    CHECK(engine.open == 1 && fc_engine_keeps(&engine));
    CHECK(next_before(fc_now() + FC_DRAIN_IDLE_NS + SOON) == NULL);
    CHECK(engine.open == 1 && fc_engine_keeps(&engine));
    fc_store(&fc_board_line(&board, 1)->state, FC_STATE_READY);
    CHECK(next_before(fc_now() + 2 * SOON) == NULL);
    CHECK(engine.open == 0);
    end_beside(&board, handover, pair[1]);
}

static void
who_leaves_alone_closes_what_is_idle(void)
{
    FcBoard board;
    FcHandover *handover;
    int pair[2];

    leave_beside(FC_STATE_DEAD, &board, &handover, pair);
    CHECK(engine.open == 1 && !fc_engine_keeps(&engine));
    CHECK(next_before(fc_now() + FC_DRAIN_IDLE_NS + SOON) == NULL);
    CHECK(engine.open == 0);
    end_beside(&board, handover, pair[1]);
}

static void
who_leaves_gives_to_a_busy_peer_where_no_other_is(void)
{
    FcBoard board;
    FcHandover *handover;
    int pair[2];

    leave_beside(FC_STATE_BUSY, &board, &handover, pair);
    CHECK(engine.open == 0);
    end_beside(&board, handover, pair[1]);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"pipelined_requests_starve_nobody", pipelined_requests_starve_nobody},
    {"busy_clients_starve_no_pipelined_requests", busy_clients_starve_no_pipelined_requests},
    {"room_that_came_while_nobody_waited_is_told", room_that_came_while_nobody_waited_is_told},
    {"bytes_that_come_with_room_are_told", bytes_that_come_with_room_are_told},
    {"an_end_that_comes_with_room_is_told", an_end_that_comes_with_room_is_told},
    {"a_body_is_late_though_an_answer_was_queued", a_body_is_late_though_an_answer_was_queued},
    {"a_pause_of_the_gateway_is_not_the_clients", a_pause_of_the_gateway_is_not_the_clients},
    {"a_body_in_drops_is_late", a_body_in_drops_is_late},
    {"a_body_read_to_its_end_leaves_nothing_to_look_at", a_body_read_to_its_end_leaves_nothing_to_look_at},
    {"what_comes_with_the_end_of_a_body_is_the_next_request",
     what_comes_with_the_end_of_a_body_is_the_next_request},
    {"what_is_sent_meanwhile_gives_a_silent_reader_no_time",
     what_is_sent_meanwhile_gives_a_silent_reader_no_time},
    {"who_leaves_waits_for_a_peer_that_is_full", who_leaves_waits_for_a_peer_that_is_full},
    {"who_leaves_alone_closes_what_is_idle", who_leaves_alone_closes_what_is_idle},
    {"who_leaves_gives_to_a_busy_peer_where_no_other_is", who_leaves_gives_to_a_busy_peer_where_no_other_is},
};

int
main(int argc, char **argv)
{
    for (unsigned i = 0; argc == 2 && i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            fc_engine_free(&engine);
            return 0;
        }
    printf("usage: engine_test CASE\n");
    return 2;
}

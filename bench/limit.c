/* The ceiling: the least a server on epoll can do. It finds the end of a head and a Content-Length, answers
 * GET with thirteen bytes and POST with the body it got, and closes when the head asks for it. No timers, no
 * limits, no logs, no Python: what is left is the kernel. Never meant to face anything but the benchmark.
 *
 *     limit PORT [PROCESSES]
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUF_SIZE (64 * 1024)
#define EVENTS   256
#define FD_MAX   65536

/* What one connection has sent and was not yet answered. Owned by the table. */
typedef struct Conn {
    size_t len;
    char data[BUF_SIZE];
} Conn;

static Conn *conns[FD_MAX];

static int
listen_on(uint16_t port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

    inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) || listen(fd, 2048)) {
        perror("limit: listening");
        exit(1);
    }
    return fd;
}

/* The value of Content-Length in a head, 0 without one. The benchmark's clients write it like this. */
static size_t
body_length(const char *head, const char *end)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *found = memmem(head, (size_t)(end - head), name, sizeof name - 1);

    return found ? strtoul(found + sizeof name - 1, NULL, 10) : 0;
}

static void
answer(int fd, const char *body, size_t len)
{
    char head[128];
    int head_len = snprintf(
        head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", len);
    struct iovec parts[] = {{head, (size_t)head_len}, {(char *)body, len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
        perror("limit: sending");
}

/* Answer every whole request of these bytes; says how many they were. Returns -1 when it is time to close. */
static int
serve(int fd, const char *data, size_t len, size_t *used)
{
    size_t at = 0;

    while (at < len) {
        const char *head = data + at;
        const char *end = memmem(head, len - at, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        size_t body = *head == 'P' ? body_length(head, end) : 0;
        if (body > BUF_SIZE)
            return -1;
        if ((size_t)(data + len - (end + 4)) < body)
            break;
        if (*head == 'P')
            answer(fd, end + 4, body);
        else
            answer(fd, "Hello, world!", 13);
        if (memmem(head, (size_t)(end - head), "Connection: close", 17) != NULL)
            return -1;
        at = (size_t)(end + 4 + body - data);
    }
    *used = at;
    return len - at == BUF_SIZE ? -1 : 0;
}

/* Read once into the one buffer that stays in the cache, answer what is whole, keep the rest for later.
 * Returns -1 when the connection was closed. */
static int
take(int fd)
{
    static char buffer[BUF_SIZE];
    Conn *conn = conns[fd];
    size_t used = 0;

    memcpy(buffer, conn->data, conn->len);
    ssize_t got = recv(fd, buffer + conn->len, BUF_SIZE - conn->len, MSG_DONTWAIT);
    if (got < 0)
        return 0;
    size_t len = conn->len + (size_t)got;
    if (got == 0 || serve(fd, buffer, len, &used) != 0) {
        close(fd);
        return -1;
    }
    conn->len = len - used;
    memcpy(conn->data, buffer + used, conn->len);
    return 0;
}

/* Accept all there are; what was answered and closed at once never meets epoll. */
static void
meet(int epoll, int listener)
{
    int fd = -1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        if (fd >= FD_MAX || (conns[fd] == NULL && (conns[fd] = malloc(sizeof *conns[fd])) == NULL)) {
            close(fd);
            continue;
        }
        conns[fd]->len = 0;
        if (take(fd) == 0)
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int
main(int argc, char **argv)
{
    int listener = listen_on((uint16_t)(argc > 1 ? atoi(argv[1]) : 8000));
    int epoll = -1;

    for (int i = argc > 2 ? atoi(argv[2]) : 1; i > 1; i--)
        if (fork() == 0)
            break;
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                meet(epoll, listener);
            else
                take(events[i].data.fd);
        }
    }
}

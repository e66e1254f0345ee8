/* csrc/flight.c alone; each case is a function, run by name. See test_flight.py. */
#include "check.h"
#include "flight.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OLD (10 * FC_FLIGHT_OLD_NS)

static FcFlights flights;
static FcLine line;

static FcFlight *
begin(uint64_t now, const char *path)
{
    return fc_flight_begin(&flights, now, "GET", 3, path, strlen(path));
}

static const char *
oldest(uint64_t now)
{
    static FcOldest found;

    fc_flights_publish(&flights, &line, now);
    CHECK(fc_oldest_read(&line, &found));
    return found.since_ns != 0 ? found.path : "none";
}

static void
the_oldest_is_published_whatever_the_order_they_end_in(void)
{
    FcFlight *a = begin(1, "/a"), *b = begin(2, "/b"), *c = begin(3, "/c");

    CHECK(strcmp(oldest(OLD), "/a") == 0);
    fc_flight_end(&flights, b);
    CHECK(strcmp(oldest(OLD), "/a") == 0);
    fc_flight_end(&flights, a);
    CHECK(strcmp(oldest(OLD), "/c") == 0);
    fc_flight_end(&flights, c);
    CHECK(strcmp(oldest(OLD), "none") == 0);
}

static void
a_young_request_is_nobodys_business(void)
{
    FcFlight *a = begin(1000, "/a");

    CHECK(strcmp(oldest(1000 + FC_FLIGHT_OLD_NS - 1), "none") == 0);
    CHECK(strcmp(oldest(1000 + FC_FLIGHT_OLD_NS), "/a") == 0);
    fc_flight_end(&flights, a);
}

static void
a_long_path_is_cut(void)
{
    char path[1000];
    FcFlight *a;

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    a = begin(1, path);
    CHECK(strlen(oldest(OLD)) == FC_FLIGHT_PATH);
    fc_flight_end(&flights, a);
}

static void
records_are_used_again(void)
{
    FcFlight *first = begin(1, "/a");

    fc_flight_end(&flights, first);
    for (int i = 0; i < 1000; i++) {
        FcFlight *again = begin((uint64_t)i, "/b");

        CHECK(again == first);
        fc_flight_end(&flights, again);
    }
}

static void
the_monitor_is_woken_by_the_first_request_after_it_went_to_sleep(void)
{
    struct pollfd poller = {.fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN};
    uint64_t count = 0;
    FcFlight *a, *b;

    atomic_store(&flights.wake, poller.fd);
    a = begin(1, "/a");
    CHECK(poll(&poller, 1, 0) == 1 && read(poller.fd, &count, sizeof count) == sizeof count);
    b = begin(2, "/b");
    CHECK(poll(&poller, 1, 0) == 0);
    CHECK(!fc_flights_unwatch(&flights));
    fc_flight_end(&flights, a);
    fc_flight_end(&flights, b);
    CHECK(fc_flights_unwatch(&flights));
    a = begin(3, "/c");
    CHECK(poll(&poller, 1, 0) == 1);
    fc_flight_end(&flights, a);
    close(poller.fd);
}

/* -- two threads
 * -------------------------------------------------------------------------------------------------- */

static atomic_bool stop;

static void *
watch(void *unused)
{
    FcOldest found;

    (void)unused;
    while (!atomic_load(&stop)) {
        fc_flights_publish(&flights, &line, UINT64_MAX / 2); /* every one of them is old */
        CHECK(fc_oldest_read(&line, &found));
        if (found.since_ns == 0)
            continue;
        for (const char *c = found.path; *c != '\0'; c++)
            CHECK(*c == found.path[0]);
        CHECK((uint64_t)found.path[0] == 'a' + found.since_ns % 26);
    }
    return NULL;
}

static void
a_request_is_never_seen_mixed_with_another(void)
{
    pthread_t thread;
    FcFlight *flying[4] = {NULL};

    pthread_create(&thread, NULL, watch, NULL);
    for (uint64_t now = 1; now < 100000; now++) {
        char path[FC_FLIGHT_PATH];
        unsigned slot = (unsigned)(now * 7 % 4);

        memset(path, (int)('a' + now % 26), sizeof path);
        if (flying[slot] != NULL)
            fc_flight_end(&flights, flying[slot]);
        flying[slot] = fc_flight_begin(&flights, now, "GET", 3, path, 1 + now % sizeof path);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

#define CASES(X)                                                                                             \
    X(the_oldest_is_published_whatever_the_order_they_end_in)                                                \
    X(a_young_request_is_nobodys_business)                                                                   \
    X(a_long_path_is_cut)                                                                                    \
    X(records_are_used_again)                                                                                \
    X(the_monitor_is_woken_by_the_first_request_after_it_went_to_sleep)                                      \
    X(a_request_is_never_seen_mixed_with_another)

int
main(int argc, char **argv)
{
    fc_flights_init(&flights);
#define X(name)                                                                                              \
    if (argc > 1 && strcmp(argv[1], #name) == 0) {                                                           \
        name();                                                                                              \
        fc_flights_free(&flights);                                                                           \
        return 0;                                                                                            \
    }
    CASES(X)
#undef X
    printf("no such case\n");
    return 2;
}

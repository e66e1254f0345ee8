/* See flight.h. */
#include "flight.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
fc_flights_init(FcFlights *flights)
{
    memset(flights, 0, sizeof *flights);
    atomic_store(&flights->wake, -1);
}

void
fc_flights_free(FcFlights *flights)
{
    while (flights->made != NULL) {
        FcFlight *flight = flights->made;

        flights->made = flight->made;
        free(flight);
    }
    flights->free = flights->newest = NULL;
    atomic_store(&flights->oldest, NULL);
}

static FcFlight *
take(FcFlights *flights)
{
    FcFlight *flight = flights->free;

    if (flight != NULL) {
        flights->free = flight->newer;
        return flight;
    }
    flight = calloc(1, sizeof *flight);
    if (flight != NULL) {
        flight->made = flights->made;
        flights->made = flight;
    }
    return flight;
}

static uint8_t
copy(char *to, size_t cap, const char *from, size_t len)
{
    size_t n = len < cap ? len : cap;

    memcpy(to, from, n);
    return (uint8_t)n;
}

static void
wake(FcFlights *flights)
{
    uint64_t one = 1;
    int fd = atomic_load(&flights->wake);
    ssize_t ignored;

    atomic_store(&flights->watched, true);
    if (fd >= 0) {
        ignored = write(fd, &one, sizeof one);
        (void)ignored;
    }
}

FcFlight *
fc_flight_begin(FcFlights *flights, uint64_t now, const char *method, size_t method_len, const char *path,
                size_t path_len)
{
    FcFlight *flight = take(flights);

    if (flight == NULL)
        return NULL;
    flight->method_len = copy(flight->method, sizeof flight->method, method, method_len);
    flight->path_len = copy(flight->path, sizeof flight->path, path, path_len);
    fc_store(&flight->since_ns, now);
    flight->newer = NULL;
    flight->older = flights->newest;
    flights->newest = flight;
    if (flight->older != NULL) {
        flight->older->newer = flight;
        return flight;
    }
    /* Sequentially consistent, as is the load of watched: either we see that the monitor has gone to sleep,
     * or it sees this one before it does. */
    atomic_store(&flights->oldest, flight);
    if (!atomic_load(&flights->watched))
        wake(flights);
    return flight;
}

void
fc_flight_end(FcFlights *flights, FcFlight *flight)
{
    if (flight->newer != NULL)
        flight->newer->older = flight->older;
    else
        flights->newest = flight->older;
    if (flight->older != NULL)
        flight->older->newer = flight->newer;
    else
        atomic_store(&flights->oldest, flight->newer);
    /* The monitor said that it looks before it took the pointer, and both are sequentially consistent: once
     * it is seen not to look, it does not look at this record. It copies some hundred bytes. */
    while (atomic_load(&flights->looking))
        continue;
    flight->newer = flights->free;
    flights->free = flight;
}

bool
fc_flights_publish(FcFlights *flights, FcLine *line, uint64_t now)
{
    const FcFlight *flight = NULL;
    uint64_t since = 0;

    atomic_store(&flights->looking, true);
    flight = atomic_load(&flights->oldest);
    if (flight != NULL)
        since = fc_load(&flight->since_ns);
    if (flight != NULL && since + FC_FLIGHT_OLD_NS <= now)
        fc_oldest_publish(line, since, flight->method, flight->method_len, flight->path, flight->path_len);
    else if (fc_load(&line->oldest_since_ns) != 0)
        fc_oldest_publish(line, 0, "", 0, "", 0);
    atomic_store(&flights->looking, false);
    return flight != NULL;
}

bool
fc_flights_unwatch(FcFlights *flights)
{
    atomic_store(&flights->watched, false);
    if (atomic_load(&flights->oldest) == NULL)
        return true;
    atomic_store(&flights->watched, true);
    return false;
}

/* Which request has been without an answer for longest: for the monitor, which looks while the engine works.
 *
 * A flight begins when a request is given out and ends with the first byte of its answer (or of its
 * connection's end). One thread begins and ends flights (whoever holds the engine); one other looks at the
 * oldest. A record is recycled, never freed before the engine is, so that looking is always at memory that is
 * there.
 */
#ifndef FC_FLIGHT_H
#define FC_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scoreboard.h"

#define FC_FLIGHT_METHOD 16
#define FC_FLIGHT_PATH   112
#define FC_FLIGHT_OLD_NS 100000000ull /* younger ones are nobody's business */

typedef struct FcFlight {
    struct FcFlight *older, *newer; /* in the air; newer: on the free list, too */
    struct FcFlight *made;          /* all there are, to be freed at the end */
    FcWord since_ns;                /* atomic: a look may meet a record that is being used again */
    uint8_t method_len, path_len;
    char method[FC_FLIGHT_METHOD], path[FC_FLIGHT_PATH]; /* cut, no NUL */
} FcFlight;

typedef struct FcFlights {
    FcFlight *_Atomic oldest;
    FcFlight *newest, *free, *made;
    _Atomic bool looking; /* the monitor reads the oldest record */
    _Atomic bool watched; /* the monitor looks from time to time; else it must be woken */
    _Atomic int wake;     /* borrowed eventfd of the monitor; -1: none */
} FcFlights;

void fc_flights_init(FcFlights *flights);
void fc_flights_free(FcFlights *flights);

/* A request begins. NULL: out of memory, it is not watched. The texts are copied. */
FcFlight *fc_flight_begin(FcFlights *flights, uint64_t now, const char *method, size_t method_len,
                          const char *path, size_t path_len);
/* It has got its answer. */
void fc_flight_end(FcFlights *flights, FcFlight *flight);

/* From the monitor: publish the oldest that is old enough, or that there is none. Whether anything is in the
 * air. */
bool fc_flights_publish(FcFlights *flights, FcLine *line, uint64_t now);
/* From the monitor: it will not look again unless woken. False: something is in the air, go on looking. */
bool fc_flights_unwatch(FcFlights *flights);

#endif

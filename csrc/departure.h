/* What goes out to peers: connections that are moved for balance and those of a worker that leaves. For
 * handover.c. */
#ifndef FC_DEPARTURE_H
#define FC_DEPARTURE_H

#include "handover.h"

/* Move the movers that shall still move. */
void fc_departure_flush(FcEngine *engine);
/* Choose movers among the idle connections that have stayed for FC_SETTLED_NS and have not found their worker
 * yet: one that comes and goes is never worth moving. Tries again later for those that are too young. */
void fc_departure_settled(FcEngine *engine);
/* Leaving: move every connection that can be moved. */
void fc_departure_all(FcEngine *engine);

/* Whether there is a peer who serves and can be sent to. Any thread. */
bool fc_departure_has_peer(FcEngine *engine);

#endif

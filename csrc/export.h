/* A worker that is stuck in a call gives away what has become readable. See handover.h. */
#ifndef FC_EXPORT_H
#define FC_EXPORT_H

#include "engine.h"

typedef enum FcExport {
    FC_EXPORT_NOTHING, /* nobody waits */
    FC_EXPORT_NOBODY,  /* somebody waits, and no peer is free */
    FC_EXPORT_DONE,    /* some, or all, were sent */
} FcExport;

/* Whether anything waits to be looked at. T. */
bool fc_export_waits(FcEngine *engine);

/* Look for what waits (connections that are readable or new, the accept queue, the inbox) and send it to free
 * peers. What stays is queued, for whoever leads next. By the monitor, T. */
FcExport fc_export(FcEngine *engine);

#endif

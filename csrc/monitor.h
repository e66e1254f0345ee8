/* The monitor: a worker's native thread that never needs the GIL.
 *
 * It reads the master's commands on the channel, obeys deadlines and the master's death, so that a worker
 * whose Python is stuck still drains, still answers and still exits. It meets long calls, and gives what
 * waits behind them to peers or to another thread (overseer.c). For a nested engine it is the acceptor, too:
 * an exclusive wake-up does not reach through a nested epoll set, so it sleeps on the listeners itself. It
 * blocks all signals and never runs Python. It lives until the process ends: fc_monitor_detach() takes the
 * engine away from it, the deadline for the exit stays.
 */
#ifndef FC_MONITOR_H
#define FC_MONITOR_H

#include "crew.h"
#include "engine.h"

#define FC_ORPHAN_NS 2000000000ull /* after the master's death */

typedef struct FcMonitor FcMonitor;

/* Start the thread. channel is borrowed and must stay open (-1: none); engine and crew (NULL: there is one
 * serving thread) are borrowed until fc_monitor_detach(). NULL: see errno. */
FcMonitor *fc_monitor_start(FcEngine *engine, FcCrew *crew, int channel, uint32_t seat, uint32_t epoch);
/* Begin to accept for a nested engine. */
void fc_monitor_accept(FcMonitor *monitor);
/* The engine, its log and its crew are about to be freed. */
void fc_monitor_detach(FcMonitor *monitor);
/* Ask the master to retire this worker; reason is text. Async-signal-safe. */
void fc_monitor_leave(FcMonitor *monitor, const char *reason);
/* A SIGTERM that reaches this process by itself means "retire me": install the handler (of this process). */
int fc_monitor_catch_term(FcMonitor *monitor);

#endif

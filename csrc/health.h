/* The health path: a request that the engine answers by itself, for load balancers that can reach nothing
 * else.
 *
 * 200 while the app can be sent requests, else 503, as the master has written it on the scoreboard. Neither
 * counted nor logged, and the connection stays open as after any other answer.
 */
#ifndef FC_HEALTH_H
#define FC_HEALTH_H

#include "engine.h"

/* Whether the request in hand asks for it: GET or HEAD, whose body (if any) has come. */
bool fc_health_asked(const FcEngine *engine, const FcConn *conn);
/* Answer it and check the connection in. */
void fc_health_answer(FcEngine *engine, FcConn *conn);

#endif

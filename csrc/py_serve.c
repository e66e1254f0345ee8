/* The serving threads of a WSGI worker. See py_gateway.h, and crew.h for their roles.
 *
 * The leader runs the loop and calls the application itself. When its call takes long the monitor has the
 * spare take the loop over; the thread in the call is then *out*, and when it comes back it gives its
 * connection back, and takes the loop if the present leader is in a call, else parks. Who leads changes with
 * the GIL held only, so it needs no lock of its own.
 *
 * While threads are out the switch interval is short, and the leader offers the GIL between two requests: a
 * thread that comes back from waiting would else stand behind it for 5 ms each time.
 */
#include <pthread.h>

#include "py_gateway.h"

#define SHORT_INTERVAL 0.0002 /* seconds */
#define SECOND         1000000000ull

/* -- the token
 * ------------------------------------------------------------------------------------------------------- */

void
fc_wait_for_token(PyEngine *self)
{
    FcToken *token = &self->engine.token;

    do {
        Py_BEGIN_ALLOW_THREADS fc_token_await(token);
        Py_END_ALLOW_THREADS
    } while (!fc_token_take(token, FC_TOKEN_SERVER));
}

/* -- the GIL's share
 * ------------------------------------------------------------------------------------------------- */

/* Threads are out, or none is any more. */
static void
share(PyEngine *self, bool briefly)
{
    PyObject *interval = self->interval, *result;

    if (briefly == (self->interval != NULL))
        return;
    self->interval = briefly ? PyObject_CallNoArgs(self->get_interval) : NULL;
    if (briefly)
        interval = PyFloat_FromDouble(SHORT_INTERVAL);
    result = interval != NULL ? PyObject_CallOneArg(self->set_interval, interval) : NULL;
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(self->set_interval);
    Py_XDECREF(result);
    Py_XDECREF(interval);
}

static void
set_out(PyEngine *self, unsigned out)
{
    self->out = out;
    fc_store(&self->engine.line->threads_out, out);
}

/* Let whoever waits for the GIL have it; the monitor sees if we do not get it back. */
static void
offer(PyEngine *self)
{
    _Atomic uint64_t *waiting = &self->engine.waiting;

    atomic_fetch_add_explicit(waiting, 1, memory_order_relaxed);
    Py_BEGIN_ALLOW_THREADS Py_END_ALLOW_THREADS fc_enter(self);
    atomic_fetch_add_explicit(waiting, 1, memory_order_relaxed);
    if (self->engine.says_busy)
        fc_engine_set_busy(&self->engine, false);
}

/* -- who leads
 * ------------------------------------------------------------------------------------------------------- */

/* With the token: the loop is ours, and in no call. */
static void
lead_on(PyEngine *self, FcServer *me)
{
    FcEngine *engine = &self->engine;

    if (atomic_load_explicit(&engine->leader, memory_order_relaxed) != me)
        atomic_store_explicit(&engine->leader, me, memory_order_release);
    if (fc_load(&engine->line->calls) % 2 == 1)
        fc_store(&engine->line->calls, fc_load(&engine->line->calls) + 1);
    if (engine->says_busy)
        fc_engine_set_busy(engine, false);
}

bool
fc_come_back(PyEngine *self, FcServer *me)
{
    FcEngine *engine = &self->engine;

    fc_enter(self);
    if (atomic_load_explicit(&engine->leader, memory_order_relaxed) != me &&
        fc_load(&engine->line->calls) % 2 == 0)
        return false;
    lead_on(self, me); /* whoever was in a call as the leader is out in our place */
    return true;
}

void
fc_bow_out(PyEngine *self)
{
    bool wake = fc_engine_unsettled(&self->engine);

    fc_leave(self);
    if (wake)
        fc_engine_nudge(&self->engine);
}

/* A call that the monitor has met is over: count what it took since then. */
static void
count_long(PyEngine *self, FcServer *me)
{
    struct timespec t;
    uint64_t wall = fc_now() - atomic_load_explicit(&me->met_ns, memory_order_relaxed), cpu;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    cpu = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec -
          atomic_load_explicit(&me->met_cpu, memory_order_relaxed);
    if (cpu > wall)
        cpu = wall;
    fc_add(&self->engine.line->computed_ns, cpu);
    fc_add(&self->engine.line->blocked_ns, wall - cpu);
}

/* Wait as a spare. True: we lead. False: it is over. */
static bool
park(PyEngine *self, FcServer *me)
{
    FcEngine *engine = &self->engine;
    uint64_t call;

    for (;;) {
        Py_BEGIN_ALLOW_THREADS call = fc_crew_park(&self->crew);
        Py_END_ALLOW_THREADS if (call == 0) return false;
        fc_enter(self);
        if (fc_load(&engine->line->calls) == call) {
            lead_on(self, me);
            fc_leave(self);
            fc_add(&engine->line->promotions, 1);
            set_out(self, self->out + 1);
            share(self, true);
            fc_crew_hire(&self->crew);
            return true;
        }
        fc_leave(self); /* the call has ended meanwhile */
    }
}

/* -- the loop
 * ----------------------------------------------------------------------------------------------------- */

/* Sleep until something happens, without the token and without the GIL; the token is held before and, but for
 * an exception, after. The number of events, or -1 with an exception. */
static int
sleep_for_events(PyEngine *self)
{
    FcEngine *engine = &self->engine;
    int timeout = fc_engine_plan_sleep(engine), n;

    fc_leave(self);
    Py_BEGIN_ALLOW_THREADS n = fc_engine_sleep(engine, timeout);
    atomic_fetch_add_explicit(&engine->waiting, 1, memory_order_relaxed);
    Py_END_ALLOW_THREADS if (PyErr_CheckSignals() < 0) n = -EINTR;
    fc_enter(self);
    atomic_fetch_add_explicit(&engine->waiting, 1, memory_order_relaxed);
    if (engine->says_busy)
        fc_engine_set_busy(engine, false);
    fc_engine_wake(engine);
    if (n >= 0)
        return n;
    fc_leave(self);
    if (!PyErr_Occurred()) {
        errno = -n;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return -1;
}

typedef enum Turn {
    TURN_LED,    /* go on; the token is held */
    TURN_LOST,   /* another thread leads */
    TURN_OVER,   /* the drain is complete */
    TURN_FAILED, /* an exception is set */
} Turn;

/* After a request: a call with that number, and perhaps close() with the next odd one. */
static Turn
go_on(PyEngine *self, FcServer *me, uint64_t call, bool leads)
{
    uint64_t number = atomic_load_explicit(&me->met, memory_order_acquire);
    bool met = number == call || number == call + 2;

    if (self->forked_away) {
        if (leads)
            fc_leave(self);
        PyErr_SetString(PyExc_SystemExit, "a forked child has returned into the server");
        return TURN_FAILED;
    }
    if (leads && !met && self->out == 0 && self->engine.spent == NULL)
        return TURN_LED; /* as nearly always */
    if (leads)
        fc_leave(self);
    if (met)
        count_long(self, me);
    fc_release_spent(self);
    if (!leads) {
        set_out(self, self->out - 1);
        if (self->out == 0)
            share(self, false);
        return TURN_LOST;
    }
    if (self->out > 0)
        offer(self);
    else
        fc_enter(self);
    return TURN_LED;
}

/* Request bodies could not be kept, and were refused: once a second. */
static void
tell_storage(PyEngine *self)
{
    uint64_t now = self->engine.now;

    errno = self->engine.storage_error;
    self->engine.storage_error = 0;
    if (now < self->storage_told + SECOND)
        return;
    self->storage_told = now;
    fc_leave(self);
    PyErr_SetFromErrno(PyExc_OSError);
    fc_report(self,
              "keeping the body of a request, which was answered 503 (a large one needs TMPDIR, /tmp or "
              "/dev/shm)",
              "", 0, "", 0);
    fc_enter(self);
}

/* Nothing is ready. */
static Turn
rest(PyEngine *self)
{
    FcEngine *engine = &self->engine;
    int n;

    if (engine->spent != NULL) {
        fc_leave(self);
        fc_release_spent(self);
        fc_enter(self);
        return TURN_LED;
    }
    if (engine->storage_error != 0) {
        tell_storage(self);
        return TURN_LED;
    }
    if (fc_engine_drained(engine)) {
        fc_leave(self);
        fc_crew_end(&self->crew);
        return TURN_OVER;
    }
    n = fc_engine_poll(engine);
    if (n < 0) {
        fc_leave(self);
        errno = -n;
        PyErr_SetFromErrno(PyExc_OSError);
        return TURN_FAILED;
    }
    return n > 0 || sleep_for_events(self) >= 0 ? TURN_LED : TURN_FAILED;
}

/* Lead for as long as that lasts. The token is not held, before and after. */
static Turn
lead(PyEngine *self, FcServer *me)
{
    FcEngine *engine = &self->engine;
    Turn turn = TURN_LED;

    fc_enter(self);
    while (turn == TURN_LED) {
        FcConn *conn = fc_engine_next(engine);

        if (conn == NULL) {
            turn = rest(self);
        } else {
            uint64_t call = fc_load(&engine->line->calls) + 1;

            fc_leave(self);
            turn = go_on(self, me, call, fc_wsgi_serve_one(self, me, conn));
        }
    }
    return turn;
}

PyObject *
fc_serve(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;
    FcEngine *engine = &self->engine;
    FcServer *me = &self->servers[fc_crew_begin(&self->crew)];
    Turn turn = TURN_LOST;

    (void)ignored;
    if (pthread_getcpuclockid(pthread_self(), &me->clock) != 0)
        me->clock = CLOCK_MONOTONIC; /* every call seems to compute: nobody takes over without need */
    if (atomic_load(&engine->leader) == NULL) {
        atomic_store(&engine->leader, me);
        if (self->crew.most > 1)
            fc_crew_hire(&self->crew); /* the spare */
        turn = lead(self, me);
    }
    while (turn == TURN_LOST && park(self, me))
        turn = lead(self, me);
    if (turn == TURN_FAILED) {
        if (!self->forked_away) /* there the others do not exist */
            fc_crew_end(&self->crew);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* -- the main thread's part
 * ------------------------------------------------------------------------------------------------ */

int
fc_serve_prepare(PyEngine *self)
{
    PyObject *sys = PyImport_ImportModule("sys");

    self->get_interval = sys != NULL ? PyObject_GetAttrString(sys, "getswitchinterval") : NULL;
    self->set_interval = sys != NULL ? PyObject_GetAttrString(sys, "setswitchinterval") : NULL;
    Py_XDECREF(sys);
    return self->get_interval != NULL && self->set_interval != NULL ? 0 : -1;
}

void
fc_serve_clear(PyEngine *self)
{
    Py_CLEAR(self->context);
    Py_CLEAR(self->get_interval);
    Py_CLEAR(self->set_interval);
    Py_CLEAR(self->interval);
}

PyObject *
fc_serve_begin(PyObject *object, PyObject *app)
{
    PyEngine *self = (PyEngine *)object;
    int error;

    if (!self->live || self->app != NULL)
        return PyErr_Format(PyExc_RuntimeError, "begin() is for an Engine that is initialised, once");
    self->context = PyContext_CopyCurrent();
    if (self->context == NULL)
        return NULL;
    self->app = Py_NewRef(app);
    fc_enter(self);
    error = fc_engine_listen(&self->engine);
    fc_leave(self);
    if (error < 0) {
        errno = -error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (self->crew.most > 1)
        fc_crew_hire(&self->crew);
    Py_RETURN_NONE;
}

PyObject *
fc_serve_refused(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    fc_crew_refused(&((PyEngine *)object)->crew);
    Py_RETURN_NONE;
}

PyObject *
fc_serve_attend(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;
    FcHire hire;

    (void)ignored;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS hire = fc_crew_attend(&self->crew);
        Py_END_ALLOW_THREADS if (PyErr_CheckSignals() < 0) return NULL;
        if (hire != FC_HIRE_INTERRUPTED)
            return PyBool_FromLong(hire == FC_HIRE_THREAD);
    }
}

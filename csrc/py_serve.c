/* The serving loop of a WSGI worker. See py_gateway.h. */
#include "py_gateway.h"

/* Sleep until something happens, without the token and without the GIL. */
static int
sleep_for_events(PyEngine *self)
{
    int n;

    fc_engine_release(&self->engine);
    Py_BEGIN_ALLOW_THREADS n = fc_engine_poll(&self->engine, -1);
    Py_END_ALLOW_THREADS while (!fc_engine_try_take(&self->engine));
    return n;
}

/* Serve until the drain is complete. -1 with an exception of a Python signal handler, or of epoll. */
static int
serve(PyEngine *self)
{
    FcEngine *engine = &self->engine;
    FcConn *conn;
    int n;

    for (;;) {
        while ((conn = fc_engine_next(engine)) != NULL) {
            fc_wsgi_serve_one(self, conn);
            if (self->forked_away) {
                PyErr_SetString(PyExc_SystemExit, "a forked child has returned into the server");
                return -1;
            }
        }
        fc_release_spent(self);
        if (fc_engine_drained(engine))
            return 0;
        n = fc_engine_poll(engine, 0);
        if (n == 0)
            n = sleep_for_events(self);
        if (n < 0) {
            errno = -n;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

PyObject *
fc_serve_wsgi(PyObject *object, PyObject *app)
{
    PyEngine *self = (PyEngine *)object;
    int result;

    if (!self->live)
        return PyErr_Format(PyExc_RuntimeError, "the Engine is not initialised");
    if (!fc_engine_try_take(&self->engine))
        return PyErr_Format(PyExc_RuntimeError, "the Engine serves already");
    Py_XSETREF(self->app, Py_NewRef(app));
    result = fc_engine_listen(&self->engine);
    if (result < 0) {
        errno = -result;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result = serve(self);
    }
    if (!self->forked_away && self->engine.log != NULL)
        fc_engine_stop_log(&self->engine, 1000);
    fc_engine_release(&self->engine);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The objects an application sees of its call: start_response and write (PEP 3333). See py_gateway.h. */
#include <stddef.h>

#include "py_gateway.h"

#include <structmember.h>

typedef struct FcWrite {
    PyObject_HEAD vectorcallfunc vectorcall;
    FcCall *call; /* borrowed; NULL: the call is over */
} FcWrite;

static int
over(void)
{
    PyErr_SetString(PyExc_RuntimeError, "the request that this start_response belongs to has ended");
    return -1;
}

/* Raise the exception of an exc_info tuple again. */
static void
raise_again(PyObject *info)
{
    if (!PyTuple_Check(info) || PyTuple_GET_SIZE(info) != 3) {
        PyErr_Format(PyExc_TypeError, "start_response: exc_info must be a tuple as of sys.exc_info(), not %R",
                     info);
        return;
    }
    PyErr_Restore(Py_NewRef(PyTuple_GET_ITEM(info, 0)), Py_NewRef(PyTuple_GET_ITEM(info, 1)),
                  PyTuple_GET_ITEM(info, 2) == Py_None ? NULL : Py_NewRef(PyTuple_GET_ITEM(info, 2)));
}

static PyObject *
call_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    FcCall *call = (FcCall *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf), n_names = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    PyObject *info = nargs == 3 ? args[2] : Py_None;

    if (n_names == 1 && nargs == 2 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") == 0)
        info = args[2];
    else if (n_names != 0 || nargs < 2 || nargs > 3)
        return PyErr_Format(PyExc_TypeError, "start_response takes (status, headers, exc_info=None)");
    if (call->answer.conn == NULL)
        return over(), NULL;
    if (info == Py_None && call->answer.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called a second time without exc_info (PEP 3333)");
        return NULL;
    }
    if (info != Py_None && call->answer.head_done) {
        raise_again(info);
        return NULL;
    }
    if (fc_call_start(call, args[0], args[1]) < 0)
        return NULL;
    return Py_NewRef((PyObject *)call->write);
}

/* write(data): sent at once; blocks this thread while the client is slow. */
static PyObject *
write_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    FcCall *call = ((FcWrite *)self)->call;
    bool sent = true;

    if (PyVectorcall_NARGS(nargsf) != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 0))
        return PyErr_Format(PyExc_TypeError, "write takes one bytes argument");
    if (call == NULL || call->answer.conn == NULL)
        return over(), NULL;
    if (!PyBytes_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "write: the data must be bytes, not %.100s",
                            Py_TYPE(args[0])->tp_name);
    if (!call->answer.started) {
        PyErr_SetString(PyExc_AssertionError, "write() before start_response() (PEP 3333)");
        return NULL;
    }
    if (call->answer.conn->gateway != NULL ||
        (call->returned && call->thread != PyThread_get_thread_ident())) {
        PyErr_SetString(PyExc_RuntimeError, "write() while the answer's iterable is being sent (PEP 3333)");
        return NULL;
    }
    if (!fc_lend(call->answer.conn, FC_LENT_OUT))
        return NULL;
    if (PyBytes_GET_SIZE(args[0]) > 0)
        sent = fc_answer_send(&call->answer, PyBytes_AS_STRING(args[0]), (size_t)PyBytes_GET_SIZE(args[0]),
                              args[0], false);
    if (sent && !fc_output_empty(&call->answer.conn->out)) { /* no next call may come for long */
        FcEngine *engine = &call->answer.engine->engine;
        FcConn *conn = call->answer.conn;

        FcFlushed flushed = {0, NULL};

        Py_BEGIN_ALLOW_THREADS sent = fc_conn_flush_blocking(engine, conn, &flushed);
        Py_END_ALLOW_THREADS fc_conn_flushed(engine, conn, &flushed);
        call->answer.broken = call->answer.broken || !sent;
    }
    fc_lend_back(call->answer.conn, FC_LENT_OUT);
    fc_release_spent(call->answer.engine);
    if (!sent) {
        PyErr_SetString(PyExc_BrokenPipeError, "the client has gone or reads too slowly");
        return NULL;
    }
    Py_RETURN_NONE;
}

static FcWrite *
write_new(FcModule *module, FcCall *call)
{
    FcWrite *write = (FcWrite *)module->write_type->tp_alloc(module->write_type, 0);

    if (write != NULL) {
        write->vectorcall = write_vectorcall;
        write->call = call;
    }
    return write;
}

FcCall *
fc_call_new(PyEngine *engine, FcConn *conn)
{
    FcModule *module = engine->module;
    FcCall *call = engine->spare_call;

    engine->spare_call = NULL;
    if (call == NULL) {
        call = (FcCall *)module->call_type->tp_alloc(module->call_type, 0);
        if (call == NULL)
            return NULL;
        call->vectorcall = call_vectorcall;
    }
    if (call->write == NULL && (call->write = write_new(module, call)) == NULL) {
        Py_DECREF(call);
        return NULL;
    }
    call->returned = false;
    fc_answer_begin(&call->answer, engine, conn);
    return call;
}

static void
forget(FcCall *call)
{
    call->answer.conn = NULL;
    if (call->input != NULL)
        fc_input_close(call->input);
    Py_CLEAR(call->input);
    Py_CLEAR(call->iterator);
    Py_CLEAR(call->iterable);
    Py_CLEAR(call->context);
    Py_CLEAR(call->environ);
}

void
fc_call_done(FcCall *call)
{
    PyEngine *engine = call->answer.engine;

    forget(call);
    call->answer.engine = NULL;
    if (call->write != NULL && Py_REFCNT(call->write) > 1) { /* kept by the application: it is dead to us */
        call->write->call = NULL;
        Py_CLEAR(call->write);
    }
    if (Py_REFCNT(call) == 1 && engine->spare_call == NULL)
        engine->spare_call = call;
    else
        Py_DECREF(call);
}

static void
call_dealloc(PyObject *self)
{
    FcCall *call = (FcCall *)self;
    PyTypeObject *type = Py_TYPE(self);

    forget(call);
    if (call->write != NULL) {
        call->write->call = NULL;
        Py_CLEAR(call->write);
    }
    PyMem_RawFree(call->answer.head);
    type->tp_free(self);
    Py_DECREF(type);
}

static void
write_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FcCall, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef write_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FcWrite, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, call_members},
    {Py_tp_doc, (void *)"start_response(status, headers, exc_info=None) of one request (PEP 3333)."},
    {0, NULL},
};

static PyType_Slot write_slots[] = {
    {Py_tp_dealloc, write_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, write_members},
    {Py_tp_doc, (void *)"write(data) of one request (PEP 3333)."},
    {0, NULL},
};

PyType_Spec fc_call_spec = {
    .name = "forkcluster._engine.StartResponse",
    .basicsize = sizeof(FcCall),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = call_slots,
};

PyType_Spec fc_write_spec = {
    .name = "forkcluster._engine.Write",
    .basicsize = sizeof(FcWrite),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = write_slots,
};

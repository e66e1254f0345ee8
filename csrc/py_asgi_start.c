/* A request's Task, and its first step, which runs at once. See py_asgi.h.
 *
 * From Python 3.12 on a Task can start eagerly. Before, its constructor asks the loop's call_soon for the
 * first step: there the loop's attribute call_soon is ours, which hands that one callback to the engine's
 * turn and all others on. The turn is itself a callback of the loop, with no Task running, so the step runs
 * as the loop would have run it: a handle and a pass of the loop are saved, and a request is served while its
 * memory is still in the cache.
 */
#include "py_asgi.h"

/* asyncio.Task(request, loop=loop, name=..., eager_start=True): the constructor, since uvloop's create_task
 * knows no eager start; the same keywords each time. */
static PyObject *
make_task(PyEngine *self, FcAsgi *request)
{
    PyObject *args = PyTuple_Pack(1, request), *task;

    if (args == NULL)
        return NULL;
    task = PyObject_Call(self->task_type, args, self->task_keywords);
    Py_DECREF(args);
    return task;
}

/* loop.call_soon(callback, *args, context=None), as long as the engine lives. */
static PyObject *
call_soon(PyObject *object, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    PyEngine *self = (PyEngine *)object;

    if (self->call_soon == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the engine of this loop is gone");
    if (!self->starting || n_args != 1 || names == NULL || PyTuple_GET_SIZE(names) != 1)
        return PyObject_Vectorcall(self->call_soon, args, (size_t)n_args, names);
    self->starting = false;
    self->first_step = Py_NewRef(args[0]);
    self->first_context = Py_NewRef(args[1]);
    Py_RETURN_NONE;
}

static PyMethodDef call_soon_definition = {"call_soon", (PyCFunction)(void (*)(void))call_soon,
                                           METH_FASTCALL | METH_KEYWORDS,
                                           "call_soon(callback, *args, context=None)\n--\n\nThe loop's own, "
                                           "but for the first step of a request's Task."};

/* The step that call_soon was asked for, in its context. -1 with an exception. */
static int
take_first_step(PyEngine *self)
{
    PyObject *step = self->first_step, *context = self->first_context, *result = NULL;

    self->first_step = self->first_context = NULL;
    if (PyContext_Enter(context) == 0) {
        result = PyObject_CallNoArgs(step);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
    }
    Py_DECREF(step);
    Py_DECREF(context);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

PyObject *
fc_asgi_start(FcAsgi *request)
{
    PyEngine *self = request->answer.engine;
    PyObject *task;

    self->starting = self->takes_step;
    task = make_task(self, request);
    self->starting = false;
    if (self->first_step != NULL && take_first_step(self) < 0)
        Py_CLEAR(task);
    return task;
}

int
fc_asgi_start_with(PyEngine *self, bool eager)
{
    PyObject *ours, *name = PyUnicode_InternFromString("request");
    int result = -1;

    /* SetItemString interns the keys, as those are that the constructor looks for. */
    self->task_keywords = PyDict_New();
    if (self->task_keywords != NULL && name != NULL)
        result = PyDict_SetItemString(self->task_keywords, "loop", self->loop);
    if (result == 0)
        result = PyDict_SetItemString(self->task_keywords, "name", name);
    if (result == 0 && eager)
        result = PyDict_SetItemString(self->task_keywords, "eager_start", Py_True);
    Py_XDECREF(name);
    if (result < 0 || eager)
        return result;
    ours = PyCFunction_New(&call_soon_definition, (PyObject *)self);
    if (ours == NULL || PyObject_SetAttrString(self->loop, "call_soon", ours) < 0)
        result = -1;
    Py_XDECREF(ours);
    self->takes_step = result == 0;
    return result;
}

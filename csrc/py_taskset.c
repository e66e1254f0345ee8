/* forkcluster._taskset: asyncio's set of all tasks, with its add and its forgetting in C.
 *
 * Before Python 3.14 asyncio keeps every task in a weakref.WeakSet, whose add and whose weak references'
 * callback are Python functions: a sixth of the instructions of a small ASGI request, for a request's Task
 * enters and leaves it. The set stays what it is, its iteration and the rest of its methods too; only these
 * two do in C what they did in Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { DATA, ITERATING, PENDING, FORGET, COMMIT, PARTS }; /* of the tuple that both functions are bound to */

/* The callback of a task's weak reference: as _remove of WeakSet.__init__. */
static PyObject *
forget(PyObject *parts, PyObject *reference)
{
    if (PySet_GET_SIZE(PyTuple_GET_ITEM(parts, ITERATING)) > 0) {
        if (PyList_Append(PyTuple_GET_ITEM(parts, PENDING), reference) < 0)
            return NULL;
    } else if (PySet_Discard(PyTuple_GET_ITEM(parts, DATA), reference) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* As WeakSet.add. */
static PyObject *
add(PyObject *parts, PyObject *task)
{
    PyObject *reference, *committed;
    int result;

    if (PyList_GET_SIZE(PyTuple_GET_ITEM(parts, PENDING)) > 0) {
        committed = PyObject_CallNoArgs(PyTuple_GET_ITEM(parts, COMMIT));
        if (committed == NULL)
            return NULL;
        Py_DECREF(committed);
    }
    reference = PyWeakref_NewRef(task, PyTuple_GET_ITEM(parts, FORGET));
    if (reference == NULL)
        return NULL;
    result = PySet_Add(PyTuple_GET_ITEM(parts, DATA), reference);
    Py_DECREF(reference);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef forget_definition = {"forget", forget, METH_O, NULL};
static PyMethodDef add_definition = {"add", add, METH_O, "add(task, /)\n--\n\nAs WeakSet.add."};

/* The attribute, of exactly this type, into a slot of parts. */
static int
take(PyObject *set, const char *name, PyTypeObject *type, PyObject *parts, int slot)
{
    PyObject *value = PyObject_GetAttrString(set, name);

    if (value == NULL)
        return -1;
    PyTuple_SET_ITEM(parts, slot, value);
    if (type == NULL || Py_IS_TYPE(value, type))
        return 0;
    PyErr_Format(PyExc_TypeError, "WeakSet.%s is a %.100s, not a %s", name, Py_TYPE(value)->tp_name,
                 type->tp_name);
    return -1;
}

static PyObject *
quicken(PyObject *module, PyObject *set)
{
    PyObject *common = PyTuple_New(FORGET), *parts = PyTuple_New(PARTS), *quick = NULL;

    (void)module;
    if (common == NULL || parts == NULL || take(set, "data", &PySet_Type, common, DATA) < 0 ||
        take(set, "_iterating", &PySet_Type, common, ITERATING) < 0 ||
        take(set, "_pending_removals", &PyList_Type, common, PENDING) < 0 ||
        take(set, "_commit_removals", NULL, parts, COMMIT) < 0)
        goto done;
    for (int i = 0; i < FORGET; i++)
        PyTuple_SET_ITEM(parts, i, Py_NewRef(PyTuple_GET_ITEM(common, i)));
    PyTuple_SET_ITEM(parts, FORGET, PyCFunction_New(&forget_definition, common));
    if (PyTuple_GET_ITEM(parts, FORGET) == NULL)
        goto done;
    quick = PyCFunction_New(&add_definition, parts);
    if (quick != NULL && PyObject_SetAttrString(set, "add", quick) < 0)
        Py_CLEAR(quick);
done:
    Py_XDECREF(common);
    Py_XDECREF(parts);
    if (quick == NULL)
        return NULL;
    Py_DECREF(quick);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(quicken_doc, "quicken(tasks: weakref.WeakSet, /) -> None\n--\n\n"
                          "Let this set add and forget in C. Raises TypeError and AttributeError where it is "
                          "not made as we know it, and leaves it as it was.");

static PyMethodDef methods[] = {
    {"quicken", quicken, METH_O, quicken_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkcluster._taskset",
    .m_doc = "asyncio's set of all tasks, with its add and its forgetting in C.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__taskset(void)
{
    return PyModuleDef_Init(&definition);
}

/* What an import has defined does not go away: its objects need no counted references (PEP 683).
 *
 * To call a function is to count references to it, to its code, to its constants and to the classes it uses,
 * and in a forked process every first such count copies a page. Objects that are immortal are not counted.
 *
 * Only what a program is made of becomes immortal: names, constants, code, functions, classes, modules, and
 * tuples of these. Instances (files, sockets, locks) and what changes (lists, dicts, sets) are counted as
 * ever. A definition that the program drops after this keeps what it refers to. */
#include "py_process.h"

const char fc_immortalize_doc[] = PyDoc_STR(
    "immortalize() -> int\n--\n\n"
    "Stop the counting of references to all functions, classes, modules, names and constants there are, so\n"
    "that forked processes share their pages. They never go away then. Give how many became so: 0 where\n"
    "Python has no immortal objects (before 3.12), or where we do not know how it marks them.");

/* The marks are CPython's own and change: those of 3.12 and 3.13 are what this was tried with. */
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)

#define FC_NESTED_MOST 32 /* tuples and code in tuples and code: a bound of our stack */

typedef struct FcImmortals {
    int depth; /* how deep in objects that the collector does not list */
    Py_ssize_t found;
} FcImmortals;

static int
fc_make_immortal(PyObject *object, FcImmortals *all)
{
    Py_SET_REFCNT(object, _Py_IMMORTAL_REFCNT);
    all->found++;
    return 1;
}

/* A builtin function that is bound to an instance would keep it. */
static int
fc_belongs_to_module(PyObject *function)
{
    PyObject *self = PyCFunction_GET_SELF(function);

    return self == NULL || PyModule_CheckExact(self) || PyType_Check(self);
}

static int
fc_is_definition(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) || PyLong_CheckExact(object) ||
           PyFloat_CheckExact(object) || PyCode_Check(object) || PyFunction_Check(object) ||
           PyCell_Check(object) || PyType_Check(object) || PyModule_CheckExact(object) ||
           type == &PyProperty_Type || type == &PyClassMethod_Type || type == &PyStaticMethod_Type ||
           type == &PyMethodDescr_Type || type == &PyClassMethodDescr_Type || type == &PyWrapperDescr_Type ||
           type == &PyGetSetDescr_Type || type == &PyMemberDescr_Type ||
           (PyCFunction_CheckExact(object) && fc_belongs_to_module(object));
}

/* A tuple of what is immortal becomes so. What another thread is making has empty places yet. */
static int
fc_keep_tuple(PyObject *object, FcImmortals *all)
{
    int kept = 1;

    if (object == NULL)
        return 0;
    if (_Py_IsImmortal(object))
        return 1;
    if (!PyTuple_CheckExact(object) || all->depth == FC_NESTED_MOST)
        return 0;
    all->depth++;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object) && kept; i++)
        kept = fc_keep_tuple(PyTuple_GET_ITEM(object, i), all);
    all->depth--;
    return kept && fc_make_immortal(object, all);
}

static int fc_reach(PyObject *object, void *arg);

/* What code refers to: it is not the collector's, and has no tp_traverse. */
static void
fc_reach_code(PyCodeObject *code, FcImmortals *all)
{
    PyObject *const parts[] = {
        code->co_consts,          code->co_names,    code->co_exceptiontable, code->co_localsplusnames,
        code->co_localspluskinds, code->co_filename, code->co_name,           code->co_qualname,
        code->co_linetable};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        (void)fc_reach(parts[i], all);
}

/* An object that is referred to: one that is not may still be made by another thread, which resizes a tuple
 * only while nobody shares it. What the collector lists is looked into when its turn in the list comes. */
static int
fc_reach(PyObject *object, void *arg)
{
    FcImmortals *all = arg;

    if (_Py_IsImmortal(object) || all->depth == FC_NESTED_MOST)
        return 0;
    if (fc_is_definition(object))
        (void)fc_make_immortal(object, all);
    if (!PyObject_GC_IsTracked(object)) {
        all->depth++;
        if (PyCode_Check(object))
            fc_reach_code((PyCodeObject *)object, all);
        else if (PyObject_IS_GC(object))
            (void)Py_TYPE(object)->tp_traverse(object, fc_reach, all);
        all->depth--;
    }
    (void)fc_keep_tuple(object, all);
    return 0;
}

static int
fc_look(PyObject *object, void *arg)
{
    (void)Py_TYPE(object)->tp_traverse(object, fc_reach, arg);
    return 1; /* go on */
}

PyObject *
fc_immortalize(PyObject *self, PyObject *unused)
{
    FcImmortals all = {0};

    (void)self, (void)unused;
    PyUnstable_GC_VisitObjects(fc_look, &all);
    PyUnstable_GC_VisitObjects(fc_look, &all); /* tuples of what was found behind them */
    return PyLong_FromSsize_t(all.found);
}

#else

PyObject *
fc_immortalize(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyLong_FromLong(0);
}

#endif

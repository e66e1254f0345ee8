/* wsgi.file_wrapper (PEP 3333, optional platform-specific file handling). See py_gateway.h. */
#include <sys/stat.h>

#include "py_gateway.h"

typedef struct FcFileWrapper {
    PyObject_HEAD PyObject *file;
    Py_ssize_t block;
} FcFileWrapper;

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"filelike", "blksize", NULL};
    PyObject *file;
    Py_ssize_t block = 8192;
    FcFileWrapper *wrapper;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &file, &block))
        return NULL;
    if (block <= 0) {
        PyErr_Format(PyExc_ValueError, "blksize must be positive, not %zd", block);
        return NULL;
    }
    wrapper = (FcFileWrapper *)type->tp_alloc(type, 0);
    if (wrapper != NULL) {
        wrapper->file = Py_NewRef(file);
        wrapper->block = block;
    }
    return (PyObject *)wrapper;
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((FcFileWrapper *)self)->file);
    return 0;
}

static int
wrapper_clear(PyObject *self)
{
    Py_CLEAR(((FcFileWrapper *)self)->file);
    return 0;
}

static void
wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
wrapper_next(PyObject *self)
{
    FcFileWrapper *wrapper = (FcFileWrapper *)self;
    PyObject *data = PyObject_CallMethod(wrapper->file, "read", "n", wrapper->block);

    if (data != NULL && PyObject_Size(data) == 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *
wrapper_close(PyObject *self, PyObject *ignored)
{
    FcFileWrapper *wrapper = (FcFileWrapper *)self;

    (void)ignored;
    if (!PyObject_HasAttrString(wrapper->file, "close"))
        Py_RETURN_NONE;
    return PyObject_CallMethod(wrapper->file, "close", NULL);
}

/* The attribute, or NULL without an exception. Steals object. */
static PyObject *
attribute(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);

    Py_DECREF(object);
    if (value == NULL)
        PyErr_Clear();
    return value;
}

/* Whether reading the object gives the bytes of its descriptor: an io.FileIO, a buffer around one, or either
 * in the `file` of a wrapper (tempfile, Django). A GzipFile, say, has a descriptor, too, but unpacks what it
 * reads there. */
static bool
reads_its_descriptor(FcModule *module, PyObject *object)
{
    PyObject *raw, *file;
    int plain;

    plain = PyObject_IsInstance(object, module->raw_file_type);
    if (plain != 0)
        return plain > 0;
    raw = attribute(Py_NewRef(object), module->raw);
    if (raw == NULL && (file = attribute(Py_NewRef(object), module->file)) != NULL) {
        plain = PyObject_IsInstance(file, module->raw_file_type);
        raw = plain == 0 ? attribute(file, module->raw) : file;
    }
    plain = raw != NULL ? PyObject_IsInstance(raw, module->raw_file_type) : 0;
    Py_XDECREF(raw);
    return plain > 0;
}

bool
fc_file_wrapper_extent(FcModule *module, PyObject *object, int *fd, off_t *offset, uint64_t *length)
{
    FcFileWrapper *wrapper = (FcFileWrapper *)object;
    PyObject *number = NULL, *position = NULL;
    struct stat status;
    bool regular = false;

    if (!reads_its_descriptor(module, wrapper->file))
        goto done;
    number = PyObject_CallMethodNoArgs(wrapper->file, module->fileno);
    if (number == NULL || (*fd = (int)PyLong_AsLong(number)) < 0 || fstat(*fd, &status) < 0 ||
        !S_ISREG(status.st_mode))
        goto done;
    position = PyObject_CallMethodNoArgs(wrapper->file, module->tell);
    if (position == NULL || (*offset = (off_t)PyLong_AsLongLong(position)) < 0)
        goto done;
    *length = status.st_size > *offset ? (uint64_t)(status.st_size - *offset) : 0;
    regular = true;
done:
    PyErr_Clear(); /* no fileno, or none that helps: it is iterated */
    Py_XDECREF(number);
    Py_XDECREF(position);
    return regular;
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, "close()\n--\n\nClose the wrapped file."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_new, wrapper_new},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {Py_tp_methods, wrapper_methods},
    {Py_tp_doc, (void *)"FileWrapper(filelike, blksize=8192)\n--\n\nA file as a response; sent by the kernel "
                        "when it can be."},
    {0, NULL},
};

PyType_Spec fc_file_wrapper_spec = {
    .name = "forkcluster._engine.FileWrapper",
    .basicsize = sizeof(FcFileWrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = wrapper_slots,
};

/* wsgi.file_wrapper (PEP 3333, optional platform-specific file handling). See py_gateway.h. */
#include <sys/stat.h>
#include <unistd.h>

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

/* A method of the io module's own, by that name: the object that it is bound to, which the caller owns; NULL
 * without an exception for any other code. */
static PyObject *
bound_to(PyObject *method /* stolen, may be NULL */, PyObject *name)
{
    PyObject *object = NULL;

    if (method != NULL && PyCFunction_Check(method) &&
        PyUnicode_CompareWithASCIIString(name, ((PyCFunctionObject *)method)->m_ml->ml_name) == 0)
        object = Py_XNewRef(PyCFunction_GET_SELF(method));
    Py_XDECREF(method);
    return object;
}

/* tempfile wraps each method of its file into a function, to keep the file alive. */
static PyObject *
unwrapped(FcModule *module, PyObject *object, PyObject *method /* stolen */)
{
    PyObject *of = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__module__");
    bool wrapped = of != NULL && PyUnicode_Check(of) &&
                   PyUnicode_CompareWithASCIIString(of, "tempfile") == 0 && PyFunction_Check(method);

    PyErr_Clear();
    Py_XDECREF(of);
    return wrapped ? attribute(method, module->wrapped) : method;
}

/* The file of the io module whose own read() is the object's: an io.FileIO or a buffer around one, or what
 * hands its read() out (tempfile, Django). Only of such a one is known that it gives the bytes of its
 * descriptor: a GzipFile unpacks what it reads there, a range ends before the file does. NULL without an
 * exception: there is none. The caller owns it. */
static PyObject *
plain_file_of(FcModule *module, PyObject *object)
{
    PyObject *read = attribute(Py_NewRef(object), module->read), *file, *raw;
    bool plain;

    file = read != NULL ? bound_to(unwrapped(module, object, read), module->read) : NULL;
    if (file == NULL)
        return NULL;
    plain = PyObject_TypeCheck(file, (PyTypeObject *)module->raw_file_type);
    if (!plain && (Py_IS_TYPE(file, (PyTypeObject *)module->reader_type) ||
                   Py_IS_TYPE(file, (PyTypeObject *)module->random_type))) {
        raw = attribute(Py_NewRef(file), module->raw);
        plain = raw != NULL && Py_IS_TYPE(raw, (PyTypeObject *)module->raw_file_type);
        Py_XDECREF(raw);
    }
    if (plain && Py_IS_TYPE(file, (PyTypeObject *)module->random_type)) { /* what was written is to be read */
        PyObject *flushed = PyObject_CallMethod(file, "flush", NULL);

        plain = flushed != NULL;
        PyErr_Clear();
        Py_XDECREF(flushed);
    }
    if (!plain)
        Py_CLEAR(file);
    return file;
}

/* What that method of the file gives, if it is the io module's own; -1 without an exception: it is not, or
 * fails. */
static long long
number_of(PyObject *file, PyObject *name)
{
    PyObject *own = bound_to(attribute(Py_NewRef(file), name), name), *number;
    long long value;

    Py_XDECREF(own);
    number = own == file ? PyObject_CallMethodNoArgs(file, name) : NULL;
    value = number != NULL ? PyLong_AsLongLong(number) : -1;
    Py_XDECREF(number);
    PyErr_Clear();
    return value;
}

bool
fc_file_size_holds(int fd, const struct stat *status)
{
    char byte;

    if (status->st_blocks > 0)
        return true;
    if (status->st_size == 0)
        return pread(fd, &byte, 1, 0) == 0;
    return pread(fd, &byte, 1, status->st_size - 1) == 1;
}

bool
fc_file_wrapper_extent(FcModule *module, PyObject *object, int *fd, off_t *offset, uint64_t *length)
{
    PyObject *file = plain_file_of(module, ((FcFileWrapper *)object)->file);
    struct stat status;
    bool known;

    if (file == NULL)
        return false; /* it is iterated */
    *fd = (int)number_of(file, module->fileno);
    *offset = (off_t)number_of(file, module->tell);
    known = *fd >= 0 && *offset >= 0 && fstat(*fd, &status) == 0 && S_ISREG(status.st_mode) &&
            fc_file_size_holds(*fd, &status);
    if (known)
        *length = status.st_size > *offset ? (uint64_t)(status.st_size - *offset) : 0;
    Py_DECREF(file);
    return known;
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

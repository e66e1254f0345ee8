/* The constants of wire.h, for the test that holds the Python twin to it. */
#include "py_process.h"

#include <stddef.h>

#include "wire.h"

const char fc_wire_constants_doc[] =
    PyDoc_STR("wire_constants() -> dict[str, int]\n--\n\n"
              "Give the names and values of csrc/wire.h, and the offsets of its head.");

PyObject *
fc_wire_constants(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
#define FC_NAMED(name)                                                                                       \
    {                                                                                                        \
        #name, FC_##name                                                                                     \
    }
#define FC_OFFSET(name)                                                                                      \
    {                                                                                                        \
        "offset_" #name, (long)offsetof(FcHead, name)                                                        \
    }
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        FC_NAMED(WIRE_MAGIC),
        FC_NAMED(WIRE_VERSION),
        FC_NAMED(WIRE_PAYLOAD),
        FC_NAMED(KIND_LOAD),
        FC_NAMED(KIND_FORK),
        FC_NAMED(KIND_EXIT),
        FC_NAMED(KIND_HOOK),
        FC_NAMED(KIND_MOLD_HELLO),
        FC_NAMED(KIND_LOADED),
        FC_NAMED(KIND_FAILED),
        FC_NAMED(KIND_FORKED),
        FC_NAMED(KIND_FORK_FAILED),
        FC_NAMED(KIND_HELLO),
        FC_NAMED(KIND_READY),
        FC_NAMED(KIND_LEAVE),
        FC_NAMED(KIND_RETIRE),
        FC_NAMED(KIND_QUIT),
        FC_NAMED(KIND_LOG),
        FC_NAMED(KIND_PEER),
        FC_NAMED(KIND_NUDGE),
        FC_NAMED(KIND_STACKS),
        FC_NAMED(KIND_LISTEN),
        FC_NAMED(KIND_PROBE),
        FC_NAMED(KIND_TAKE),
        FC_NAMED(KIND_REOPEN),
        FC_NAMED(KIND_FLUSH),
        FC_NAMED(KIND_ENDED),
        FC_NAMED(KIND_FLUSHED),
        FC_NAMED(KIND_TROUBLE),
        FC_OFFSET(magic),
        FC_OFFSET(version),
        FC_OFFSET(kind),
        FC_OFFSET(seat),
        FC_OFFSET(epoch),
        FC_OFFSET(deadline_ns),
        FC_OFFSET(arg),
        {"head_size", sizeof(FcHead)},
    };
    PyObject *result = PyDict_New();
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        PyObject *value = PyLong_FromLong(constants[i].value);
        if (value == NULL || PyDict_SetItemString(result, constants[i].name, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(result);
            return NULL;
        }
        Py_DECREF(value);
    }
    return result;
}

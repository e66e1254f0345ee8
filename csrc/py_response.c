/* start_response (PEP 3333): status and headers from str objects into the head of the answer. See
 * py_gateway.h. */
#include "py_gateway.h"

/* The Latin-1 bytes of a str; NULL with an exception. */
static const unsigned char *
latin1(PyObject *text, const char *what, size_t *len)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "start_response: %s must be a str, not %.100s: %R", what,
                     Py_TYPE(text)->tp_name, text);
        return NULL;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(text) < 0)
        return NULL;
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "start_response: %s must be Latin-1 text (PEP 3333): %R", what, text);
        return NULL;
    }
    *len = (size_t)PyUnicode_GET_LENGTH(text);
    return PyUnicode_1BYTE_DATA(text);
}

static int
add_status(FcCall *call, PyObject *status)
{
    size_t len;
    int status_code;
    const unsigned char *text = latin1(status, "the status", &len);

    if (text == NULL)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (!fc_value_byte(text[i]))
            goto malformed;
    if (len < 3 || text[0] < '1' || text[0] > '9' || text[1] < '0' || text[1] > '9' || text[2] < '0' ||
        text[2] > '9' || (len > 3 && text[3] != ' '))
        goto malformed;
    status_code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    if (status_code < 200) {
        PyErr_Format(PyExc_ValueError, "start_response: %R is an interim status, an answer needs a final one",
                     status);
        return -1;
    }
    if (!fc_answer_status(&call->answer, status_code, (const char *)text, len)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
malformed:
    PyErr_Format(PyExc_ValueError, "start_response: malformed status %R (expected like '200 OK')", status);
    return -1;
}

static int
add_field(FcCall *call, PyObject *pair)
{
    const unsigned char *name, *value;
    size_t name_len, value_len;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "start_response: a header must be a tuple (name, value), not %R", pair);
        return -1;
    }
    name = latin1(PyTuple_GET_ITEM(pair, 0), "a header name", &name_len);
    value = name != NULL ? latin1(PyTuple_GET_ITEM(pair, 1), "a header value", &value_len) : NULL;
    if (value == NULL)
        return -1;
    return fc_answer_field(&call->answer, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), name,
                           name_len, value, value_len);
}

int
fc_call_start(FcCall *call, PyObject *status, PyObject *headers)
{
    if (add_status(call, status) < 0)
        return -1;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "start_response: headers must be a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++)
        if (add_field(call, PyList_GET_ITEM(headers, i)) < 0)
            return -1;
    call->answer.started = true;
    return 0;
}

/* Files as the body of an ASGI response: the extensions http.response.pathsend and .zerocopysend. See
 * py_asgi.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "py_asgi.h"

#define UNSIZED_MOST (1 << 20)

/* The file is sent, or more of it is to be. */
PySendResult
fc_asgi_send_rest(FcAsgi *request, PyObject **result, PyObject **future)
{
    if (request->answer.conn->out.size > 0)
        return fc_asgi_wait_for_room(request, future);
    request->sending_file = false;
    if (request->file >= 0)
        close(request->file);
    request->file = -1;
    return request->file_more ? fc_asgi_sent(result) : fc_asgi_finish_body(request, result);
}

/* request->file from offset, length bytes of it, with the head before it. The await lasts until it is sent;
 * the descriptor is our own, so that a wait that is cancelled cannot make us send from another file of the
 * same number. */
static PySendResult
send_file(FcAsgi *request, off_t offset, uint64_t length, bool more, PyObject **result, PyObject **future)
{
    if (!fc_answer_send_file(&request->answer, request->file, offset, length, !more))
        return fc_asgi_broken(request);
    request->file_more = more;
    request->sending_file = true;
    return fc_asgi_send_rest(request, result, future);
}

/* The rest of a file whose size nobody knows, read at once: what the kernel makes up is small. NULL with an
 * exception. */
static PyObject *
read_unsized(int fd)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, UNSIZED_MOST);
    Py_ssize_t len = 0;
    ssize_t n = 1;

    while (bytes != NULL && n > 0 && len < UNSIZED_MOST) {
        n = read(fd, PyBytes_AS_STRING(bytes) + len, (size_t)(UNSIZED_MOST - len));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            len += n;
    }
    if (bytes != NULL && (n < 0 || len == UNSIZED_MOST)) {
        errno = n < 0 ? errno : EFBIG;
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(bytes);
    }
    if (bytes != NULL)
        _PyBytes_Resize(&bytes, len);
    return bytes;
}

static PySendResult
send_unsized(FcAsgi *request, int fd, PyObject **result)
{
    PyObject *bytes = read_unsized(fd);
    bool sent;

    close(fd);
    if (bytes == NULL)
        return PYGEN_ERROR;
    sent = fc_answer_send(&request->answer, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), bytes,
                          true);
    Py_DECREF(bytes);
    return sent ? fc_asgi_finish_body(request, result) : fc_asgi_broken(request);
}

PySendResult
fc_asgi_send_path(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future)
{
    PyObject *path = PyDict_GetItemString(event, "path"), *encoded = NULL;
    struct stat status;
    int fd;

    if (path == NULL || !PyUnicode_FSConverter(path, &encoded)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "http.response.pathsend: no path");
        return PYGEN_ERROR;
    }
    fd = open(PyBytes_AS_STRING(encoded),
              O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop the loop */
    Py_DECREF(encoded);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        if (fd >= 0) {
            close(fd);
            errno = EINVAL;
        }
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        return PYGEN_ERROR;
    }
    if (!fc_file_size_holds(fd, &status))
        return send_unsized(request, fd, result);
    request->file = fd;
    return send_file(request, 0, (uint64_t)status.st_size, false, result, future);
}

/* An optional non-negative number of an event; -1: not given, -2: exception. */
static int64_t
number(FcAsgi *request, PyObject *event, FcWordId key)
{
    PyObject *value = fc_asgi_get(request, event, key);
    int64_t number;

    if (value == NULL || value == Py_None)
        return PyErr_Occurred() ? -2 : -1;
    number = PyLong_AsLongLong(value);
    if (number < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError,
                        "http.response.zerocopysend: offset and count must not be negative");
    return number < 0 ? -2 : number;
}

/* Where an application's file object stands: a buffered one has read ahead of that. -1 with an exception. */
static off_t
position_of(PyObject *file, int fd)
{
    PyObject *told = PyLong_Check(file) ? NULL : PyObject_CallMethod(file, "tell", NULL);
    off_t position = told != NULL ? (off_t)PyLong_AsLongLong(told) : -1;

    Py_XDECREF(told);
    if (!PyLong_Check(file))
        return position;
    position = lseek(fd, 0, SEEK_CUR);
    if (position < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return position;
}

/* As sendfile does without an offset: the file stands behind what was sent. */
static int
advance(PyObject *file, int fd, off_t to)
{
    PyObject *told = PyLong_Check(file) ? NULL : PyObject_CallMethod(file, "seek", "L", (long long)to);
    bool moved = told != NULL || (PyLong_Check(file) && lseek(fd, to, SEEK_SET) == to);

    Py_XDECREF(told);
    if (!moved && !PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    return moved ? 0 : -1;
}

PySendResult
fc_asgi_send_zerocopy(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future)
{
    PyObject *file = fc_asgi_get(request, event, FC_W_file);
    int64_t offset = number(request, event, FC_W_offset), count = number(request, event, FC_W_count);
    bool more = offset != -2 && count != -2 && fc_asgi_true(fc_asgi_get(request, event, FC_W_more_body));
    int64_t position = -1, rest;
    struct stat status;
    int fd;

    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (file == NULL) {
        PyErr_SetString(PyExc_ValueError, "http.response.zerocopysend: no file");
        return PYGEN_ERROR;
    }
    fd = PyObject_AsFileDescriptor(file);
    if (fd < 0)
        return PYGEN_ERROR;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        PyErr_SetString(PyExc_ValueError, "http.response.zerocopysend: the file must be a regular file");
        return PYGEN_ERROR;
    }
    if (offset == -1 && (position = offset = position_of(file, fd)) < 0)
        return PYGEN_ERROR;
    rest = status.st_size > offset ? status.st_size - offset : 0;
    if (count == -1 || count > rest)
        count = rest;
    if (position >= 0 && advance(file, fd, position + count) < 0)
        return PYGEN_ERROR;
    if (request->answer.conn == NULL) /* the file object's methods are the application's code */
        return fc_asgi_broken(request);
    request->file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (request->file < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return PYGEN_ERROR;
    }
    return send_file(request, offset, (uint64_t)count, more, result, future);
}

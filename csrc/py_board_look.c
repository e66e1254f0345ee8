/* How a scoreboard is read from Python: one line whole, what matters of all lines in one call, the sum of
 * all. Two words may be a moment apart.
 */
#include "py_scoreboard.h"

#include <string.h>

static void
add_words(uint64_t *sums, const FcWord *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sums[i] += fc_load(&words[i]);
}

static PyObject *
list_of_numbers(const uint64_t *numbers, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);

    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);
        if (number)
            PyList_SET_ITEM(list, i, number);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* At most FC_BUCKETS words. */
static PyObject *
list_of_words(const FcWord *words, unsigned count)
{
    uint64_t numbers[FC_BUCKETS] = {0};

    add_words(numbers, words, count);
    return list_of_numbers(numbers, count);
}

typedef struct WordName {
    const char *name;
    size_t offset;
} WordName;

/* clang-format off */
static const WordName words[] = {
#define X(name) {#name, offsetof(FcLine, name)},
    X(epoch) X(slot) X(generation) X(pid) X(started_ns) X(heartbeat_ns)
    FC_GAUGE_LIST(X)
    FC_COUNTER_LIST(X)
#undef X
};
/* clang-format on */

/* Put value (stolen, may be NULL) into dict. */
static int
put(PyObject *dict, const char *name, PyObject *value)
{
    int result = value ? PyDict_SetItemString(dict, name, value) : -1;

    Py_XDECREF(value);
    return result;
}

static int
put_word(PyObject *dict, const char *name, const FcWord *word)
{
    return put(dict, name, PyLong_FromUnsignedLongLong(fc_load(word)));
}

static PyObject *
state_name(uint64_t state)
{
    return PyUnicode_InternFromString(state < FC_STATES ? fc_state_names[state] : "unknown");
}

/* (since_ns, method, path), or None if there is none or it cannot be read. */
static PyObject *
oldest_request(const FcLine *line)
{
    FcOldest oldest;

    if (!fc_oldest_read(line, &oldest) || oldest.since_ns == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(KNN)", (unsigned long long)oldest.since_ns,
                         PyUnicode_DecodeLatin1(oldest.method, (Py_ssize_t)strlen(oldest.method), NULL),
                         PyUnicode_DecodeLatin1(oldest.path, (Py_ssize_t)strlen(oldest.path), NULL));
}

const char fc_board_line_doc[] =
    PyDoc_STR("line($self, seat, /)\n--\n\n"
              "Everything in the line of a seat, by name; two words may be a moment apart.");

PyObject *
fc_board_line_of(Scoreboard *self, PyObject *arg)
{
    Py_ssize_t seat = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    const FcLine *line = PyErr_Occurred() ? NULL : fc_board_find(self, seat, false);
    PyObject *dict = line ? PyDict_New() : NULL;

    if (!dict)
        return NULL;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (put_word(dict, words[i].name, (const FcWord *)((const char *)line + words[i].offset)) < 0)
            goto fail;
    if (put(dict, "state", state_name(fc_load(&line->state))) < 0 ||
        put(dict, "requests", list_of_words(line->requests, FC_CLASSES)) < 0 ||
        put(dict, "duration", list_of_words(line->duration, FC_BUCKETS)) < 0 ||
        put(dict, "oldest", oldest_request(line)) < 0)
        goto fail;
    return dict;

fail:
    Py_DECREF(dict);
    return NULL;
}

const char fc_board_look_doc[] = PyDoc_STR(
    "look($self, /)\n--\n\n"
    "(seat, epoch, in flight, requests ended, oldest or None, when its loop turned) of every seat that\n"
    "has an owner.");

static uint64_t
requests_ended(const FcLine *line)
{
    uint64_t ended = 0;

    for (unsigned i = 0; i < FC_CLASSES; i++)
        ended += fc_load(&line->requests[i]);
    return ended;
}

static PyObject *
look_at_line(const FcLine *line, unsigned seat)
{
    return Py_BuildValue("(IKKKNK)", seat, (unsigned long long)fc_load(&line->epoch),
                         (unsigned long long)fc_load(&line->in_flight),
                         (unsigned long long)requests_ended(line), oldest_request(line),
                         (unsigned long long)fc_load(&line->loop_turned_ns));
}

PyObject *
fc_board_look(Scoreboard *self, PyObject *unused)
{
    PyObject *found = fc_board_find(self, 0, false) ? PyList_New(0) : NULL;

    (void)unused;
    /* An untouched line is a hole in the memfd; reading it costs a shared zero page. Seats are given lowest
     * first, so one page without an epoch ends the row. */
    for (unsigned seat = 0; found && seat < FC_SEATS; seat++) {
        const FcLine *line = fc_board_line(&self->board, seat);
        PyObject *row = NULL;

        if (fc_load(&line->epoch) == 0)
            break;
        if (fc_load(&line->state) == FC_STATE_EMPTY)
            continue;
        row = look_at_line(line, seat);
        if (!row || PyList_Append(found, row) < 0)
            Py_CLEAR(found);
        Py_XDECREF(row);
    }
    return found;
}

const char fc_board_loads_doc[] =
    PyDoc_STR("loads($self, seats, /)\n--\n\n"
              "What counts for hand-over in the lines of these seats: (sent, taken, idle, in_flight, ready)\n"
              "each; ready: connections may be sent to it.");

static PyObject *
load_of(const FcLine *line)
{
    bool ready = fc_load(&line->state) == FC_STATE_READY && fc_load(&line->stale) == 0;
    unsigned long long taken = fc_load(&line->taken); /* before sent: so sent is never seen too small */

    return Py_BuildValue("(KKKKO)", (unsigned long long)fc_load(&line->sent), taken,
                         (unsigned long long)fc_load(&line->idle),
                         (unsigned long long)fc_load(&line->in_flight), ready ? Py_True : Py_False);
}

PyObject *
fc_board_loads(Scoreboard *self, PyObject *arg)
{
    PyObject *seats = PySequence_Tuple(arg), *list = NULL;
    Py_ssize_t count = seats ? PyTuple_GET_SIZE(seats) : 0;

    list = seats ? PyList_New(count) : NULL;
    for (Py_ssize_t i = 0; list && i < count; i++) {
        Py_ssize_t seat = PyNumber_AsSsize_t(PyTuple_GET_ITEM(seats, i), PyExc_IndexError);
        const FcLine *line = PyErr_Occurred() ? NULL : fc_board_find(self, seat, false);
        PyObject *load = line ? load_of(line) : NULL;

        if (load)
            PyList_SET_ITEM(list, i, load);
        else
            Py_CLEAR(list);
    }
    Py_XDECREF(seats);
    return list;
}

const char fc_board_totals_doc[] = PyDoc_STR(
    "totals($self, /)\n--\n\n"
    "(requests by class, durations by bucket, requests ended by seat) of all seats that ever had an owner;\n"
    "the first two are summed.");

PyObject *
fc_board_totals(Scoreboard *self, PyObject *unused)
{
    uint64_t requests[FC_CLASSES] = {0}, duration[FC_BUCKETS] = {0}, ended[FC_SEATS];
    unsigned seats = 0;

    (void)unused;
    if (!fc_board_find(self, 0, false))
        return NULL;
    for (; seats < FC_SEATS; seats++) {
        const FcLine *line = fc_board_line(&self->board, seats);

        if (fc_load(&line->epoch) == 0)
            break;
        add_words(requests, line->requests, FC_CLASSES);
        add_words(duration, line->duration, FC_BUCKETS);
        ended[seats] = requests_ended(line);
    }
    return Py_BuildValue("(NNN)", list_of_numbers(requests, FC_CLASSES),
                         list_of_numbers(duration, FC_BUCKETS), list_of_numbers(ended, seats));
}

/* What the files of forkcluster._scoreboard share: the object (py_scoreboard.c) and how it is read
 * (py_board_look.c).
 */
#ifndef FC_PY_SCOREBOARD_H
#define FC_PY_SCOREBOARD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "scoreboard.h"

typedef struct Scoreboard {
    PyObject_HEAD FcBoard board;
    bool writable;
} Scoreboard;

enum { FC_STATES = FC_STATE_DEAD + 1 };
extern const char *const fc_state_names[FC_STATES];

/* The line of a seat, or NULL with IndexError, ValueError (closed) or, if it is to be written,
 * PermissionError. */
FcLine *fc_board_find(Scoreboard *self, Py_ssize_t seat, bool to_write);

/* Methods that read, and their documentation. */
PyObject *fc_board_line_of(Scoreboard *self, PyObject *seat);
PyObject *fc_board_look(Scoreboard *self, PyObject *unused);
PyObject *fc_board_totals(Scoreboard *self, PyObject *unused);
PyObject *fc_board_loads(Scoreboard *self, PyObject *seats);
extern const char fc_board_line_doc[], fc_board_look_doc[], fc_board_totals_doc[], fc_board_loads_doc[];

#endif

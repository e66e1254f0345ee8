/* The rooms of forkcluster._process; py_process.c owns the module and its table of functions. */
#ifndef FC_PY_PROCESS_H
#define FC_PY_PROCESS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What double_fork() says one is. */
enum { FC_ROLE_MOLD = 0, FC_ROLE_WORKER = 1 };

/* Where a test may have the process in the middle stop itself. */
enum { FC_STOP_NOWHERE = 0, FC_STOP_MIDDLE = 1, FC_STOP_MIDDLE_FORKED = 2 };

/* Have a signal do this, with calls restarted. 0, or -1 with errno set. */
int fc_set_handler(int number, void (*handler)(int));

/* A handler that does nothing. */
void fc_ignore_signal(int number);

/* py_double_fork.c */
extern const char fc_double_fork_doc[], fc_leave_descriptor_doc[];
PyObject *fc_double_fork(PyObject *self, PyObject *args);
PyObject *fc_leave_descriptor(PyObject *self, PyObject *unused);

/* py_memory.c */
extern const char fc_trim_memory_doc[], fc_fill_holes_doc[], fc_immortalize_doc[];
PyObject *fc_trim_memory(PyObject *self, PyObject *unused);
PyObject *fc_fill_holes(PyObject *self, PyObject *unused);
PyObject *fc_immortalize(PyObject *self, PyObject *unused);

/* py_signals.c */
extern const char fc_quiet_signals_doc[], fc_record_signals_doc[];
PyObject *fc_quiet_signals(PyObject *self, PyObject *numbers);
PyObject *fc_record_signals(PyObject *self, PyObject *arguments);

/* py_spawn.c */
extern const char fc_spawn_doc[];
PyObject *fc_spawn_program(PyObject *self, PyObject *arguments, PyObject *keywords);

/* py_wire.c */
extern const char fc_wire_constants_doc[];
PyObject *fc_wire_constants(PyObject *self, PyObject *unused);

#endif

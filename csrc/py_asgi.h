/* What the ASGI files of _engine share: one request, its waits, its messages.
 *
 * All of it runs on the loop's thread, with the GIL.
 */
#ifndef FC_PY_ASGI_H
#define FC_PY_ASGI_H

#include "py_gateway.h"

struct FcPort;

/* One request or WebSocket through an ASGI application: also the coroutine that its Task runs (a driver
 * around the application's own), so that the end of the application needs no callback. Python sees it as
 * Request. */
typedef struct FcAsgi {
    PyObject_HEAD FcAnswer answer; /* conn NULL: the response is complete, or the connection is gone */
    struct FcAsgi *next, **link;   /* PyEngine.running */
    PyObject *scope;               /* owned, until the application is called */
    PyObject *asked;               /* owned: the scope after that; says which request failed */
    PyObject *coro, *task;         /* owned; coro NULL: not called yet, or ended */
    struct FcPort *receive,
        *send;         /* owned: the two callables; kept for the next request when nobody else has them */
    PyObject *watcher; /* owned: called when a raw connection has something to read, or room, or is gone;
                          NULL: nobody */
    PyObject *waiting_receive, *waiting_send; /* owned: lists of futures that awaits sleep on; NULL: none */
    PyObject *trailer;                        /* owned: bytes of the trailer lines so far */
    int file;                                 /* owned descriptor of a pathsend, else -1 */
    bool sending_file;                        /* a pathsend or zerocopysend is on its way */
    bool file_more;                           /* ... and is not the last of the body */
    bool websocket;                           /* the connection is in the hands of on_websocket */
    bool body_given;                          /* the last http.request event was given out */
    bool complete;                            /* the response is */
    bool gone;                                /* the client is, or was too slow */
    bool in_trailers;                         /* the body is complete, trailers follow */
    size_t unbroken;                          /* bytes of bodies since it last let others go first */
} FcAsgi;

extern PyType_Spec fc_request_spec, fc_port_spec, fc_await_spec;

/* py_asgi.c: the loop's side */
PyObject *fc_asgi_attach(PyEngine *engine, PyObject *args, PyObject *kwargs);
PyObject *fc_asgi_turn(PyObject *engine, PyObject *ignored);
PyObject *fc_asgi_turn_again(PyObject *engine, PyObject *ignored);
PyObject *fc_asgi_beat(PyObject *engine, PyObject *ignored);
void fc_asgi_clear(PyEngine *engine);
int fc_asgi_visit(PyEngine *engine, visitproc visit, void *arg);

/* Outside of a turn something was done with a connection. */
void fc_asgi_schedule(PyEngine *engine);
/* fc_conn_want() for its connection. */
void fc_asgi_want(FcAsgi *request, uint8_t wants);
/* Before the engine is freed: requests that still run lose their connections. */
void fc_asgi_forget(PyEngine *engine);

/* py_asgi_start.c */
/* Settle how Tasks begin: eagerly, or by the first step that they ask the loop for. -1 with an exception. */
int fc_asgi_start_with(PyEngine *engine, bool eager);
/* In a turn: a Task for the request, which has taken its first step. New reference; NULL with an exception.
 */
PyObject *fc_asgi_start(FcAsgi *request);

/* py_asgi_stacks.c: methods of Engine; after that, in a turn and when the engine goes */
PyObject *fc_asgi_on_stacks(PyObject *engine, PyObject *args);
PyObject *fc_asgi_waiting(PyObject *engine, PyObject *ignored);
PyObject *fc_asgi_tasks(PyObject *engine, PyObject *ignored);
void fc_asgi_tell(PyEngine *engine);
void fc_asgi_untold(PyEngine *engine);

/* py_asgi_scope.c: new references */
PyObject *fc_scope_template(PyEngine *engine, PyObject *scheme, PyObject *server_name, PyObject *server_port);
int fc_scope_constants(PyEngine *engine);
PyObject *fc_scope_new(PyEngine *engine, FcConn *conn, bool websocket);

/* py_asgi_request.c */
FcAsgi *fc_asgi_new(PyEngine *engine, FcConn *conn);
void fc_asgi_clear_spares(PyEngine *engine);
/* The response is over for the connection: give it back, whole or cut, and wake whoever waits. */
void fc_asgi_over(FcAsgi *request, bool whole);
/* With an exception set, before a Task runs it: end it as the application's own failure. */
void fc_asgi_failed(FcAsgi *request);
/* Call the application: its coroutine, or an iterator where it gives another awaitable. New reference. */
PyObject *fc_asgi_call(FcAsgi *request, PyObject *scope);
/* An event for a connection that a request keeps. */
void fc_asgi_event(FcAsgi *request, FcWhy why);

void fc_asgi_dealloc(PyObject *request);
/* The application's coroutine has ended: leave the list, break the cycles. */
void fc_asgi_ended(FcAsgi *request);
/* The application's coroutine is through, with an exception set or without. -1: the exception is the Task's
 * to see: a Task that was cancelled must end cancelled. */
int fc_asgi_finish(FcAsgi *request);

/* py_asgi_port.c */
bool fc_ports_ready(FcAsgi *request);
void fc_port_part(struct FcPort **port);

/* py_asgi_wait.c */
PySendResult fc_asgi_wait(FcAsgi *request, PyObject **slot, PyObject **future);
PySendResult fc_asgi_wait_for_room(FcAsgi *request, PyObject **future);
/* What a send has queued goes out, whether anybody waits for that or not. */
void fc_asgi_keep_sending(FcAsgi *request);
void fc_asgi_wake(FcModule *module, PyObject **slot);
bool fc_asgi_awaited(FcModule *module, PyObject *futures);
/* PYGEN_NEXT without a future: the Task takes its next step in the loop's next pass. */
bool fc_asgi_should_pass(const FcAsgi *request);
PySendResult fc_asgi_pass(FcAsgi *request, PyObject **future);

/* One try of an await. PYGEN_RETURN with *result, PYGEN_ERROR, or PYGEN_NEXT: it must wait, for *future (new
 * reference), or with NULL there for the loop's next pass. */

/* py_asgi_receive.c */
PySendResult fc_asgi_receive(FcAsgi *request, PyObject **result, PyObject **future);

/* py_asgi_send.c: event is the message; *taken: it is on its way and must not be given again. */
PySendResult fc_asgi_send(FcAsgi *request, PyObject *event, bool *taken, PyObject **result,
                          PyObject **future);
/* Again, for a message that was *taken and waits for room. */
PySendResult fc_asgi_send_more(FcAsgi *request, PyObject **result, PyObject **future);
PySendResult fc_asgi_sent(PyObject **result);
/* The client is gone: the answer is cut, OSError. */
PySendResult fc_asgi_broken(FcAsgi *request);
/* The body is whole: end the answer, or wait for trailers. */
PySendResult fc_asgi_finish_body(FcAsgi *request, PyObject **result);

/* py_asgi_fields.c */
/* A key that few messages have: borrowed. */
PyObject *fc_asgi_get(FcAsgi *request, PyObject *event, FcWordId key);
/* False with an exception set: its __bool__ has raised. */
bool fc_asgi_true(PyObject *value);
/* Add the fields of an iterable of pairs to the head. -1 with an exception. */
int fc_asgi_headers(FcAsgi *request, PyObject *headers);
PySendResult fc_asgi_send_early_hint(FcAsgi *request, PyObject *event, PyObject **result);
PySendResult fc_asgi_send_trailers(FcAsgi *request, PyObject *event, PyObject **result);

/* py_asgi_file.c */
PySendResult fc_asgi_send_path(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future);
PySendResult fc_asgi_send_zerocopy(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future);
/* The file is sent, or more of it is to be. */
PySendResult fc_asgi_send_rest(FcAsgi *request, PyObject **result, PyObject **future);

/* py_asgi_raw.c */
PySendResult fc_asgi_raw_receive(FcAsgi *request, PyObject **result, PyObject **future);
/* What came, without waiting: bytes, b"" at the end, None: nothing yet (the watcher will be called). NULL:
 * error. */
PyObject *fc_asgi_raw_read(FcAsgi *request);
PySendResult fc_asgi_raw_drain(FcAsgi *request, PyObject **result, PyObject **future);

/* ... and the methods of Request for them. */
PyObject *fc_raw_receive(PyObject *request, PyObject *ignored);
PyObject *fc_raw_read(PyObject *request, PyObject *ignored);
PyObject *fc_raw_watch(PyObject *request, PyObject *callback);
PyObject *fc_raw_answer(PyObject *request, PyObject *ignored);
PyObject *fc_raw_drain(PyObject *request, PyObject *ignored);
PyObject *fc_raw_write(PyObject *request, PyObject *data);
PyObject *fc_raw_account(PyObject *request, PyObject *status);
PyObject *fc_raw_close(PyObject *request, PyObject *ignored);
PyObject *fc_raw_abort(PyObject *request, PyObject *ignored);

/* py_await.c */
typedef enum FcAwaitKind {
    FC_AWAIT_RECEIVE,
    FC_AWAIT_SEND,
    FC_AWAIT_RAW_RECEIVE,
    FC_AWAIT_RAW_DRAIN
} FcAwaitKind;
/* request NULL: it has ended, and its port lives on. */
PyObject *fc_await_new(PyEngine *engine, FcAsgi *request, FcAwaitKind kind, PyObject *event);
void fc_await_clear_spares(PyEngine *engine);

#endif

/* What the files of the _engine module share: its state, the Engine object, the cache of strings, one WSGI call.
 *
 * All of it runs with the GIL and, unless said otherwise, with the engine token.
 */
#ifndef FC_PY_GATEWAY_H
#define FC_PY_GATEWAY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine.h"
#include "monitor.h"

/* -- strings (py_strings.c) --------------------------------------------------------------------------------------- */

#define FC_CACHE_SIZE  2048 /* entries, direct-mapped */
#define FC_CACHE_LONG  1024 /* longer values are not kept */
#define FC_ADDRS       256
#define FC_PORTS       4096

/* Values that come again and again (Host, User-Agent, paths) as str objects, shared by all connections of a worker:
 * bounded, and idle connections own nothing. */
typedef struct FcStrings {
    PyObject *values[FC_CACHE_SIZE];
    struct {
        unsigned char key[16];
        uint8_t len;
        PyObject *text;
    } addrs[FC_ADDRS];
    struct {
        uint16_t port;
        PyObject *text;
    } ports[FC_PORTS];
} FcStrings;

/* A Latin-1 str of the bytes: new reference, perhaps of the cached one. */
PyObject *fc_str(FcStrings *strings, const char *bytes, size_t len);
/* The text of a peer's address, and of its port: new references. */
PyObject *fc_str_address(FcStrings *strings, const FcPeer *peer);
PyObject *fc_str_port(FcStrings *strings, const FcPeer *peer);
void fc_strings_clear(FcStrings *strings);

/* -- the module --------------------------------------------------------------------------------------------------- */

/* Keys of the environ that the gateway sets itself. */
#define FC_KEY_LIST(X)                                                                                       \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                                      \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                            \
    X(PATH_INFO, "PATH_INFO")                                                                                \
    X(QUERY_STRING, "QUERY_STRING")                                                                          \
    X(RAW_URI, "RAW_URI")                                                                                    \
    X(REQUEST_URI, "REQUEST_URI")                                                                            \
    X(CONTENT_TYPE, "CONTENT_TYPE")                                                                          \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                                                                      \
    X(SERVER_NAME, "SERVER_NAME")                                                                            \
    X(SERVER_PORT, "SERVER_PORT")                                                                            \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                                    \
    X(SERVER_SOFTWARE, "SERVER_SOFTWARE")                                                                    \
    X(GATEWAY_INTERFACE, "GATEWAY_INTERFACE")                                                                \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                            \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                            \
    X(WSGI_VERSION, "wsgi.version")                                                                          \
    X(WSGI_URL_SCHEME, "wsgi.url_scheme")                                                                    \
    X(WSGI_INPUT, "wsgi.input")                                                                              \
    X(WSGI_ERRORS, "wsgi.errors")                                                                            \
    X(WSGI_MULTITHREAD, "wsgi.multithread")                                                                  \
    X(WSGI_MULTIPROCESS, "wsgi.multiprocess")                                                                \
    X(WSGI_RUN_ONCE, "wsgi.run_once")                                                                        \
    X(WSGI_FILE_WRAPPER, "wsgi.file_wrapper")                                                                \
    X(WSGI_INPUT_TERMINATED, "wsgi.input_terminated")                                                        \
    X(SLOT, "forkcluster.slot")                                                                              \
    X(GENERATION, "forkcluster.generation")

typedef enum FcKey {
#define X(id, name) FC_KEY_##id,
    FC_KEY_LIST(X)
#undef X
        FC_KEYS,
} FcKey;

typedef struct FcModule {
    PyTypeObject *engine_type, *call_type, *write_type, *input_type, *file_wrapper_type;
    PyObject *keys[FC_KEYS];
    PyObject *http_keys[FC_FIELD_COUNT]; /* HTTP_HOST ... by field id */
    PyObject *methods[FC_METHOD_COUNT];
    PyObject *http_1_0, *http_1_1, *empty, *http, *https, *slash;
    PyObject *close, *fileno, *tell, *raw, *file; /* attribute names */
    PyObject *raw_file_type; /* io.FileIO */
    PyObject *empty_input;
} FcModule;

extern struct PyModuleDef fc_engine_module;
FcModule *fc_module_of(PyTypeObject *type);

/* -- the Engine object -------------------------------------------------------------------------------------------- */

struct FcCall;

typedef struct PyEngine {
    PyObject_HEAD
    FcModule *module; /* borrowed: of our type */
    FcEngine engine;
    bool live; /* engine is initialised */
    FcBoard board;
    FcTrust *trust;
    FcMonitor *monitor;
    int channel;
    FcStrings strings;
    PyObject *app, *on_error;
    PyObject *templates[FC_LISTENERS]; /* environ of each listener */
    PyObject *schemes[FC_LISTENERS];
    char *root_path; /* Latin-1, without a trailing slash */
    size_t root_path_len;
    char *extra; /* field lines added to every answer, with CRLFs */
    size_t extra_len;
    bool forked_away; /* this is a child that the application has forked */
    PyObject *exit;   /* SystemExit raised by the application, to be raised again after the drain */
    struct FcCall *spare_call;
} PyEngine;

extern PyType_Spec fc_engine_spec;

/* Report the exception that is set (and clear it): calls on_error(where: str, exception). */
void fc_report(PyEngine *engine, const char *where, const char *method, size_t method_len, const char *path,
               size_t path_len);
/* Report a fault of the application that is no exception. */
void fc_complain(PyEngine *engine, const FcConn *conn, const char *words);
/* Release the owners of segments that were sent. */
void fc_release_spent(PyEngine *engine);

/* -- wsgi.input (py_input.c) -------------------------------------------------------------------------------------- */

extern PyType_Spec fc_input_spec;
/* New reference; conn is borrowed until fc_input_close. */
PyObject *fc_input_new(PyEngine *engine, FcConn *conn);
/* The request is over: reading raises ValueError from now on. */
void fc_input_close(PyObject *input);

/* -- wsgi.file_wrapper (py_filewrapper.c) ------------------------------------------------------------------------- */

extern PyType_Spec fc_file_wrapper_spec;
/* The descriptor and extent of a wrapped regular file, from its present position. False: iterate instead, as for every
 * object that is not known to read what its descriptor holds. */
bool fc_file_wrapper_extent(FcModule *module, PyObject *wrapper, int *fd, off_t *offset, uint64_t *length);

/* -- the environ (py_environ.c) ----------------------------------------------------------------------------------- */

/* Constant part for one listener: new reference. */
PyObject *fc_environ_template(PyEngine *engine, PyObject *scheme, PyObject *server_name, PyObject *server_port,
                              bool multithread, bool multiprocess);
/* The environ of the request in hand; *input is its wsgi.input (new reference). New reference. */
PyObject *fc_environ_new(PyEngine *engine, FcConn *conn, PyObject **input);

/* -- one WSGI call (py_wsgi.c, py_response.c) --------------------------------------------------------------------- */

#define FC_HEAD_SIZE   (16 * 1024) /* room for a head with a small body; grows */
#define FC_HIGH_WATER  (256 * 1024)

struct FcWrite;

/* One call of the application and its answer; also the start_response callable. Kept for the next request when the
 * application has not kept it. */
typedef struct FcCall {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyEngine *engine; /* borrowed; NULL: the call is over */
    FcConn *conn;     /* checked out or parked; NULL: over */
    char *head;       /* owned: status line and field lines; kept for the next call */
    size_t head_len, head_cap;
    size_t fields_at; /* where the field lines begin */
    int status;
    bool started;     /* start_response was called */
    bool head_done;   /* the head is sent or queued */
    bool no_body;     /* HEAD, 204, 304 */
    bool chunked;
    bool has_date, has_server;
    bool accounted, broken, warned;
    int64_t length;   /* Content-Length given or computed; -1: none */
    uint64_t body_sent;
    PyObject *iterable, *iterator, *context, *input;
    struct FcWrite *write; /* owned: what start_response returns */
} FcCall;

extern PyType_Spec fc_call_spec, fc_write_spec;

/* py_response.c: format and send. */

/* start_response(status, headers): format the head. -1 with an exception. */
int fc_call_start(FcCall *call, PyObject *status, PyObject *headers);
/* Send the head with this much of the body, and all of it when last. False: the client is gone. Never raises. */
bool fc_call_send(FcCall *call, PyObject *bytes, bool last);
/* Send the head, if that is not done, and a piece of a file. */
bool fc_call_send_file(FcCall *call, int fd, off_t offset, uint64_t length);
/* End the body. False: the answer is not whole, the connection must be cut. */
bool fc_call_end(FcCall *call);

/* py_call.c: the objects. */

/* A call for this connection: new reference. */
FcCall *fc_call_new(PyEngine *engine, FcConn *conn);
/* The call is over: it holds nothing of the request any more. Steals the reference. */
void fc_call_done(FcCall *call);

/* py_wsgi.c: one request through the application. */
void fc_wsgi_serve_one(PyEngine *engine, FcConn *conn);

#endif

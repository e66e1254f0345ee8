/* What the files of the _engine module share: its state, the Engine object, the cache of strings, one WSGI
 * call.
 *
 * All of it runs with the GIL. The engine token is taken for what touches the engine's tables only, and never
 * held while anything of Python's runs that could give the GIL up (engine.h, T and G).
 */
#ifndef FC_PY_GATEWAY_H
#define FC_PY_GATEWAY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine.h"
#include "handover.h"
#include "monitor.h"

/* -- strings (py_strings.c)
 * --------------------------------------------------------------------------------------- */

#define FC_CACHE_SIZE 2048 /* entries, direct-mapped */
#define FC_CACHE_LONG 1024 /* longer values are not kept */
#define FC_ADDRS      256
#define FC_PORTS      4096

#define FC_PAIRS      2048
#define FC_CLIENTS    1024

/* Values that come again and again (Host, User-Agent, paths) as str objects, shared by all connections of a
 * worker: bounded, and idle connections own nothing. */
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
    PyObject *pairs[FC_PAIRS]; /* (name, value) tuples of bytes */
    struct {
        FcPeer peer;
        PyObject *pair;
    } clients[FC_CLIENTS];
} FcStrings;

/* A header as ASGI wants it: a tuple (lower-case name, value) of bytes; new reference, perhaps of the cached
 * one. known: the interned name, or NULL. */
PyObject *fc_pair(FcStrings *strings, PyObject *known, const char *name, size_t name_len, const char *value,
                  size_t value_len);

/* A Latin-1 str of the bytes: new reference, perhaps of the cached one. */
PyObject *fc_str(FcStrings *strings, const char *bytes, size_t len);
/* The text of a peer's address, and of its port: new references. */
PyObject *fc_str_address(FcStrings *strings, const FcPeer *peer);
PyObject *fc_str_port(FcStrings *strings, const FcPeer *peer);
/* (address, port number) of a peer that has an address: new reference. */
PyObject *fc_client(FcStrings *strings, const FcPeer *peer);
void fc_strings_clear(FcStrings *strings);

/* -- the module
 * --------------------------------------------------------------------------------------------------- */

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

/* Words of ASGI: keys and types of scopes and events. */
#define FC_WORD_LIST(X)                                                                                      \
    X(type, "type")                                                                                          \
    X(asgi, "asgi")                                                                                          \
    X(http_version, "http_version")                                                                          \
    X(method, "method")                                                                                      \
    X(scheme, "scheme")                                                                                      \
    X(path, "path")                                                                                          \
    X(raw_path, "raw_path")                                                                                  \
    X(query_string, "query_string")                                                                          \
    X(root_path, "root_path")                                                                                \
    X(headers, "headers")                                                                                    \
    X(client, "client")                                                                                      \
    X(server, "server")                                                                                      \
    X(state, "state")                                                                                        \
    X(extensions, "extensions")                                                                              \
    X(subprotocols, "subprotocols")                                                                          \
    X(status, "status")                                                                                      \
    X(body, "body")                                                                                          \
    X(more_body, "more_body")                                                                                \
    X(trailers, "trailers")                                                                                  \
    X(more_trailers, "more_trailers")                                                                        \
    X(links, "links")                                                                                        \
    X(file, "file")                                                                                          \
    X(offset, "offset")                                                                                      \
    X(count, "count")                                                                                        \
    X(http, "http")                                                                                          \
    X(https, "https")                                                                                        \
    X(websocket, "websocket")                                                                                \
    X(ws, "ws")                                                                                              \
    X(wss, "wss")                                                                                            \
    X(one_zero, "1.0")                                                                                       \
    X(one_one, "1.1")                                                                                        \
    X(http_request, "http.request")                                                                          \
    X(http_disconnect, "http.disconnect")                                                                    \
    X(response_start, "http.response.start")                                                                 \
    X(response_body, "http.response.body")                                                                   \
    X(response_trailers, "http.response.trailers")                                                           \
    X(response_pathsend, "http.response.pathsend")                                                           \
    X(response_zerocopysend, "http.response.zerocopysend")                                                   \
    X(response_early_hint, "http.response.early_hint")                                                       \
    X(set_result, "set_result")                                                                              \
    X(done, "done")                                                                                          \
    X(throw, "throw")                                                                                        \
    X(close_, "close")                                                                                       \
    X(fileno_, "fileno")                                                                                     \
    X(empty_text, "")

typedef enum FcWordId {
#define X(id, text) FC_W_##id,
    FC_WORD_LIST(X)
#undef X
        FC_WORDS,
} FcWordId;

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
    PyObject *close, *fileno, *tell, *raw, *read, *wrapped; /* attribute names */
    PyObject *raw_file_type, *reader_type, *random_type;    /* io.FileIO, BufferedReader, BufferedRandom */
    PyObject *empty_input;
    /* ASGI */
    PyTypeObject *request_type, *port_type, *await_type;
    PyObject *words[FC_WORDS];
    PyObject *field_names[FC_FIELD_COUNT]; /* bytes, lower case */
    PyObject *empty_bytes, *disconnect_event;
} FcModule;

extern struct PyModuleDef fc_engine_module;
FcModule *fc_module_of(PyTypeObject *type);

/* A header pair that was found sound, known by its objects. */
#define FC_KNOWN_FIELDS 128

typedef struct FcKnownField {
    PyObject *name, *value; /* owned */
    int64_t length;         /* of a Content-Length */
    uint8_t meaning;        /* see py_head.c */
} FcKnownField;

/* What a listener's next ASGI scopes begin with: see py_asgi_scope.c. */
typedef enum FcSettledKey {
    FC_SETTLED_METHOD,
    FC_SETTLED_VERSION,
    FC_SETTLED_SCHEME,
    FC_SETTLED_CLIENT,
    FC_SETTLED_PATH,
    FC_SETTLED_RAW_PATH,
    FC_SETTLED_QUERY,
    FC_SETTLED_EXTENSIONS,
    FC_SETTLED,
} FcSettledKey;

/* -- the Engine object
 * -------------------------------------------------------------------------------------------- */

struct FcCall;

typedef struct PyEngine {
    PyObject_HEAD FcModule *module; /* borrowed: of our type */
    FcEngine engine;
    bool live; /* engine is initialised */
    FcBoard board;
    FcTrust *trust;
    FcMonitor *monitor;
    FcHandover *handover;
    /* WSGI; see py_serve.c. All G. */
    FcCrew crew;
    FcServer *servers;                     /* one for each thread there may be */
    unsigned out;                          /* threads in calls that others have taken the loop over from */
    PyObject *context;                     /* what each request's own is a copy of */
    PyObject *get_interval, *set_interval; /* sys.getswitchinterval, sys.setswitchinterval */
    PyObject *interval;                    /* the application's own, while ours is in force; else NULL */
    uint64_t storage_told; /* when a body was last reported that could not be kept; 0: never */
    int channel;
    FcStrings *strings; /* owned; of memory that is touched only where it is used */
    PyObject *app, *on_error;
    PyObject *templates[FC_LISTENERS]; /* environ of each listener, or the scope its next begins with */
    PyObject *schemes[FC_LISTENERS];   /* what a request that no proxy speaks for came by */
    char *root_path;                   /* Latin-1, without a trailing slash */
    size_t root_path_len;
    char *extra; /* field lines added to every answer, with CRLFs */
    size_t extra_len;
    bool forked_away; /* this is a child that the application has forked */
    PyObject *exit;   /* SystemExit raised by the application, to be raised again after the drain */
    struct FcCall *spare_call;
    FcKnownField known_fields[FC_KNOWN_FIELDS];
    /* ASGI; see py_asgi.c */
    PyObject *loop, *task_type, *task_keywords, *create_future, *call_soon, *turn, *cancelled_error;
    PyObject *state, *on_websocket, *on_drained, *on_drain;
    PyObject *asgi_http, *asgi_websocket;       /* "asgi" of a scope */
    PyObject *extensions, *extensions_trailers; /* "extensions" of an http scope, without and with trailers */
    PyObject *extensions_websocket;
    PyObject *settled[FC_LISTENERS][FC_SETTLED]; /* borrowed: values of the templates */
    struct FcAsgi *running; /* requests whose coroutine has not ended; the list owns them */
    struct FcAwait *spare_awaits;
    struct FcAsgi *spare_requests;
    unsigned spare_await_count, spare_request_count;
    PyObject *seen_start, *seen_body; /* the application's own objects for the two commonest message types */
    bool turn_due, in_turn;           /* call_soon was asked for; it runs */
    bool takes_step, starting;        /* see py_asgi_start.c: a Task starts by it; one is starting */
    PyObject *first_step, *first_context;
    PyObject *call_later, *beat;
    PyObject *context_keyword; /* ("context",), of call_soon and call_later */
    uint64_t beat_at;          /* when the beat that measures the loop's lag is due; 0: none is on its way */
    bool turned;               /* since the last beat */
    struct FcAsgi *stepping;   /* borrowed: whose Task is running now; NULL: none of ours */
    PyObject *on_stacks;       /* called in a turn after the signal for stacks; NULL: nobody */
    _Atomic bool tell_due;     /* ... which has come */
} PyEngine;

extern PyType_Spec fc_engine_spec;

#define FC_THREADS_MOST 1024

/* Read the options that make an engine, and those that its object keeps (py_options.c). False with an
 * exception. */
bool fc_options_config(PyObject *options, FcConfig *config);
bool fc_options_read(PyEngine *engine, PyObject *options);

/* -- serving threads (py_serve.c)
 * ---------------------------------------------------------------------------------------------------------
 */

/* Take the token, with the GIL, which is given up for a moment if the monitor has it. From here to fc_leave()
 * nothing may run that could give the GIL up: no allocation of Python's, no release of a reference. */
static inline void
fc_enter(PyEngine *engine)
{
    void fc_wait_for_token(PyEngine * engine);

    if (!fc_token_take(&engine->engine.token, FC_TOKEN_SERVER))
        fc_wait_for_token(engine);
}

static inline void
fc_leave(PyEngine *engine)
{
    fc_token_release(&engine->engine.token);
}

/* A call of the application begins, or is over; by a thread that leads. */
static inline void
fc_call_begins(PyEngine *engine)
{
    fc_store(&engine->engine.line->calls, fc_load(&engine->engine.line->calls) + 1);
}

/* The thread comes out of its call with a connection: take the token, and the loop if that is ours or its
 * leader is in a call. True: we lead, and hold the token. False: another thread leads, it holds nothing...
 * and we hold the token. */
bool fc_come_back(PyEngine *engine, FcServer *me);
/* After fc_come_back() that was false: give the token up, and wake the leader if it has to know. */
void fc_bow_out(PyEngine *engine);

int fc_serve_prepare(PyEngine *engine);
void fc_serve_clear(PyEngine *engine);
PyObject *fc_serve_begin(PyObject *engine, PyObject *app);
PyObject *fc_serve(PyObject *engine, PyObject *ignored);
PyObject *fc_serve_attend(PyObject *engine, PyObject *ignored);
PyObject *fc_serve_refused(PyObject *engine, PyObject *ignored);

/* Report the exception that is set (and clear it): calls on_error(where: str, exception). */
void fc_report(PyEngine *engine, const char *where, const char *method, size_t method_len, const char *path,
               size_t path_len);
/* Report a fault of the application that is no exception. */
void fc_complain(PyEngine *engine, const FcConn *conn, const char *words);
/* Release the owners of segments that were sent. */
void fc_release_spent(PyEngine *engine);

/* -- wsgi.input (py_input.c)
 * -------------------------------------------------------------------------------------- */

extern PyType_Spec fc_input_spec;
/* New reference; conn is borrowed until fc_input_close. */
PyObject *fc_input_new(PyEngine *engine, FcConn *conn);
/* The request is over: reading raises ValueError from now on. */
void fc_input_close(PyObject *input);
/* Whether the exception that is set is what a read of it raised because of the client, or was raised from
 * that. */
bool fc_input_raised(PyObject *input);

/* -- wsgi.file_wrapper (py_filewrapper.c)
 * ------------------------------------------------------------------------- */

extern PyType_Spec fc_file_wrapper_spec;
/* The descriptor and extent of a wrapped regular file, from its present position. False: iterate instead, as
 * for every object that is not known to read what its descriptor holds. */
struct stat;
/* Whether a regular file has as many bytes as its status says: those of procfs and sysfs have not. */
bool fc_file_size_holds(int fd, const struct stat *status);
bool fc_file_wrapper_extent(FcModule *module, PyObject *wrapper, int *fd, off_t *offset, uint64_t *length);

/* -- the environ (py_environ.c)
 * ----------------------------------------------------------------------------------- */

/* Constant part for one listener: new reference. */
PyObject *fc_environ_template(PyEngine *engine, PyObject *scheme, PyObject *server_name,
                              PyObject *server_port, bool multithread, bool multiprocess);
/* The environ of the request in hand; *input is its wsgi.input (new reference), NULL where there is no body.
 * New reference. */
PyObject *fc_environ_new(PyEngine *engine, FcConn *conn, PyObject **input);

/* -- one answer (py_answer.c)
 * ------------------------------------------------------------------------------------- */

#define FC_HEAD_SIZE  (16 * 1024) /* room for a head with a small body; grows */
#define FC_HIGH_WATER (256 * 1024)

/* An answer in the making: formatted by the gateway, sent with the body in as few system calls as can be. */
typedef struct FcAnswer {
    PyEngine *engine; /* borrowed; NULL: the call is over */
    FcConn *conn;     /* checked out or parked; NULL: over */
    char *head;       /* owned: status line and field lines; kept for the next call */
    size_t head_len, head_cap;
    size_t fields_at; /* where the field lines begin */
    int status;
    bool started;   /* the application has given status and fields */
    bool head_done; /* the head is sent or queued */
    bool no_body;   /* HEAD, 204, 304 */
    bool chunked;
    bool trailers; /* the application will end the body with trailer fields */
    bool has_date, has_server, upgrade;
    bool accounted, broken, warned;
    bool fresh;     /* the clock was read for this send */
    uint64_t now;   /* ... and said this */
    int64_t length; /* Content-Length given or computed; -1: none */
    uint64_t body_sent;
} FcAnswer;

/* For a new request; the head's memory is kept. */
void fc_answer_begin(FcAnswer *answer, PyEngine *engine, FcConn *conn);
/* Begin, or begin anew, the head: "HTTP/1.1 " and this text, which is valid as a status line. False: out of
 * memory. */
bool fc_answer_status(FcAnswer *answer, int status, const char *text, size_t len);
/* Add one field line; checks both parts and leaves out what is ours to say. The objects are those that the
 * bytes belong to, immutable ones, or both NULL. -1 with an exception. */
int fc_answer_field(FcAnswer *answer, PyObject *name_object, PyObject *value_object,
                    const unsigned char *name, size_t name_len, const unsigned char *value, size_t value_len);
/* Room for more bytes of the head. False: out of memory. */
bool fc_head_reserve(FcAnswer *answer, size_t more);
/* Complete the head; body_len: all bytes there will be, or -1. False: out of memory. */
bool fc_head_finish(FcAnswer *answer, int64_t body_len);
/* Send the head, if that is not done, and these bytes; with last, they are the whole rest. False: the client
 * is gone, or there is no memory. Never raises. owner may be NULL, else it owns data. */
bool fc_answer_send(FcAnswer *answer, const char *data, size_t len, PyObject *owner, bool last);
/* Send the head, if that is not done, and a piece of a file; with last, it is the whole rest. */
bool fc_answer_send_file(FcAnswer *answer, int fd, off_t offset, uint64_t length, bool last);
/* End the body; trailer: field lines with CRLFs, or NULL. False: the answer is not whole, the connection must
 * be cut. */
bool fc_answer_end(FcAnswer *answer, const char *trailer, size_t trailer_len);
/* A whole plain-text answer instead of what was started; only while the head is not done. */
bool fc_answer_plain(FcAnswer *answer, int status, const char *text);
/* Count and log it, once. status 0 with cut. */
void fc_answer_account(FcAnswer *answer, bool cut);

/* RFC 9110 section 5.6.2 and 5.5: the characters of a name and of a value. */
extern const bool fc_token_byte[256];
static inline bool
fc_value_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* -- one WSGI call (py_wsgi.c, py_call.c)
 * ------------------------------------------------------------------------- */

struct FcWrite;

/* One call of the application; also the start_response callable. Kept for the next request when the
 * application has not kept it. */
typedef struct FcCall {
    PyObject_HEAD vectorcallfunc vectorcall;
    FcAnswer answer;
    PyObject *iterable, *iterator, *context, *input, *environ;
    struct FcWrite *write; /* owned: what start_response returns */
    bool returned;         /* the application has: from then on only its own iterable may write() ... */
    unsigned long thread;  /* ... in this thread */
} FcCall;

extern PyType_Spec fc_call_spec, fc_write_spec;

/* py_call.c: the objects. */

/* A call for this connection: new reference. */
FcCall *fc_call_new(PyEngine *engine, FcConn *conn);
/* The call is over: it holds nothing of the request any more. Steals the reference. */
void fc_call_done(FcCall *call);

/* py_lend.c: a thread of the application waits for the client, without the GIL. */

/* Before: false, with RuntimeError, when another has that already. */
bool fc_lend(FcConn *conn, uint8_t what);
/* After, with the GIL again, and when what came of it is noted. */
void fc_lend_back(FcConn *conn, uint8_t what);
/* Have it back, now: its wait fails, unless it is over. Not in a forked child, where nobody has it. */
void fc_recall(FcConn *conn, uint8_t what);
/* In a child that the application has forked: no other thread of the parent's is there. */
void fc_lend_in_child(void);

/* py_response.c: start_response(status, headers). -1 with an exception. */
int fc_call_start(FcCall *call, PyObject *status, PyObject *headers);

/* py_wsgi.c: one request through the application, by a thread that leads. True: it still does, and holds the
 * token. */
bool fc_wsgi_serve_one(PyEngine *engine, FcServer *me, FcConn *conn);

#endif

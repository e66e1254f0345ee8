/* HTTP/1.x message heads and chunked bodies, as bytes.
 *
 * Owns nothing, allocates nothing, knows no socket and no Python. A head is parsed in place in a buffer that
 * belongs to the caller; results are offsets into that buffer, so the caller may move the bytes between two
 * calls (a growing buffer, a hand-over to another process). Incremental: each line is looked at once,
 * whatever the sizes in which the bytes arrive, and the verdict never depends on those sizes.
 *
 * Governing: RFC 9112 (syntax, framing), RFC 9110 (fields, targets). Strict: what is ambiguous is refused.
 */
#ifndef FC_PARSER_H
#define FC_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FC_FIELDS_MAX 256 /* room for fields in an FcRequest; the configured limit is at most this */

typedef enum FcParse {
    FC_PARSE_MORE,  /* nothing wrong so far; call again with more bytes */
    FC_PARSE_DATA,  /* chunked decoder only: one run of body bytes */
    FC_PARSE_DONE,  /* the head, or the chunked body with its trailer section, is complete */
    FC_PARSE_ERROR, /* refused; the error field says why; the connection must be closed after the answer */
} FcParse;

/* Why a request is refused. fc_http_status() gives the status, fc_http_reason() a sentence for the log. */
typedef enum FcHttpError {
    FC_HTTP_OK,
    FC_HTTP_BARE_LF,          /* 400 */
    FC_HTTP_BAD_METHOD,       /* 400 not a token */
    FC_HTTP_BAD_REQUEST_LINE, /* 400 wrong spaces, empty parts, leading white space */
    FC_HTTP_BAD_TARGET,  /* 400 control or raw non-ASCII byte, fragment, form not allowed for the method */
    FC_HTTP_BAD_VERSION, /* 400 not HTTP/d.d */
    FC_HTTP_VERSION_UNSUPPORTED, /* 505 well formed, but not 1.0 or 1.1 */
    FC_HTTP_LINE_TOO_LONG,       /* 414 */
    FC_HTTP_FIELD_TOO_LONG,      /* 431 */
    FC_HTTP_TOO_MANY_FIELDS,     /* 431 */
    FC_HTTP_HEAD_TOO_LONG,       /* 431 */
    FC_HTTP_BAD_FIELD_NAME,      /* 400 empty, not a token, white space before the colon, no colon */
    FC_HTTP_BAD_FIELD_VALUE,     /* 400 control byte in a value */
    FC_HTTP_OBS_FOLD,            /* 400 line folding */
    FC_HTTP_MISSING_HOST,        /* 400 HTTP/1.1 without Host */
    FC_HTTP_BAD_HOST,            /* 400 duplicate or malformed Host */
    FC_HTTP_DUPLICATE_FIELD,     /* 400 a singleton (Content-Type, Content-Length, ...) given twice */
    FC_HTTP_BAD_LENGTH,          /* 400 not 1*DIGIT, or over 2^63 - 1 */
    FC_HTTP_LENGTH_AND_CODING,   /* 400 Content-Length together with Transfer-Encoding */
    FC_HTTP_BAD_CODING, /* 400 Transfer-Encoding empty, malformed, or chunked not last or not once, or in 1.0
                         */
    FC_HTTP_CODING_UNSUPPORTED, /* 501 a transfer coding other than chunked */
    FC_HTTP_METHOD_UNSUPPORTED, /* 501 CONNECT */
    FC_HTTP_BAD_CHUNK,          /* 400 chunk size, extension or CRLF malformed; size over 2^63 - 1 */
    FC_HTTP_BAD_TRAILER,        /* 400 malformed or forbidden trailer field */
    FC_HTTP_BODY_TOO_LARGE,     /* 413 (raised by the connection, listed here so that all refusals are in one
                                   place) */
    FC_HTTP_TIMEOUT,            /* 408 (likewise) */
    FC_HTTP_EXPECT_UNSUPPORTED, /* 417 Expect with anything but 100-continue */
    FC_HTTP_STORAGE,            /* 503 no memory or disk for the body (raised by the connection) */
    FC_HTTP_CUT_SHORT, /* 400 the client left inside its request (likewise; usually nobody is there to read
                          it) */
} FcHttpError;

int fc_http_status(FcHttpError error);
const char *fc_http_reason(FcHttpError error);

/* Field names that the gateways keep interned. The order is the id; 0 is "unknown". Lower case, as in ASGI.
 */
#define FC_FIELD_LIST(X)                                                                                     \
    X(HOST, "host")                                                                                          \
    X(CONNECTION, "connection")                                                                              \
    X(CONTENT_LENGTH, "content-length")                                                                      \
    X(CONTENT_TYPE, "content-type")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                                \
    X(EXPECT, "expect")                                                                                      \
    X(UPGRADE, "upgrade")                                                                                    \
    X(COOKIE, "cookie")                                                                                      \
    X(USER_AGENT, "user-agent")                                                                              \
    X(ACCEPT, "accept")                                                                                      \
    X(ACCEPT_ENCODING, "accept-encoding")                                                                    \
    X(ACCEPT_LANGUAGE, "accept-language")                                                                    \
    X(ACCEPT_CHARSET, "accept-charset")                                                                      \
    X(AUTHORIZATION, "authorization")                                                                        \
    X(REFERER, "referer")                                                                                    \
    X(ORIGIN, "origin")                                                                                      \
    X(CACHE_CONTROL, "cache-control")                                                                        \
    X(PRAGMA, "pragma")                                                                                      \
    X(DATE, "date")                                                                                          \
    X(DNT, "dnt")                                                                                            \
    X(TE, "te")                                                                                              \
    X(TRAILER, "trailer")                                                                                    \
    X(VIA, "via")                                                                                            \
    X(FORWARDED, "forwarded")                                                                                \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                                    \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                                \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                                  \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                                  \
    X(X_REAL_IP, "x-real-ip")                                                                                \
    X(X_REQUEST_ID, "x-request-id")                                                                          \
    X(X_CORRELATION_ID, "x-correlation-id")                                                                  \
    X(X_REQUESTED_WITH, "x-requested-with")                                                                  \
    X(X_CSRFTOKEN, "x-csrftoken")                                                                            \
    X(X_HTTP_METHOD_OVERRIDE, "x-http-method-override")                                                      \
    X(IF_MATCH, "if-match")                                                                                  \
    X(IF_NONE_MATCH, "if-none-match")                                                                        \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                                \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                            \
    X(IF_RANGE, "if-range")                                                                                  \
    X(RANGE, "range")                                                                                        \
    X(CONTENT_ENCODING, "content-encoding")                                                                  \
    X(CONTENT_LANGUAGE, "content-language")                                                                  \
    X(CONTENT_DISPOSITION, "content-disposition")                                                            \
    X(CONTENT_LOCATION, "content-location")                                                                  \
    X(CONTENT_MD5, "content-md5")                                                                            \
    X(KEEP_ALIVE, "keep-alive")                                                                              \
    X(PROXY_CONNECTION, "proxy-connection")                                                                  \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                            \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                                \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                                        \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                                      \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                                                  \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                                      \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                                                      \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                                      \
    X(SEC_FETCH_USER, "sec-fetch-user")                                                                      \
    X(SEC_CH_UA, "sec-ch-ua")                                                                                \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile")                                                                  \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform")                                                              \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")                                                \
    X(TRACEPARENT, "traceparent")                                                                            \
    X(TRACESTATE, "tracestate")

typedef enum FcFieldId {
    FC_FIELD_UNKNOWN,
#define X(id, name) FC_FIELD_##id,
    FC_FIELD_LIST(X)
#undef X
        FC_FIELD_COUNT, /* at most 64: FcRequest.known has one bit for each */
} FcFieldId;

/* The id of a field name in any case; FC_FIELD_UNKNOWN if it is none of the list. name is borrowed. */
FcFieldId fc_field_id(const char *name, size_t len);
/* The lower-case name of an id. */
const char *fc_field_name(FcFieldId id);

#define FC_METHOD_LIST(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(OPTIONS) X(PATCH) X(TRACE) X(CONNECT)

typedef enum FcMethod {
    FC_METHOD_OTHER,
#define X(id) FC_METHOD_##id,
    FC_METHOD_LIST(X)
#undef X
        FC_METHOD_COUNT,
} FcMethod;

typedef enum FcTargetForm { FC_TARGET_ORIGIN, FC_TARGET_ABSOLUTE, FC_TARGET_ASTERISK } FcTargetForm;

typedef struct FcSpan {
    uint32_t at, len; /* bytes, from the start of the buffer */
} FcSpan;

typedef struct FcField {
    uint32_t name_at, value_at, value_len; /* value without the white space around it */
    uint16_t name_len;
    uint16_t id; /* FcFieldId */
} FcField;

typedef struct FcLimits {
    uint32_t request_line; /* bytes without CRLF */
    uint32_t field;        /* bytes of one field line without CRLF */
    uint32_t head;         /* bytes of the whole head with its final CRLF */
    uint32_t fields;       /* count, at most FC_FIELDS_MAX */
} FcLimits;

typedef struct FcRequest {
    /* progress, the parser's own */
    uint32_t line_at; /* where the line being looked at begins */
    uint32_t scanned; /* how far it has been searched for LF */
    uint8_t stage;
    uint16_t n_dropped; /* fields dropped so far for an underscore in their name */
    /* results, valid after FC_PARSE_DONE (error: after FC_PARSE_ERROR) */
    uint8_t error;          /* FcHttpError */
    uint8_t method;         /* FcMethod */
    uint8_t minor;          /* HTTP/1.minor */
    uint8_t form;           /* FcTargetForm */
    bool https;             /* absolute-form with the https scheme */
    bool chunked;           /* body framing: chunked ... */
    bool keep_alive;        /* what the client asks for, by version and Connection */
    bool expect_continue;   /* Expect: 100-continue, in 1.1 */
    bool upgrade;           /* Connection names upgrade and Upgrade is there */
    bool has_query;         /* a '?' was there, the query may be empty */
    bool repeated;          /* some field name occurs more than once */
    int64_t content_length; /* ... or bytes; -1 if not given */
    FcSpan method_name;
    FcSpan target;     /* as sent */
    FcSpan path;       /* still percent-encoded; "/" for an absolute-form without one: then len is 0 */
    FcSpan query;      /* without '?' */
    FcSpan authority;  /* of an absolute-form; it replaces Host (RFC 9112 section 3.2.2) */
    uint64_t known;    /* bit n: the field with id n is there; bit 0: some field with an unknown name */
    uint32_t head_len; /* bytes of the whole head */
    uint16_t n_fields; /* names with an underscore are dropped, but counted against the limit */
    FcField fields[FC_FIELDS_MAX];
} FcRequest;

/* Make *request ready for a new head (cheap: the fields are not touched). */
void fc_request_init(FcRequest *request);

/* Parse the head at the start of buf; len bytes are there so far, all those of earlier calls among them, at
 * the same offsets. A request may be preceded by one empty line (RFC 9112 section 2.2). buf is borrowed for
 * the call. FC_PARSE_MORE, FC_PARSE_DONE or FC_PARSE_ERROR. */
FcParse fc_parse_head(FcRequest *request, const char *buf, size_t len, const FcLimits *limits);

/* A chunked body being decoded (RFC 9112 section 7.1). All zero is the initial state. */
typedef struct FcChunked {
    uint64_t left;     /* bytes of the present chunk still to come */
    uint32_t line_len; /* bytes of the present size or trailer line so far */
    uint32_t trailer_len;
    uint32_t excess; /* bytes of extensions beyond what the data excuses, over the whole body */
    uint8_t state;
    uint8_t error; /* FcHttpError */
    uint8_t digits;
    uint8_t name_len; /* of a trailer name collected so far, in name */
    char name[32];    /* enough to recognise the forbidden names */
} FcChunked;

/* Decode from in. *used says how many bytes were consumed; with FC_PARSE_DATA *data and *data_len are a run
 * of body bytes inside in. Call again with the rest until FC_PARSE_MORE (all consumed), FC_PARSE_DONE (the
 * bytes after *used belong to the next request) or FC_PARSE_ERROR. Size lines and the trailer section are
 * limited to 4096 bytes, and the extensions of a body to 16 KiB beyond twice its data. Trailer fields are
 * checked and dropped. */
FcParse fc_parse_chunked(FcChunked *chunked, const char *in, size_t len, size_t *used, const char **data,
                         size_t *data_len);

#endif

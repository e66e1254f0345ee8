/* What each refusal is called and answered with: the table behind FcHttpError. */
#include "parser.h"

typedef struct Refusal {
    int status;
    const char *reason;
} Refusal;

static const Refusal refusals[] = {
    [FC_HTTP_OK] = {200, "no error"},
    [FC_HTTP_BARE_LF] = {400, "line ended by LF without CR"},
    [FC_HTTP_BAD_METHOD] = {400, "method is not a token of at most 32 bytes"},
    [FC_HTTP_BAD_REQUEST_LINE] = {400, "request line is not METHOD SP target SP version"},
    [FC_HTTP_BAD_TARGET] = {400, "request target malformed, or of a form not allowed for the method"},
    [FC_HTTP_BAD_VERSION] = {400, "protocol version malformed"},
    [FC_HTTP_VERSION_UNSUPPORTED] = {505, "protocol version is neither HTTP/1.0 nor HTTP/1.1"},
    [FC_HTTP_LINE_TOO_LONG] = {414, "request line too long"},
    [FC_HTTP_FIELD_TOO_LONG] = {431, "field line too long"},
    [FC_HTTP_TOO_MANY_FIELDS] = {431, "too many fields"},
    [FC_HTTP_HEAD_TOO_LONG] = {431, "request head too long"},
    [FC_HTTP_BAD_FIELD_NAME] = {400, "field name malformed, or no colon behind it"},
    [FC_HTTP_BAD_FIELD_VALUE] = {400, "control byte in a field value"},
    [FC_HTTP_OBS_FOLD] = {400, "field line begins with white space (line folding)"},
    [FC_HTTP_MISSING_HOST] = {400, "HTTP/1.1 request without Host"},
    [FC_HTTP_BAD_HOST] = {400, "Host malformed or given twice"},
    [FC_HTTP_DUPLICATE_FIELD] = {400, "a field that may be given once is given twice"},
    [FC_HTTP_BAD_LENGTH] = {400, "Content-Length is not a decimal number below 2^63"},
    [FC_HTTP_LENGTH_AND_CODING] = {400, "Content-Length together with Transfer-Encoding"},
    [FC_HTTP_BAD_CODING] = {400, "Transfer-Encoding malformed, in HTTP/1.0, or chunked not last and once"},
    [FC_HTTP_CODING_UNSUPPORTED] = {501, "transfer coding other than chunked"},
    [FC_HTTP_METHOD_UNSUPPORTED] = {501, "CONNECT is not supported"},
    [FC_HTTP_BAD_CHUNK] = {400, "chunk size, extension or line end malformed"},
    [FC_HTTP_BAD_TRAILER] = {400, "trailer field malformed, forbidden, or too long"},
    [FC_HTTP_BODY_TOO_LARGE] = {413, "request body too large"},
    [FC_HTTP_TIMEOUT] = {408, "request not received in time"},
    [FC_HTTP_EXPECT_UNSUPPORTED] = {417, "expectation other than 100-continue"},
    [FC_HTTP_STORAGE] = {503, "no memory or disk space for the request body"},
    [FC_HTTP_CUT_SHORT] = {400, "client left inside its request"},
};

static const Refusal unknown = {500, "unknown refusal"};

static const Refusal *
find_refusal(FcHttpError error)
{
    return (size_t)error < sizeof refusals / sizeof *refusals ? &refusals[error] : &unknown;
}

int
fc_http_status(FcHttpError error)
{
    return find_refusal(error)->status;
}

const char *
fc_http_reason(FcHttpError error)
{
    return find_refusal(error)->reason;
}

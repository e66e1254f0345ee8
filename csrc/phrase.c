/* See phrase.h. */
#include "phrase.h"

const char *
fc_phrase(int status)
{
    switch (status) {
#define P(code, text)                                                                                        \
    case code:                                                                                               \
        return text
        P(200, "OK");
        P(201, "Created");
        P(202, "Accepted");
        P(203, "Non-Authoritative Information");
        P(204, "No Content");
        P(205, "Reset Content");
        P(206, "Partial Content");
        P(207, "Multi-Status");
        P(300, "Multiple Choices");
        P(301, "Moved Permanently");
        P(302, "Found");
        P(303, "See Other");
        P(304, "Not Modified");
        P(307, "Temporary Redirect");
        P(308, "Permanent Redirect");
        P(400, "Bad Request");
        P(401, "Unauthorized");
        P(402, "Payment Required");
        P(403, "Forbidden");
        P(404, "Not Found");
        P(405, "Method Not Allowed");
        P(406, "Not Acceptable");
        P(408, "Request Timeout");
        P(409, "Conflict");
        P(410, "Gone");
        P(411, "Length Required");
        P(412, "Precondition Failed");
        P(413, "Content Too Large");
        P(414, "URI Too Long");
        P(415, "Unsupported Media Type");
        P(416, "Range Not Satisfiable");
        P(418, "I'm a Teapot");
        P(421, "Misdirected Request");
        P(422, "Unprocessable Content");
        P(423, "Locked");
        P(424, "Failed Dependency");
        P(425, "Too Early");
        P(426, "Upgrade Required");
        P(428, "Precondition Required");
        P(429, "Too Many Requests");
        P(431, "Request Header Fields Too Large");
        P(451, "Unavailable For Legal Reasons");
        P(500, "Internal Server Error");
        P(501, "Not Implemented");
        P(502, "Bad Gateway");
        P(503, "Service Unavailable");
        P(504, "Gateway Timeout");
        P(505, "HTTP Version Not Supported");
#undef P
    default:
        return "";
    }
}

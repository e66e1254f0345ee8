/* Prints one access log line of a fixed moment.
 *
 * logformat_run FORMAT CAP METHOD PATH QUERY|"" RESPONSE_FIELDS [NAME VALUE]...
 * An empty METHOD is a request that was refused before it could be read.
 */
#include <stdio.h>

#include "accesslog.h"
#include "head.h"

static void
put_target(Head *head, const char *method, const char *path, const char *query)
{
    FcRequest *request = &head->request;

    request->minor = 1;
    request->method_name = head_put(head, method, strlen(method));
    request->target = request->path = head_put(head, path, strlen(path));
    if (*query) {
        request->has_query = true;
        request->target.len += head_put(head, "?", 1).len;
        request->query = head_put(head, query, strlen(query));
        request->target.len += request->query.len;
    }
}

int
main(int argc, char **argv)
{
    char error[128] = "";
    Head head = {.buf = NULL};
    FcLogFormat *format = argc > 6 ? fc_logformat_compile(argv[1], error, sizeof error) : NULL;
    size_t cap = argc > 6 ? (size_t)atoi(argv[2]) : 0;

    if (!format) {
        printf("%s\n", error);
        return 0;
    }
    put_target(&head, argv[3], argv[4], argv[5]);
    for (int i = 7; i + 1 < argc; i += 2)
        head_add_field(&head, argv[i], argv[i + 1], strlen(argv[i + 1]));
    FcLogEntry entry = {
        .buf = head.buf,
        .request = &head.request,
        .remote = "192.0.2.1",
        .remote_len = 9,
        .wall_us = 1795427779000042,
        .duration_ns = 12345678901,
        .body_sent = *argv[3] ? 5120 : 0,
        .bytes_sent = 5300,
        .status = *argv[3] ? 200 : 400,
        .https = true,
        .response_fields = argv[6],
        .response_fields_len = strlen(argv[6]),
        .slot = 3,
        .pid = 77,
    };
    char *out = malloc(cap + 1); /* the sanitizer watches its end */
    size_t len = fc_logformat_line(format, &entry, out, cap);
    fwrite(out, 1, len, stdout);
    free(out);
    free(head.buf);
    fc_logformat_free(format);
    return len > cap;
}

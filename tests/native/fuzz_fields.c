/* Any bytes as forwarding fields, as trust list, as format and in every place of a log line: libFuzzer
 * harness.
 *
 * clang -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE -Icsrc tests/native/fuzz_fields.c
 * csrc/forwarded.c csrc/trust.c csrc/logformat.c csrc/logline.c csrc/logjson.c Invariants: a resolved client
 * is an address, a resolved host is printable; a line is one line and fits its room.
 */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#include "accesslog.h"
#include "forwarded.h"
#include "head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No NUL and no line break, as the parser guarantees. */
static char *
field_value(const uint8_t *data, size_t size)
{
    char *value = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        value[i] = data[i] && data[i] != '\n' && data[i] != '\r' ? (char)data[i] : ' ';
    value[size] = 0;
    return value;
}

static void
check_forwarded(const FcTrust *trust, const Head *head)
{
    FcForwarded out;
    unsigned char address[16];

    fc_forwarded_resolve(trust, head->buf, &head->request, &out);
    assert(!out.client[0] || inet_pton(AF_INET, out.client, address) == 1 ||
           inet_pton(AF_INET6, out.client, address) == 1);
    assert(out.client_port >= 0 && out.client_port <= 65535 && out.https >= -1 && out.https <= 1);
    for (const char *c = out.host; *c; c++)
        assert(*c > 0x20 && *c < 0x7f && !strchr("/\\\"<>@#?", *c));
}

static void
check_line(const char *text, const Head *head, size_t cap)
{
    char error[100];
    FcLogFormat *format = fc_logformat_compile(text, error, sizeof error);
    FcLogEntry entry = {.buf = head->buf,
                        .request = &head->request,
                        .remote = head->buf,
                        .remote_len = head->len,
                        .response_fields = head->buf,
                        .response_fields_len = head->len};
    char *out = malloc(cap + 1);

    if (format) {
        size_t len = fc_logformat_line(format, &entry, out, cap);
        assert(len <= cap && (len == 0 || memchr(out, '\n', len) == out + len - 1));
        assert(strcmp(text, "json") != 0 || len == 0 || (out[0] == '{' && out[len - 2] == '}'));
    }
    fc_logformat_free(format);
    free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"forwarded",        "x-forwarded-for", "x-forwarded-proto",
                                        "x-forwarded-host", "authorization",   "user-agent",
                                        "x-other"};
    char error[100];
    Head head = {.buf = NULL};
    size_t cap = size > 1 ? data[0] * 16u + data[1] % 16 : 100;
    char *value = field_value(data, size);
    FcTrust *some = fc_trust_compile("10.0.0.0/8,unix,fd00::/8", error, sizeof error);
    FcTrust *anyone = fc_trust_compile("*", error, sizeof error);

    fc_trust_free(fc_trust_compile(value, error, sizeof error));
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++)
            head_add_field(&head, names[j], value + (i ? size / 2 : 0), i ? size - size / 2 : size / 2);
    head.request.method_name = head.request.target = head.request.path = head.request.query =
        (FcSpan){0, head.len};
    for (int kind = FC_FORWARDED_EITHER; kind <= FC_FORWARDED_STANDARD; kind++) {
        fc_trust_read(some, (FcForwardedKind)kind);
        fc_trust_read(anyone, (FcForwardedKind)kind);
        check_forwarded(some, &head);
        check_forwarded(anyone, &head);
    }
    check_line(value, &head, cap);
    check_line("json", &head, cap);
    check_line("combined %u %{x-other}i %{user-agent}o", &head, cap);
    fc_trust_free(some);
    fc_trust_free(anyone);
    free(head.buf);
    free(value);
    return 0;
}

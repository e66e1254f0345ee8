/* How much one head costs: `bench_parser hello|browser ROUNDS` prints nanoseconds, and
 * `make -f tests/native/Makefile bench` counts instructions with callgrind.
 *
 * gcc 12 -O2, x86-64 with SSE2, fc_parse_head alone: hello (40 bytes, 1 field) 828 instructions, browser (938
 * bytes, 20 fields) 7,453. Time with fc_request_init on the development machine (AMD EPYC, shared, five runs
 * each): 35 to 37 ns and 296 to 331 ns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parser.h"

static const char hello[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

static const char browser[] =
    "GET /static/app/main.css?v=20261123 HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://www.example.org/accounts/login/?next=/static/\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: csrftoken=3vGq0m9XkLw2s8dPzR7tYbN1aQeUiOcH; sessionid=8f14e45fceea167a5a36dedd4bea2543\r\n"
    "If-None-Match: \"5f3c-60a1b2c3d4e5f\"\r\n"
    "If-Modified-Since: Mon, 16 Nov 2026 10:00:00 GMT\r\n"
    "X-Forwarded-For: 203.0.113.7\r\n"
    "\r\n";

int
main(int argc, char **argv)
{
    static const FcLimits limits = {.request_line = 8190, .field = 8190, .head = 65536, .fields = 100};
    const char *head = argc > 1 && strcmp(argv[1], "browser") == 0 ? browser : hello;
    long rounds = argc > 2 ? atol(argv[2]) : 1000000;
    size_t len = strlen(head);
    FcRequest request;
    struct timespec from, to;

    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long i = 0; i < rounds; i++) {
        fc_request_init(&request);
        if (fc_parse_head(&request, head, len, &limits) != FC_PARSE_DONE)
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%zu bytes, %u fields: %.1f ns\n", len, request.n_fields,
           ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)rounds);
    return 0;
}

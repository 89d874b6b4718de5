/* test_trace.c: what the event log's writer makes of texts and numbers: whole characters, whole bytes, milliseconds. */
#include "common/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test-trace-XXXXXX";
static char written[65536];

static int begin(void **state)
{
    int fd = mkstemp(path);
    struct trace_options o = {
        .file = path, .program = "test", .side = "server", .prefix = "t", .level = TRACE_MESSAGES};

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    return trace_open(&o);
}

static int end(void **state)
{
    (void)state;
    trace_close_thread();
    return unlink(path);
}

static const char *read_back(void)
{
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(written, 1, sizeof written - 1, f) : 0;

    if (f != NULL)
        fclose(f);
    written[n] = '\0';
    return written;
}

static void has(const char *words)
{
    if (strstr(read_back(), words) == NULL)
        fail_msg("\"%s\" is not in %s", words, written);
}

/* At 512 bytes, which may be within a character of two, three or four. */
static void test_a_text_is_cut_at_a_whole_character(void **state)
{
    static const char *const characters[] = {"é", "你", "🙂"};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t shift = 0; shift < 5; shift++) {
            size_t size = strlen(characters[i]), len = shift;
            char text[700] = "abcd", wanted[720];

            text[shift] = '\0';
            while (len + size < sizeof text - 1) {
                memcpy(text + len, characters[i], size + 1);
                len += size;
            }
            trace_reset(1, true, text);
            len = shift + (512 - shift) / size * size;
            snprintf(wanted, sizeof wanted, "\"why\":\"%.*s\"}", (int)len, text);
            has(wanted);
        }
}

static void test_a_cookie_has_all_its_bytes(void **state)
{
    struct trace_ends ends = {.cookie = 0xa1};

    (void)state;
    trace_connection(1, &ends);
    has("\"cookie\":\"00000000000000a1\"");
    ends.cookie = 0xfedcba9876543210;
    trace_connection(1, &ends);
    has("\"cookie\":\"fedcba9876543210\"");
}

static void test_times_are_milliseconds(void **state)
{
    struct tcp_facts facts = {.state = TCP_STATE_ESTABLISHED, .rtt_us = 31, .rto_us = 204000};

    (void)state;
    trace_call(1, "send", 5, &facts, NULL);
    has("\"rtt\":0.031,\"rto\":204.000,");
    facts.rtt_us = 4294967295;
    trace_call(1, "send", 5, &facts, NULL);
    has("\"rtt\":4294967.295,");
}

static void test_each_line_is_a_message(void **state)
{
    static const char lines[] = "{\"type\":\"msg\",\"text\":\"x\"}\n{\"type\":\"ack\"}\n";

    (void)state;
    trace_messages(1, lines, sizeof lines - 1);
    has("{\"direction\":\"sent\",\"type\":\"msg\",\"length\":25}");
    has("{\"direction\":\"sent\",\"type\":\"ack\",\"length\":14}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_is_cut_at_a_whole_character),
        cmocka_unit_test(test_a_cookie_has_all_its_bytes),
        cmocka_unit_test(test_times_are_milliseconds),
        cmocka_unit_test(test_each_line_is_a_message),
    };

    return cmocka_run_group_tests(tests, begin, end);
}

/* test_moderate.c: rooms that are someone's, for people: what is typed as a request, what comes as a
 * sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/moderate.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOON UINT64_C(1795435200000) /* 2026-11-23 12:00 UTC */

static void asked(enum message_type type, const char *typed, const char *wanted)
{
    char args[256];
    struct buf b = {0};

    snprintf(args, sizeof args, "%s", typed);
    assert_null(moderate_put_request(&b, type, "tea", args));
    buf_put(&b, "", 1);
    assert_string_equal(b.data, wanted);
    buf_deinit(&b);
}

static void refused(enum message_type type, const char *room, const char *typed)
{
    char args[256];
    struct buf b = {0};

    snprintf(args, sizeof args, "%s", typed);
    assert_non_null(moderate_put_request(&b, type, room, args));
    assert_int_equal(b.len, 0);
}

static void test_requests(void **state)
{
    (void)state;
    asked(MESSAGE_KICK, "bob", "{\"type\":\"kick\",\"room\":\"tea\",\"nick\":\"bob\"");
    asked(MESSAGE_KICK, "@bob  10m is  enough",
          "{\"type\":\"kick\",\"room\":\"tea\",\"nick\":\"bob\",\"reason\":\"10m is  enough\"");
    asked(MESSAGE_BAN, "bob 10m spam",
          "{\"type\":\"ban\",\"room\":\"tea\",\"nick\":\"bob\",\"reason\":\"spam\",\"seconds\":600");
    asked(MESSAGE_BAN, "bob 7d", "{\"type\":\"ban\",\"room\":\"tea\",\"nick\":\"bob\",\"seconds\":604800");
    asked(MESSAGE_MUTE, "bob 90s a b",
          "{\"type\":\"mute\",\"room\":\"tea\",\"nick\":\"bob\",\"reason\":\"a b\",\"seconds\":90");
    for (const char *const *word = (const char *const[]){"10", "10x", "m", "0m", "10mm", "-1h", NULL};
         *word != NULL; word++) {
        char typed[64], wanted[128];

        snprintf(typed, sizeof typed, "bob %s", *word);
        snprintf(wanted, sizeof wanted,
                 "{\"type\":\"ban\",\"room\":\"tea\",\"nick\":\"bob\",\"reason\":\"%s\"", *word);
        asked(MESSAGE_BAN, typed, wanted);
    }
    asked(MESSAGE_ROLE, "bob owner",
          "{\"type\":\"role\",\"room\":\"tea\",\"nick\":\"bob\",\"role\":\"owner\"");
    asked(MESSAGE_ACCESS, "invited", "{\"type\":\"access\",\"room\":\"tea\",\"access\":\"invited\"");
    asked(MESSAGE_BANS, "", "{\"type\":\"bans\",\"room\":\"tea\"");
    refused(MESSAGE_KICK, "@ann", "bob");
    refused(MESSAGE_KICK, "tea", "b*b");
    refused(MESSAGE_ROLE, "tea", "bob");
}

static void says(const char *json, const char *wanted)
{
    char line[512];
    struct buf b = {0};
    struct message m;
    const char *where;

    snprintf(line, sizeof line, "%s", json);
    assert_int_equal(codec_decode(line, strlen(line), &m, &where), CODEC_OK);
    assert_int_equal(moderate_put_sentence(&b, &m, "me", NOON), wanted != NULL);
    buf_put(&b, "", 1);
    assert_string_equal(b.data, wanted != NULL ? wanted : "");
    buf_deinit(&b);
}

#define EVENT(event, nick, rest)                                                                             \
    "{\"type\":\"moderation\",\"room\":\"tea\",\"event\":\"" event "\",\"nick\":\"" nick                     \
    "\",\"by\":\"ann\"" rest "}"

static void test_sentences(void **state)
{
    (void)state;
    says(EVENT("kick", "bob", ",\"reason\":\"spam\""), "ann has put bob out of tea: spam");
    says(EVENT("ban", "bob", ",\"reason\":\"\",\"until\":1795438800000"),
         "ann has banned bob from tea until 13:00");
    says(EVENT("ban", "bob", ",\"until\":1795525200000"),
         "ann has banned bob from tea until 2026-11-24 13:00");
    says(EVENT("mute", "me", ",\"reason\":\"calm down\""),
         "ann has muted you in tea: calm down; you can read on");
    says(EVENT("unmute", "me", ""), "ann has let you speak again in tea");
    says(EVENT("unban", "bob", ""), "ann has let bob into tea again");
    says(EVENT("role", "me", ",\"role\":\"moderator\""), "ann has made you a moderator of tea");
    says(EVENT("role", "bob", ",\"role\":\"member\""), "ann has made bob an ordinary member of tea");
    says(EVENT("invite", "me", ""), "ann has invited you to tea: /join tea");
    says(
        "{\"type\":\"moderation\",\"room\":\"tea\",\"event\":\"access\",\"access\":\"invited\",\"by\":\"ann\"}",
        "ann has made tea a room for those who are invited");
    says("{\"type\":\"moderation\",\"room\":\"tea\",\"event\":\"kick\",\"nick\":\"bob\",\"by\":\"me\"}",
         "you have put bob out of tea");
    says(EVENT("crown", "bob", ""), NULL);
    says("{\"type\":\"left\",\"room\":\"tea\",\"code\":\"kicked\",\"by\":\"ann\",\"reason\":\"spam\"}",
         "ann has put you out of tea: spam; you may come back: /join tea");
    says(
        "{\"type\":\"left\",\"room\":\"tea\",\"code\":\"banned\",\"by\":\"ann\",\"reason\":\"\",\"until\":1795438800000}",
        "ann has banned you from tea until 13:00");
    says("{\"type\":\"left\",\"re\":\"1\",\"room\":\"tea\"}", NULL);
    says("{\"type\":\"mute\",\"re\":\"1\",\"room\":\"tea\",\"nick\":\"bob\",\"by\":\"ann\",\"reason\":\"\","
         "\"time\":1795435200000}",
         "bob is muted by ann since 12:00");
    says("{\"type\":\"moderation\",\"event\":7}", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_sentences)};

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

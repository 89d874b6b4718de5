/* check_story.h: for tests of bots/check.h: two bots of one room, what they are told, which faults that is. */
#ifndef TESTS_CHECK_STORY_H
#define TESTS_CHECK_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bots/check.h"

#include <string.h>

#define ROOM    "general", 7
#define HASH(n) (UINT64_C(1000) + (uint64_t)(n))

/* Two bots of one room, and how often each fault was found in all. */
struct story {
    struct ledger ledger;
    struct check ann, bob;
    unsigned found[CHECK_FAULTS];
};

static inline void on_wrong(void *arg, enum check_fault f, const char *text)
{
    struct story *s = arg;

    assert_true(strlen(text) > 0);
    s->found[f]++;
}

static inline void begin(struct story *s)
{
    *s = (struct story){0};
    check_init(&s->ann, &s->ledger, on_wrong, s);
    check_init(&s->bob, &s->ledger, on_wrong, s);
    check_joined(&s->ann, ROOM, 1, 0, -1);
    check_joined(&s->bob, ROOM, 1, 0, -1);
}

static inline void end(struct story *s)
{
    check_deinit(&s->ann);
    check_deinit(&s->bob);
    ledger_deinit(&s->ledger);
}

/* Ends the story; `f` was found so often, and nothing else. */
static inline void found(struct story *s, enum check_fault f, unsigned times)
{
    for (int i = 0; i < CHECK_FAULTS; i++)
        assert_int_equal(s->found[i], i == (int)f ? times : 0);
    end(s);
}

static inline void gets(struct check *c, uint64_t seq, uint64_t hash)
{
    check_message(
        c, &(struct check_message){.room = "general", .room_len = 7, .seq = seq, .hash = hash, .serial = -1});
}

static inline void gets_own(struct check *c, uint64_t seq, uint64_t hash, uint32_t serial)
{
    check_message(
        c, &(struct check_message){
               .room = "general", .room_len = 7, .seq = seq, .hash = hash, .mine = true, .serial = serial});
}

static inline uint32_t sends(struct check *c, uint64_t hash)
{
    return check_will_send(c, check_find(c, ROOM), hash, 0, 5);
}

static inline uint32_t sends_with_key(struct check *c, uint64_t hash, uint64_t key)
{
    return check_will_send(c, check_find(c, ROOM), hash, key, 5);
}

static inline uint64_t acked(struct check *c, uint32_t serial, uint64_t seq)
{
    return check_ack(c, serial, &(struct check_acked){.room = "general", .room_len = 7, .seq = seq});
}

static inline void acked_again(struct check *c, uint32_t serial, uint64_t seq)
{
    check_ack(c, serial, &(struct check_acked){.room = "general", .room_len = 7, .seq = seq, .repeat = true});
}

/* Unmarked, under a nick that is this bot's alone. */
static inline void gets_own_words(struct check *c, uint64_t seq, uint64_t hash)
{
    check_message(c, &(struct check_message){.room = "general",
                                             .room_len = 7,
                                             .seq = seq,
                                             .hash = hash,
                                             .mine = true,
                                             .is_alone = true,
                                             .serial = -1});
}

static inline void gets_direct(struct check *c, uint64_t seq, bool of_guests)
{
    check_message(c, &(struct check_message){
                         .room = "@bob", .room_len = 4, .seq = seq, .serial = -1, .of_guests = of_guests});
}

#endif

/* bot_line.c: what a bot makes of each line of the server's; see bot.h. */
#include "bots/bot.h"

#include "bots/script.h"
#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN 80 /* bytes of a line that is shown */

struct incoming {
    struct message m;
    const struct value *room, *re;
    uint64_t seq;
    char re_kind; /* of a `re` that this bot has given out: s or q; else 0 */
    uint32_t re_number;
};

/* An id of ours: a letter and a number in base 36. Others are those of lines that the script has made up. */
static void read_re(struct incoming *in)
{
    uint64_t n = 0;

    in->re_kind = 0;
    if (in->re == NULL || in->re->len < 2 || in->re->len > 8)
        return;
    for (uint32_t i = 1; i < in->re->len; i++) {
        char c = in->re->text[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z'))
            return;
        n = n * 36 + (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    if (in->re->text[0] == 'q' || in->re->text[0] == 's')
        in->re_kind = in->re->text[0];
    in->re_number = (uint32_t)n;
}

static uint64_t number_of(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

static bool is_mine(const struct bot *b, const struct value *nick)
{
    return nick != NULL && strlen(b->nick) == nick->len && memcmp(b->nick, nick->text, nick->len) == 0;
}

/* The bot that has this nick as it was given it, or NULL. */
static struct bot *find_bot(const struct run *r, const struct value *nick)
{
    unsigned long n;

    if (nick == NULL || nick->len < 5 || memcmp(nick->text, "bot", 3) != 0)
        return NULL;
    n = strtoul(nick->text + 3, NULL, 10);
    return n >= 1 && n <= r->bot_count && is_mine(&r->bots[n - 1], nick) ? &r->bots[n - 1] : NULL;
}

/* How long this message has been under way: since the time in its mark, or since its sender, if that is one
 * of the run's bots, meant to send it. */
static void measure(struct bot *b, const struct check_message *cm, const struct text_mark *mark,
                    const struct value *nick)
{
    struct bot *sender = mark == NULL ? find_bot(b->run, nick) : NULL;
    uint64_t due = mark != NULL ? mark->due_us : sender != NULL ? check_due(&sender->check, cm) : 0;
    bool behind = b->slow || check_is_replay(&b->check, cm->room, cm->room_len, cm->seq);

    if (due != 0)
        stats_latency(&b->run->stats, behind ? LATENCY_CATCH_UP : LATENCY_DELIVERY, due, clock_mono_us());
}

/* Whether the conversation of this name is one of two bots, neither of which has an account. */
static struct bot *find_other_guest(const struct bot *b, const struct value *room)
{
    struct value nick = *room;
    struct bot *other;

    if (b->is_account || room->len < 2 || room->text[0] != '@')
        return NULL;
    nick.text++;
    nick.len--;
    other = find_bot(b->run, &nick);
    return other != NULL && !other->is_account ? other : NULL;
}

/* An edit or a removal has its place in the order; it is no message that anyone meant to say at some time,
 * and may repeat the text of one. */
static void take_change(struct bot *b, const struct check_message *cm)
{
    b->run->stats.now.deliveries++;
    check_message(&b->check, cm);
    script_heard(b);
}

static void take_message(struct bot *b, const struct incoming *in)
{
    const struct value *text = message_get_kind(&in->m, FIELD_TEXT, VALUE_STRING);
    struct check_message cm = {
        .room = in->room->text, .room_len = in->room->len, .seq = in->seq, .serial = -1};
    const struct value *nick = message_get_kind(&in->m, FIELD_NICK, VALUE_STRING);
    struct text_mark mark;
    bool marked;

    if (text == NULL) {
        bot_wrong(b, CHECK_LINE, "a msg without text");
        return;
    }
    cm.hash = text_hash(text->text, text->len);
    if (in->re != NULL) {
        check_old_message(&b->check, cm.room, cm.room_len, cm.seq, cm.hash);
        return;
    }
    if (message_get(&in->m, FIELD_EDITS) != NULL || message_get(&in->m, FIELD_REMOVES) != NULL) {
        take_change(b, &cm);
        return;
    }
    cm.mine = is_mine(b, nick);
    cm.is_alone = !b->renamed;
    cm.of_guests = find_other_guest(b, in->room) != NULL;
    marked = text_read_mark(text->text, text->len, &mark) && mark.run == b->run->id;
    if (marked && cm.mine && mark.bot == b->index)
        cm.serial = mark.serial;
    measure(b, &cm, marked ? &mark : NULL, nick);
    b->run->stats.now.deliveries++;
    check_message(&b->check, &cm);
    script_heard(b);
}

static void take_gap(struct bot *b, const struct incoming *in)
{
    if (in->re != NULL)
        return;
    b->run->stats.now.gaps++;
    if (!b->run->settings.gaps)
        bot_wrong(b, CHECK_GAP, "room %.*s: seq %llu to %llu are no longer kept (gaps = true would allow it)",
                  (int)in->room->len, in->room->text, (unsigned long long)number_of(&in->m, FIELD_FROM),
                  (unsigned long long)number_of(&in->m, FIELD_TO));
    check_gap(&b->check, in->room->text, in->room->len, number_of(&in->m, FIELD_FROM),
              number_of(&in->m, FIELD_TO));
    script_heard(b);
}

/* The other one, if it has been there since before the send was due, has to get it. */
static void tell_other(const struct bot *b, const struct incoming *in, uint64_t due)
{
    struct bot *other = in->room != NULL ? find_other_guest(b, in->room) : NULL;
    struct buf room = {0};

    if (other == NULL || !other->welcomed || other->welcome_us >= due)
        return;
    buf_putf(&room, "@%s", b->nick);
    check_tell(&other->check, room.data, room.len, in->seq);
    buf_deinit(&room);
}

static void take_ack(struct bot *b, const struct incoming *in)
{
    const struct value *repeat = message_get(&in->m, FIELD_REPEAT);
    struct check_acked a = {.seq = in->seq, .repeat = repeat != NULL && repeat->kind == VALUE_TRUE};
    uint64_t due;

    if (in->re_kind != 's')
        return;
    b->run->stats.now.acks++;
    if (in->room != NULL) {
        a.room = in->room->text;
        a.room_len = in->room->len;
    }
    due = check_ack(&b->check, in->re_number, &a);
    if (due != 0 && !a.repeat)
        tell_other(b, in, due);
    if (due != 0)
        stats_latency(&b->run->stats, LATENCY_ACK, due, clock_mono_us());
    script_acked(b, in->re_number, in->seq, NULL);
}

static void take_error(struct bot *b, struct incoming *in)
{
    b->run->stats.now.errors++;
    if (in->re_kind == 's') {
        check_refused(&b->check, in->re_number);
        script_acked(b, in->re_number, 0, &in->m);
    }
}

static void take_welcome(struct bot *b, const struct incoming *in)
{
    const struct value *token = message_get_kind(&in->m, FIELD_RESUME, VALUE_STRING);
    uint64_t now = clock_mono_us();

    free(b->resume);
    b->resume = token != NULL ? mem_strndup(token->text, token->len) : NULL;
    b->welcomed = true;
    b->welcome_us = now;
    b->is_account |= message_get(&in->m, FIELD_ACCOUNT) != NULL;
    b->run->stats.now.logins++;
    stats_latency(&b->run->stats, LATENCY_LOGIN, b->step_us, now);
    stats_latency(&b->run->stats, LATENCY_ENTRY, b->entry_us, now);
    if (b->state == STATE_CONNECTED)
        bot_set_state(b, STATE_CHATTING);
}

static void take_joined(struct bot *b, const struct incoming *in)
{
    bool is_latest = in->re_kind == 'q' && in->re_number == b->join_asked;

    check_joined(&b->check, in->room->text, in->room->len, number_of(&in->m, FIELD_EPOCH), in->seq,
                 is_latest ? b->join_after : -1);
    if (is_latest)
        b->join_after = -1;
    b->talks_in = (uint32_t)check_find(&b->check, in->room->text, in->room->len);
}

/* Without having asked: put out of it by whoever may do that. */
static void take_left(struct bot *b, const struct incoming *in)
{
    bool awaited = b->wait == WAIT_LINE && b->wanted->type == MESSAGE_LEFT && bot_matches(b->wanted, &in->m);

    if (in->re == NULL && !awaited && !b->may_be_put_out)
        bot_wrong(b, CHECK_STRAY, "put out of room %.*s, which the script does not expect",
                  (int)in->room->len, in->room->text);
    check_left(&b->check, in->room->text, in->room->len);
}

static void take_bye(struct bot *b, const struct incoming *in)
{
    const struct value *code = message_get_kind(&in->m, FIELD_CODE, VALUE_STRING);
    int end = code != NULL ? stats_end_find(code->text, code->len) : -1;

    b->bye = (int8_t)(end >= END_BYE && end <= END_PROTOCOL ? end : END_OTHER);
}

static void take(struct bot *b, struct incoming *in)
{
    switch (in->m.type) {
    case MESSAGE_MSG:
        take_message(b, in);
        break;
    case MESSAGE_ACK:
        take_ack(b, in);
        break;
    case MESSAGE_ERROR:
        take_error(b, in);
        break;
    case MESSAGE_WELCOME:
        take_welcome(b, in);
        break;
    case MESSAGE_JOINED:
        take_joined(b, in);
        break;
    case MESSAGE_LEFT:
        take_left(b, in);
        break;
    case MESSAGE_REGISTERED:
    case MESSAGE_AUTHENTICATED:
        b->is_account = true;
        break;
    case MESSAGE_GAP:
        take_gap(b, in);
        break;
    case MESSAGE_BYE:
        take_bye(b, in);
        break;
    case MESSAGE_PING: /* an empty line is answer enough; one that has ended its side need not */
        if (!b->mute)
            bot_write(b, "\n", 1);
        break;
    default:
        break;
    }
}

/* Those that are about a room name it. */
static bool is_complete(const struct incoming *in)
{
    switch (in->m.type) {
    case MESSAGE_MSG:
    case MESSAGE_JOINED:
    case MESSAGE_LEFT:
    case MESSAGE_GAP:
        return in->room != NULL;
    default:
        return true;
    }
}

static bool is_final(enum message_type type)
{
    return type != MESSAGE_MSG && type != MESSAGE_GAP && type != MESSAGE_MEMBER && type != MESSAGE_ROOM &&
           type != MESSAGE_BAN && type != MESSAGE_MUTE;
}

/* Each request gets one final answer. An answer to an earlier request, which came too late for the script, is
 * that one's and not the next one's. */
static void take_answer(struct bot *b, const struct incoming *in)
{
    uint32_t age = b->next_ask - 1 - in->re_number;
    bool final = is_final(in->m.type), known = age < 64;

    if (!b->blind && (age >= b->next_ask || (known && b->answered >> age & 1))) {
        bot_wrong(b, CHECK_ANSWER, "%s: an answer to request %u, which %s", message_type_name(in->m.type),
                  in->re_number, age >= b->next_ask ? "was never made" : "has had its answer");
        return;
    }
    if (final && known)
        b->answered |= UINT64_C(1) << age;
    if (in->re_number == b->asked)
        script_answer(b, &in->m, final);
}

/* What the script is told of it. An error that nobody waits for is one that the script did not expect. */
static void pass_on(struct bot *b, struct incoming *in)
{
    const struct value *code = message_get_kind(&in->m, FIELD_CODE, VALUE_STRING);

    if (in->re_kind == 'q')
        take_answer(b, in);
    else if (b->wait == WAIT_LINE && bot_matches(b->wanted, &in->m))
        script_line(b, &in->m);
    else if (in->m.type == MESSAGE_ERROR && in->re_kind == 0 && !b->blind && !b->may_get_error)
        bot_wrong(b, CHECK_ANSWER, "an error that was not expected: %.*s", code != NULL ? (int)code->len : 0,
                  code != NULL ? code->text : "");
}

void bot_take_line(struct link *l, char *line, size_t len, void *owner)
{
    struct bot *b = owner;
    struct incoming in;
    const char *where;
    char start[SHOWN];
    size_t shown = len < sizeof start ? len : sizeof start;
    const struct value *seq;

    (void)l;
    b->run->stats.now.lines++;
    memcpy(start, line, shown); /* decoding writes into the line */
    if (codec_decode(line, len, &in.m, &where) != CODEC_OK) {
        if (!b->blind)
            bot_wrong(b, CHECK_LINE, "not a line of the protocol: %.*s", (int)shown, start);
        return;
    }
    in.room = message_get_kind(&in.m, FIELD_ROOM, VALUE_STRING);
    in.re = message_get_kind(&in.m, FIELD_RE, VALUE_STRING);
    seq = message_get_kind(&in.m, FIELD_SEQ, VALUE_UINT);
    in.seq = seq != NULL ? seq->number : 0;
    read_re(&in);
    if (!is_complete(&in)) {
        bot_wrong(b, CHECK_LINE, "a field is missing: %.*s", (int)shown, start);
        return;
    }
    if (b->bye >= 0 && !b->blind)
        bot_wrong(b, CHECK_LINE, "a line behind bye, which is the last: %.*s", (int)shown, start);
    take(b, &in);
    pass_on(b, &in);
}

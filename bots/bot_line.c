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

/* An id of ours: a letter and a number in base 36. */
static void read_re(struct incoming *in)
{
    uint64_t n = 0;

    in->re_kind = 0;
    if (in->re == NULL || in->re->len < 2 || in->re->len > 8)
        return;
    for (uint32_t i = 1; i < in->re->len; i++) {
        char c = in->re->text[i];

        n = n * 36 + (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
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
    check_gap(&b->check, in->room->text, in->room->len, number_of(&in->m, FIELD_FROM),
              number_of(&in->m, FIELD_TO));
    script_heard(b);
}

static void take_ack(struct bot *b, const struct incoming *in)
{
    const struct value *repeat = message_get(&in->m, FIELD_REPEAT);
    uint64_t due;

    if (in->re_kind != 's')
        return;
    b->run->stats.now.acks++;
    due = check_ack(&b->check, in->re_number, in->seq, repeat != NULL && repeat->kind == VALUE_TRUE);
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
    b->run->stats.now.logins++;
    stats_latency(&b->run->stats, LATENCY_LOGIN, b->step_us, now);
    stats_latency(&b->run->stats, LATENCY_ENTRY, b->entry_us, now);
    if (b->state == STATE_CONNECTED)
        bot_set_state(b, STATE_CHATTING);
}

static void take_joined(struct bot *b, const struct incoming *in)
{
    check_joined(&b->check, in->room->text, in->room->len, number_of(&in->m, FIELD_EPOCH), in->seq,
                 b->join_after);
    b->join_after = -1;
    b->talks_in = (uint16_t)check_find(&b->check, in->room->text, in->room->len);
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
        check_left(&b->check, in->room->text, in->room->len);
        break;
    case MESSAGE_GAP:
        take_gap(b, in);
        break;
    case MESSAGE_BYE:
        take_bye(b, in);
        break;
    case MESSAGE_PING: /* an empty line is answer enough; one that has ended its side need not */
        if (!b->mute)
            link_send(b->link, "\n", 1);
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
    return type != MESSAGE_MSG && type != MESSAGE_GAP && type != MESSAGE_MEMBER && type != MESSAGE_ROOM;
}

/* What the script is told of it. An error that nobody waits for is one that the script did not expect. */
static void pass_on(struct bot *b, struct incoming *in)
{
    const struct value *code = message_get_kind(&in->m, FIELD_CODE, VALUE_STRING);

    if (in->re_kind == 'q')
        script_answer(b, &in->m, is_final(in->m.type));
    else if (b->wait == WAIT_LINE && bot_matches(b->wanted, &in->m))
        script_line(b, &in->m);
    else if (in->m.type == MESSAGE_ERROR && in->re_kind == 0 && !b->blind)
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
    take(b, &in);
    pass_on(b, &in);
}

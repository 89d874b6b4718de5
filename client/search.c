/* search.c: /search and /more on a terminal: what is found, with its room and number, what was looked for
 * marked in it; see line.h. */
#include "client/line.h"

#include "client/term.h"
#include "common/clock.h"
#include "protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define EMPTY_MOST 50 /* answers without anything, after which the user is asked whether to go on */

static void ask(struct line_view *v)
{
    struct line_search *s = &v->search;
    struct buf b = {0};

    codec_begin(&b, MESSAGE_SEARCH);
    codec_add(&b, FIELD_QUERY, s->query.data, s->query.len);
    if (s->next.len > 0)
        codec_add(&b, FIELD_NEXT, s->next.data, s->next.len);
    command_ask(v, &b);
    s->asked = v->asked;
}

void search_begin(struct line_view *v, const char *query)
{
    struct line_search *s = &v->search;

    buf_clear(&s->query);
    buf_clear(&s->next);
    buf_put(&s->query, query, strlen(query));
    words_parse(&s->words, s->query.data, s->query.len);
    s->empty = 0;
    s->any = false;
    ask(v);
}

void search_more(struct line_view *v)
{
    if (v->search.next.len == 0) {
        line_notice(v, "!",
                    v->search.asked > 0 ? "that was all that was found" : "/search WORDS comes first");
        return;
    }
    v->search.empty = 0;
    ask(v);
}

bool search_is_answer(const struct line_view *v, const struct message *m)
{
    const struct value *re = message_get_kind(m, FIELD_RE, VALUE_STRING);
    char id[32];
    int len = snprintf(id, sizeof id, "line.%u", v->search.asked);

    return v->search.asked > 0 && re != NULL && (m->type == MESSAGE_MSG || m->type == MESSAGE_END) &&
           re->len == (uint32_t)len && memcmp(re->text, id, re->len) == 0;
}

static uint64_t get_uint(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

static void show_found(struct line_view *v, const struct message *m)
{
    const struct value *room = message_get_kind(m, FIELD_ROOM, VALUE_STRING);
    const struct value *nick = message_get_kind(m, FIELD_NICK, VALUE_STRING);
    const struct value *text = message_get_kind(m, FIELD_TEXT, VALUE_STRING);
    uint64_t edits = get_uint(m, FIELD_EDITS);
    struct show_message s;

    if (room == NULL || nick == NULL || text == NULL)
        return;
    s = (struct show_message){
        .room = room->text,
        .room_len = room->len,
        .nick = nick->text,
        .nick_len = nick->len,
        .text = text->text,
        .text_len = text->len,
        .time_ms = get_uint(m, FIELD_TIME),
        .seq = edits > 0 ? edits : get_uint(m, FIELD_SEQ), /* the number by which it can be changed again */
        .marks = &v->search.words,
    };
    v->style.width = term_width();
    show_put_message(&v->out, &v->style, &s, clock_wall_us() / 1000);
    line_flush(v);
}

static void take_end(struct line_view *v, const struct message *m)
{
    const struct value *next = message_get_kind(m, FIELD_NEXT, VALUE_STRING);
    struct line_search *s = &v->search;
    bool found = get_uint(m, FIELD_COUNT) > 0;

    s->any = s->any || found;
    buf_clear(&s->next);
    if (next != NULL)
        buf_put(&s->next, next->text, next->len);
    if (next != NULL && !found && ++s->empty < EMPTY_MOST)
        ask(v);
    else if (next != NULL)
        line_notice(v, "·", "%s: /more goes on with what is older",
                    found ? "there may be more" : "nothing so far");
    else if (!s->any)
        line_notice(v, "·", "nothing in your rooms has these words");
    else
        line_notice(v, "·", "that is all");
}

void search_take(struct line_view *v, const struct message *m)
{
    if (m->type == MESSAGE_MSG)
        show_found(v, m);
    else
        take_end(v, m);
}

void search_deinit(struct line_search *s)
{
    buf_deinit(&s->query);
    buf_deinit(&s->next);
    words_query_deinit(&s->words);
}

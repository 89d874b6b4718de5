/* bot_end.c: how a bot's connection ends, and what its script waits for; see bot.h. */
#include "bots/bot.h"

#include "bots/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bot_shutdown(struct bot *b, bool rudely)
{
    if (b->link == NULL || !link_is_up(b->link) || link_has_shut_down(b->link))
        return;
    check_owe(&b->check);
    if (!b->stays)
        b->expected |= 1u << END_EOF;
    if (rudely)
        link_shutdown_rudely(b->link);
    else
        link_shutdown(b->link);
    if (b->state != STATE_ENDED)
        bot_set_state(b, STATE_HALF_CLOSED);
}

static void list_ends(uint32_t ends, char *out, size_t size)
{
    size_t at = 0;

    snprintf(out, size, "none");
    for (int i = 0; i < ENDS && at < size; i++)
        if (ends >> i & 1)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? " or " : "",
                                   stats_end_name((enum stats_end)i));
}

/* The connection is gone, however that came. */
static void record_end(struct bot *b, enum stats_end end, bool was_up)
{
    uint32_t expected = b->expected | b->allowed;
    bool by_bot = end == END_CLOSED || end == END_WAS_RESET;
    char list[128];

    b->end = (uint8_t)end;
    b->run->stats.ends[end]++;
    b->welcomed = false;
    bot_set_state(b, b->is_over ? STATE_DONE : STATE_WAITING);
    if (!by_bot && !(expected >> end & 1)) {
        b->gone = true;
        list_ends(expected, list, sizeof list);
        bot_wrong(b, CHECK_CLOSE, "%s ended by %s; expected: %s",
                  was_up ? "the connection was" : "connecting was", stats_end_name(end), list);
    }
    check_end(&b->check, end == END_EOF || end == END_BYE, end == END_BYE);
}

static enum stats_end end_of(const struct bot *b, const struct link_verdict *v)
{
    switch (v->how) {
    case LINK_ENDED:
        return b->bye >= 0 ? (enum stats_end)b->bye : END_NO_BYE;
    case LINK_TRUNCATED:
        return END_TRUNCATED;
    case LINK_RESET: /* in the end the server resets who goes on sending behind its bye, and nobody else */
        return b->bye >= 0 && b->spoke_after_bye ? (enum stats_end)b->bye : END_RESET;
    case LINK_TIMED_OUT:
        return END_TIMEOUT;
    case LINK_REFUSED:
        return END_REFUSED;
    case LINK_TLS_FAILED:
    case LINK_DISTRUSTED:
        return END_TLS;
    case LINK_TOO_LONG:
        return END_LINE;
    case LINK_UNREACHABLE:
    case LINK_UNRESOLVED:
        return END_UNREACHABLE;
    }
    return END_OTHER;
}

/* After its bye the server says nothing more, so there is nothing to keep our side open for. */
void bot_on_end(struct link *l, bool truncated, void *owner)
{
    struct bot *b = owner;

    (void)truncated;
    if (!link_has_shut_down(l)) {
        bot_set_state(b, STATE_ENDED);
        link_shutdown(l);
    }
}

void bot_on_closed(struct link *l, const struct link_verdict *v, void *owner)
{
    struct bot *b = owner;

    (void)l;
    record_end(b, end_of(b, v), v->was_up);
    script_ended(b);
}

static void close_link(struct bot *b, bool with_reset, enum stats_end end)
{
    if (b->link == NULL || !link_is_open(b->link))
        return;
    if (with_reset)
        link_reset(b->link);
    else
        link_close(b->link);
    link_resume(b->link);
    link_read_slowly(b->link, 0);
    record_end(b, end, true);
}

void bot_close(struct bot *b, bool with_reset)
{
    close_link(b, with_reset, with_reset ? END_WAS_RESET : END_CLOSED);
}

/* Behind its own FIN a socket that is closed says nothing: the server would find out when it next has
 * something to say, perhaps a ping. */
void bot_close_told(struct bot *b)
{
    close_link(b, b->link != NULL && link_has_shut_down(b->link), END_CLOSED);
}

bool bot_is_ending(const struct bot *b)
{
    return b->link == NULL || !link_is_open(b->link) || link_has_shut_down(b->link) || b->bye >= 0;
}

/* ---- waiting */

void bot_wait(struct bot *b, enum bot_wait what, uint64_t until_us)
{
    b->wait = (uint8_t)what;
    if (until_us != 0)
        timers_set(&b->run->timers, &b->timer, until_us);
    else
        timers_cancel(&b->run->timers, &b->timer);
    if (!b->ready && what >= WAIT_LINE && what != WAIT_ROOM && what != WAIT_ACKS && what != WAIT_TAIL &&
        what != WAIT_SLICE) {
        b->ready = true;
        run_bot_is_ready(b->run);
    }
}

void bot_stop_waiting(struct bot *b)
{
    timers_cancel(&b->run->timers, &b->timer);
    b->waited = b->wait;
    b->wait = WAIT_NOTHING;
    b->lingers = false;
    bot_free_wanted(b->wanted);
    b->wanted = NULL;
}

void bot_free_wanted(struct bot_wanted *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->count; i++)
        free(w->fields[i].text);
    free(w);
}

bool bot_matches(const struct bot_wanted *w, const struct message *m)
{
    if (w->type != MESSAGE_UNKNOWN && w->type != m->type)
        return false;
    for (size_t i = 0; i < w->count; i++) {
        const struct value *v = message_get(m, w->fields[i].field);

        if (v == NULL || v->kind != w->fields[i].kind)
            return false;
        if (v->kind == VALUE_UINT && v->number != w->fields[i].number)
            return false;
        if (v->kind == VALUE_STRING &&
            (v->len != w->fields[i].len || memcmp(v->text, w->fields[i].text, v->len) != 0))
            return false;
    }
    return true;
}

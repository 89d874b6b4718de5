/* client_read.c: how far the user has read: what the server tells of it, what is told to it, and direct
 * conversations in which something waits. Only for accounts. See client.h.
 *
 * What the user has seen is told once a second at most, room by room. What waits in a direct conversation is
 * fetched when the user turns to it, or when more comes: then it is replayed from where he had read to, so
 * that all of it comes in its order. */
#include "client/client.h"

#include "protocol/codec.h"

static uint64_t get_uint(const struct message *m, enum message_field f)
{
    const struct value *v = message_get_kind(m, f, VALUE_UINT);

    return v != NULL ? v->number : 0;
}

void client_saw(struct client *c, struct model_room *r)
{
    if (!c->is_account || r->starting_over || r->waiting > 0)
        return;
    r->is_counted = true;
    if (r->seen < r->seq)
        r->seen = r->seq;
}

void client_send_reads(struct client *c)
{
    struct model_room *r;
    struct buf b = {0};

    if (c->state != CLIENT_ON || !c->is_account)
        return;
    TAILQ_FOREACH(r, &c->model.rooms, link)
    {
        if (r->seen <= r->read || !r->is_counted || (!r->joined && !model_is_direct(r)))
            continue;
        r->read = r->seen;
        codec_begin(&b, MESSAGE_READ);
        codec_add_text(&b, FIELD_ROOM, r->name);
        codec_add_uint(&b, FIELD_SEQ, r->seen);
        codec_add_text(&b, FIELD_ID, CLIENT_READ_ID);
        codec_end(&b);
    }
    if (b.len > 0)
        link_send(c->link, b.data, b.len);
    buf_deinit(&b);
}

void client_take_read(struct model_room *r, const struct message *m)
{
    uint64_t read = get_uint(m, FIELD_READ);

    if (m->type == MESSAGE_READ)
        read = get_uint(m, FIELD_SEQ);
    else if (message_get(m, FIELD_READ) == NULL)
        return;
    r->is_counted = true;
    if (read > r->read)
        r->read = read;
    if (read > r->seen)
        r->seen = read;
    if (r->waiting > 0 && read >= r->waiting)
        r->waiting = 0;
}

void client_take_unread(struct model_room *r, const struct message *m)
{
    client_take_read(r, m);
    if (!r->wanted && get_uint(m, FIELD_SEQ) > r->read)
        r->waiting = get_uint(m, FIELD_SEQ);
}

void client_read_on(struct client *c, struct model_room *r)
{
    if (r->waiting == 0 || r->reads_on || c->state != CLIENT_ON)
        return;
    r->reads_on = true;
    r->reads_failed = false;
    r->seq = r->read;
    client_join(c, r);
}

bool client_keeps_back(struct client *c, struct model_room *r)
{
    if (r->waiting == 0 || r->joined || r->reads_failed) /* better with a hole than not at all */
        return false;
    client_read_on(c, r);
    return true;
}

void client_count(struct client *c, struct model_room *r, uint64_t seq, bool is_own)
{
    if (!c->is_account)
        return;
    if (!r->is_counted)
        r->read = r->seen = seq - 1;
    r->is_counted = true;
    if (is_own && r->seen == seq - 1)
        r->seen = seq;
}

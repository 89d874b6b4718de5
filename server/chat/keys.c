/* keys.c: see keys.h. */
#include "server/chat/keys.h"

#include "common/mem.h"
#include "common/utf8.h"
#include "protocol/message.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (UTF8_FOLD_MAX + 1 + PROTOCOL_MAX_ID)

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct key *k = table_of(link, struct key, link);

    return k->len == len && memcmp(k->text, key, len) == 0;
}

static size_t make_text(char *out, const char *sender, size_t sender_len, const char *key, size_t len)
{
    memcpy(out, sender, sender_len);
    out[sender_len] = '\0';
    memcpy(out + sender_len + 1, key, len);
    return sender_len + 1 + len;
}

const struct key *keys_find(const struct keys *k, const char *sender, size_t sender_len, const char *key, size_t len)
{
    char text[TEXT_MAX];
    size_t n = make_text(text, sender, sender_len, key, len);
    struct table_link *link = table_find(&k->table, table_hash(text, n), text, n, matches);

    return link != NULL ? table_of(link, struct key, link) : NULL;
}

void keys_add(struct keys *k, const char *sender, size_t sender_len, const char *key, size_t len, uint64_t seq,
              uint64_t time_ms)
{
    struct key *new = mem_zalloc(sizeof *new + sender_len + 1 + len);

    new->len = (uint16_t)make_text(new->text, sender, sender_len, key, len);
    new->seq = seq;
    new->time_ms = time_ms;
    if (k->newest != NULL)
        k->newest->next = new;
    else
        k->oldest = new;
    k->newest = new;
    table_insert(&k->table, &new->link, table_hash(new->text, new->len));
}

void keys_forget(struct keys *k, uint64_t oldest_seq)
{
    struct key *at;

    while ((at = k->oldest) != NULL && at->seq < oldest_seq) {
        k->oldest = at->next;
        if (k->oldest == NULL)
            k->newest = NULL;
        table_remove(&k->table, &at->link);
        free(at);
    }
}

void keys_deinit(struct keys *k)
{
    keys_forget(k, UINT64_MAX);
    table_deinit(&k->table);
}

/* room_rights.c: see room_rights.h. */
#include "server/chat/room_rights.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const role_names[] = {
    [ROLE_MEMBER] = "member", [ROLE_MODERATOR] = "moderator", [ROLE_OWNER] = "owner"};
static const char *const access_names[] = {
    [ACCESS_OPEN] = "open", [ACCESS_INVITED] = "invited", [ACCESS_ACCOUNTS] = "accounts"};

const char *rights_role_name(enum rights_role role)
{
    return role_names[role];
}

const char *rights_access_name(enum rights_access access)
{
    return access_names[access];
}

static int find_name(const char *const names[3], const char *text, size_t len)
{
    for (int i = 0; i < 3; i++)
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0)
            return i;
    return -1;
}

bool rights_find_role(const char *text, size_t len, enum rights_role *role)
{
    int i = find_name(role_names, text, len);

    if (i >= 0)
        *role = (enum rights_role)i;
    return i >= 0;
}

bool rights_find_access(const char *text, size_t len, enum rights_access *access)
{
    int i = find_name(access_names, text, len);

    if (i >= 0)
        *access = (enum rights_access)i;
    return i >= 0;
}

/* ---- sentences ---- */

void sentence_clear(struct sentence *s)
{
    free(s->by);
    free(s->reason);
    *s = (struct sentence){0};
}

void sentence_set(struct sentence *s, const char *by, size_t by_len, const char *reason, size_t reason_len,
                  uint64_t since_ms, uint64_t until_ms)
{
    sentence_clear(s);
    s->by = mem_strndup(by, by_len);
    s->reason = mem_strndup(reason_len > 0 ? reason : "", reason_len);
    s->since_ms = since_ms;
    s->until_ms = until_ms;
}

bool sentence_holds(const struct sentence *s, uint64_t now_ms)
{
    return s->by != NULL && (s->until_ms == 0 || s->until_ms > now_ms);
}

/* ---- what is known of one nick ---- */

struct right *right_new(const char *folded, size_t folded_len, const char *nick, size_t nick_len)
{
    struct right *right = mem_zalloc(sizeof *right + folded_len + nick_len + 2);

    right->folded_len = (uint8_t)folded_len;
    right->nick_len = (uint8_t)nick_len;
    memcpy(right->text, folded, folded_len);
    memcpy(right->text + folded_len + 1, nick, nick_len);
    return right;
}

static void copy_sentence(struct sentence *to, const struct sentence *from)
{
    if (from->by != NULL)
        sentence_set(to, from->by, strlen(from->by), from->reason, strlen(from->reason), from->since_ms,
                     from->until_ms);
}

struct right *right_copy(const struct right *right)
{
    struct right *copy = right_new(right->text, right->folded_len, right_nick(right), right->nick_len);

    copy->identity = right->identity;
    copy->away_ms = right->away_ms;
    copy->role = right->role;
    copy->invited = right->invited;
    copy_sentence(&copy->ban, &right->ban);
    copy_sentence(&copy->mute, &right->mute);
    return copy;
}

void right_free(struct right *right)
{
    if (right == NULL)
        return;
    sentence_clear(&right->ban);
    sentence_clear(&right->mute);
    free(right);
}

bool right_is_empty(const struct right *right)
{
    return right->role == ROLE_MEMBER && !right->invited && right->ban.by == NULL && right->mute.by == NULL;
}

bool right_is_for(const struct right *right, const struct who *who)
{
    return right->identity == 0 ? who->is_account : !who->is_account && who->identity == right->identity;
}

/* ---- all of a room ---- */

static int matches(const struct table_link *link, const void *key, size_t len)
{
    const struct right *right = table_of(link, struct right, link);

    return right->folded_len == len && memcmp(right->text, key, len) == 0;
}

struct right *rights_find(const struct rights *r, const char *folded, size_t len)
{
    struct table_link *link;

    if (r->nicks.count == 0)
        return NULL;
    link = table_find(&r->nicks, table_hash(folded, len), folded, len, matches);
    return link != NULL ? table_of(link, struct right, link) : NULL;
}

struct right *rights_first(const struct rights *r, uint32_t *at)
{
    struct table_link *link = table_first(&r->nicks, at);

    return link != NULL ? table_of(link, struct right, link) : NULL;
}

struct right *rights_next(const struct rights *r, uint32_t *at, const struct right *right)
{
    struct table_link *link = table_next(&r->nicks, at, &right->link);

    return link != NULL ? table_of(link, struct right, link) : NULL;
}

static void count(struct rights *r, const struct right *right, uint32_t by)
{
    r->owners += right->role == ROLE_OWNER ? by : 0;
    r->holders += right->role != ROLE_MEMBER ? by : 0;
    r->guests += right->identity != 0 ? by : 0;
    r->mutes += right->mute.by != NULL ? by : 0;
}

void rights_count(struct rights *r)
{
    uint32_t at;

    r->owners = r->holders = r->guests = r->mutes = 0;
    for (const struct right *right = rights_first(r, &at); right != NULL; right = rights_next(r, &at, right))
        count(r, right, 1);
}

static void take_out(struct rights *r, struct right *right)
{
    count(r, right, (uint32_t)-1);
    table_remove(&r->nicks, &right->link);
    right_free(right);
}

void rights_put(struct rights *r, struct right *right)
{
    struct right *old = rights_find(r, right->text, right->folded_len);

    if (right->role == ROLE_MEMBER && !right->invited)
        right->identity = right->away_ms = 0;
    if (old != NULL)
        take_out(r, old);
    if (right_is_empty(right)) {
        right_free(right);
    } else {
        table_insert(&r->nicks, &right->link, table_hash(right->text, right->folded_len));
        count(r, right, 1);
    }
}

void rights_deinit(struct rights *r)
{
    uint32_t at;

    for (struct right *right = rights_first(r, &at), *next; right != NULL; right = next) {
        next = rights_next(r, &at, right);
        right_free(right);
    }
    table_deinit(&r->nicks);
    *r = (struct rights){0};
}

enum rights_role rights_role_of(const struct rights *r, const struct who *who)
{
    const struct right *right = r->holders > 0 ? rights_find(r, who->folded, who->len) : NULL;

    return right != NULL && right_is_for(right, who) ? (enum rights_role)right->role : ROLE_MEMBER;
}

bool rights_is_invited(const struct rights *r, const struct who *who)
{
    const struct right *right = rights_find(r, who->folded, who->len);

    return right != NULL && right_is_for(right, who) && (right->invited || right->role != ROLE_MEMBER);
}

const struct sentence *rights_ban(const struct rights *r, const char *folded, size_t len, uint64_t now_ms)
{
    const struct right *right = rights_find(r, folded, len);

    return right != NULL && sentence_holds(&right->ban, now_ms) ? &right->ban : NULL;
}

const struct sentence *rights_mute(const struct rights *r, const char *folded, size_t len, uint64_t now_ms)
{
    const struct right *right = r->mutes > 0 ? rights_find(r, folded, len) : NULL;

    return right != NULL && sentence_holds(&right->mute, now_ms) ? &right->mute : NULL;
}

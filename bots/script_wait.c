/* script_wait.c: the methods of a bot that wait: for a time, a line, an end. Each says for what and yields;
 * script.c resumes it with the results. See script.h. */
#include "bots/script.h"

#include "common/clock.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LATE_AT_ONCE 16 /* turns that a bot that is late may make up for before others have theirs */

/* ---- time */

/* Waits for what the run can do without: its end is an end of the wait. base: arguments below the results. */
static int after_pastime(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_bot(L);

    (void)status;
    if (b->interrupted) {
        b->interrupted = false;
        return script_give_up(L, script_run_is_over);
    }
    return lua_gettop(L) - (int)base;
}

static uint64_t next_interval(struct bot *b)
{
    uint64_t interval = run_interval_us(b);

    if (!b->run->settings.poisson)
        return interval;
    return (uint64_t)(-log(1 - dice_unit(&b->run->dice)) * (double)interval);
}

static int wait_turn(lua_State *L, struct bot *b)
{
    struct run *r = b->run;
    uint64_t now = clock_mono_us();

    b->in_turn = b->awaits = false;
    if (r->settings.closed)
        b->offset_us = r->traffic_us != 0 ? now - r->traffic_us + (uint64_t)(r->settings.think * 1e6) : 0;
    else
        b->offset_us = b->turn == 0 ? run_first_offset_us(b) : b->offset_us + next_interval(b);
    b->turn++;
    r->stats.now.turns++;
    b->due_us = r->traffic_us + b->offset_us;
    if (r->traffic_us != 0 && b->due_us <= now && !r->settings.closed) {
        r->stats.now.late_turns++;
        if (++b->late_turns < LATE_AT_ONCE) {
            b->in_turn = true;
            stats_turn(&r->stats, b->due_us);
            lua_pushnumber(L, (double)b->offset_us / 1e6);
            return 1;
        }
        b->late_turns = 0;
        bot_wait(b, WAIT_TURN, now + 1);
        return lua_yield(L, 0);
    }
    b->late_turns = 0;
    bot_wait(b, WAIT_TURN, r->traffic_us != 0 ? b->due_us : 0);
    return lua_yield(L, 0);
}

uint64_t script_missed_turns(struct bot *b, uint64_t from_us, uint64_t to_us)
{
    struct run *r = b->run;
    uint64_t at = r->traffic_us + b->offset_us, missed = 0;

    if (r->settings.closed || run_interval_us(b) == 0 || !r->roles[b->role].sends || r->traffic_us == 0)
        return 0;
    if (b->turn == 0)
        at = r->traffic_us + run_first_offset_us(b);
    else if (b->wait != WAIT_TURN || b->awaits) /* else that one is due and has not begun */
        at += next_interval(b);
    for (; at < to_us; at += next_interval(b))
        missed += at >= from_us;
    return missed;
}

/* bot:turn(): waits until this bot's next turn is due; its time in seconds, or nothing when turns are over.
 */
static int method_turn(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    if (run_is_over(b->run))
        return 0;
    if (!b->run->roles[b->role].sends)
        return script_error(L, "role %s has sends = false, and so no turns", bot_role(b));
    if (!b->run->settings.closed && run_interval_us(b) == 0)
        return script_error(L, "a turn needs a rate, or closed = true");
    return wait_turn(L, b);
}

static int sleep_until(lua_State *L, struct bot *b, uint64_t at)
{
    if (run_is_over(b->run))
        return script_give_up(L, script_run_is_over);
    b->in_turn = false;
    bot_wait(b, WAIT_SLEEP, at);
    return lua_yieldk(L, 0, lua_gettop(L), after_pastime);
}

static int method_sleep(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double seconds = luaL_optnumber(L, 2, 1e6); /* without a number: to the end */

    return sleep_until(L, b, script_from_now(seconds > 0 ? seconds : 0));
}

/* bot:await(seconds): until so many seconds after turns have begun; a turn of its own making. */
static int method_await(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double seconds = luaL_checknumber(L, 2);

    if (run_is_over(b->run))
        return 0;
    b->in_turn = false;
    b->awaits = true;
    b->offset_us = (uint64_t)((seconds > 0 ? seconds : 0) * 1e6);
    b->due_us = b->run->traffic_us + b->offset_us;
    bot_wait(b, WAIT_TURN, b->run->traffic_us != 0 ? b->due_us : 0);
    return lua_yield(L, 0);
}

/* ---- waiting for lines and ends */

/* The value is on top of the stack. */
static void add_wanted(lua_State *L, struct bot_wanted *w, const char *name)
{
    size_t at = w->count, len;
    const char *text;
    int field = 0;

    if (strcmp(name, "from") == 0 && !lua_isinteger(L, -1))
        name = "nick";
    while (field < MESSAGE_FIELD_COUNT && strcmp(message_field_name((enum message_field)field), name) != 0)
        field++;
    if (field == MESSAGE_FIELD_COUNT)
        script_error(
            L, "expect: no line has a field \"%s\"; there are those of PROTOCOL.md, within and optional",
            name);
    if (at == BOT_WANTED) {
        script_error(L, "expect: at most %d fields", BOT_WANTED);
        return;
    }
    w->fields[at].field = (enum message_field)field;
    if (lua_isinteger(L, -1)) {
        w->fields[at].kind = VALUE_UINT;
        w->fields[at].number = (uint64_t)lua_tointeger(L, -1);
    } else if (lua_isboolean(L, -1)) {
        w->fields[at].kind = lua_toboolean(L, -1) ? VALUE_TRUE : VALUE_FALSE;
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        text = lua_tolstring(L, -1, &len);
        w->fields[at].kind = VALUE_STRING;
        w->fields[at].text = mem_strndup(text, len);
        w->fields[at].len = len;
    } else {
        script_error(L, "expect: %s is a text, a whole number, true or false, not a %s", name,
                     luaL_typename(L, -1));
    }
    w->count++;
}

/* What the server says, for a message. */
static const char said_by_server[] =
    "msg, ack, joined, left, presence, topic, gap, error, bye, ping, pong, welcome, end, "
    "member, room, moderation, read, unread";

static enum message_type check_type(lua_State *L)
{
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;

    for (int t = 1; name != NULL && t < MESSAGE_TYPE_COUNT; t++)
        if (strcmp(message_type_name((enum message_type)t), name) == 0)
            return (enum message_type)t;
    script_error(L, "expect: there is no type \"%s\"; the server says %s", luaL_tolstring(L, -1, NULL),
                 said_by_server);
    return MESSAGE_UNKNOWN;
}

static void read_wanted(lua_State *L, struct bot_wanted *w, const char *name)
{
    if (strcmp(name, "type") == 0)
        w->type = check_type(L);
    else if (strcmp(name, "within") == 0 && lua_type(L, -1) != LUA_TNUMBER)
        script_error(L, "expect: within is seconds, not %s", luaL_tolstring(L, -1, NULL));
    else if (strcmp(name, "optional") == 0 && !lua_isboolean(L, -1))
        script_error(L, "expect: optional is true or false, not %s", luaL_tolstring(L, -1, NULL));
    else if (strcmp(name, "within") != 0 && strcmp(name, "optional") != 0)
        add_wanted(L, w, name);
}

static int after_expect(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_bot(L);
    bool optional;

    (void)status;
    if (b->interrupted) {
        b->interrupted = false;
        return script_give_up(L, script_run_is_over);
    }
    if (!lua_isnil(L, (int)base + 1))
        return 1;
    if (b->gone)
        return script_give_up(L, script_is_gone);
    lua_getfield(L, 2, "optional");
    optional = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (!optional) {
        lua_getfield(L, 2, "type");
        bot_wrong(b, CHECK_ANSWER, "waited in vain for a line of type %s: %s",
                  lua_isstring(L, -1) ? lua_tostring(L, -1) : "any", lua_tostring(L, -2));
        lua_pop(L, 1);
    }
    return 2;
}

/* bot:expect{type = , from = , ..., within = seconds, optional = true}: the line as a table, or nil and why
 * not. */
static int method_expect(lua_State *L)
{
    struct bot *b = script_check_link(L);
    struct bot_wanted *w;

    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return script_error(L, "expect takes a table: expect{type = \"msg\"}");
    if (run_is_over(b->run))
        return script_give_up(L, script_run_is_over);
    bot_free_wanted(b->wanted); /* of one that was an error */
    w = b->wanted = mem_zalloc(sizeof *w);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return script_error(L, "expect takes names and values: expect{type = \"msg\"}");
        read_wanted(L, w, lua_tostring(L, -2));
    }
    b->in_turn = false;
    bot_wait(b, WAIT_LINE, script_deadline(L, b, 2));
    return lua_yieldk(L, 0, 2, after_expect);
}

static int after_end(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_bot(L);

    if (!b->interrupted)
        return script_after_answer(L, status, base);
    b->interrupted = false;
    return script_give_up(L, script_run_is_over);
}

/* bot:wait_end([within]): how the connection has ended. When turns are over, who has not ended his side nor
 * heard a bye waits for nothing that has to come. */
static int method_wait_end(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double within = luaL_optnumber(L, 2, b->run->settings.within);

    if (b->link == NULL || !link_is_open(b->link)) {
        lua_getfield(L, 1, "ended");
        return 1;
    }
    lua_settop(L, 1);
    if (run_is_over(b->run) && !bot_is_ending(b))
        script_linger(b);
    else
        bot_wait(b, WAIT_END, script_from_now(within));
    return lua_yieldk(L, 0, 1, after_end);
}

static int wait_on(lua_State *L, struct bot *b, bool is_done, enum bot_wait kind)
{
    double within = luaL_optnumber(L, 2, b->run->settings.within);

    if (is_done) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_settop(L, 1);
    bot_wait(b, kind, script_from_now(within));
    return lua_yieldk(L, 0, 1, script_after_answer);
}

/* bot:wait_acks([within]): until no send of this bot's is under way. */
static int method_wait_acks(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    return wait_on(L, b, check_all_acked(&b->check), WAIT_ACKS);
}

/* bot:wait_tail([within]): until all that anyone has got of its rooms has come here too. */
static int method_wait_tail(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    check_owe(&b->check);
    return wait_on(L, b, check_has_all(&b->check), WAIT_TAIL);
}

/* bot:trickle(bytes, bytes_a_second) */
static int method_trickle(lua_State *L)
{
    struct bot *b = script_check_link(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    double rate = luaL_checknumber(L, 3);
    struct bot_trickle *t;

    luaL_argcheck(L, rate > 0, 3, "bytes a second are expected");
    if (len == 0)
        return 0;
    t = mem_alloc(sizeof *t + len);
    *t = (struct bot_trickle){.rate = rate, .len = len};
    memcpy(t->data, data, len);
    free(b->trickle);
    b->trickle = t;
    lua_settop(L, 1);
    bot_wait(b, WAIT_TRICKLE, clock_mono_us());
    return lua_yieldk(L, 0, 1, after_pastime);
}

const luaL_Reg script_wait_methods[] = {
    {"turn", method_turn},           {"sleep", method_sleep},       {"await", method_await},
    {"expect", method_expect},       {"wait_end", method_wait_end}, {"wait_acks", method_wait_acks},
    {"wait_tail", method_wait_tail}, {"trickle", method_trickle},   {NULL, NULL},
};

/* script_wait.c: the methods of a bot that wait: for a time, a line, an end. Each says for what and yields;
 * script.c resumes it with the results. See script.h. */
#include "bots/script.h"

#include "common/clock.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    uint64_t interval = run_interval_us(b->run);

    if (!b->run->settings.poisson)
        return interval;
    return (uint64_t)(-log(1 - dice_unit(&b->run->dice)) * (double)interval);
}

/* The first turns of all bots are spread over one interval. */
static uint64_t first_offset(const struct bot *b)
{
    return b->run->senders > 0 ? run_interval_us(b->run) * b->order / b->run->senders : 0;
}

static int wait_turn(lua_State *L, struct bot *b)
{
    struct run *r = b->run;
    uint64_t now = clock_mono_us();

    b->in_turn = false;
    if (r->settings.closed)
        b->offset_us = r->traffic_us != 0 ? now - r->traffic_us + (uint64_t)(r->settings.think * 1e6) : 0;
    else
        b->offset_us = b->turn == 0 ? first_offset(b) : b->offset_us + next_interval(b);
    b->turn++;
    r->stats.now.turns++;
    b->due_us = r->traffic_us + b->offset_us;
    if (r->traffic_us != 0 && b->due_us <= now && !r->settings.closed) {
        r->stats.now.late_turns++;
        b->in_turn = true;
        lua_pushnumber(L, (double)b->offset_us / 1e6);
        return 1;
    }
    bot_wait(b, WAIT_TURN, r->traffic_us != 0 ? b->due_us : 0);
    return lua_yield(L, 0);
}

/* bot:turn(): waits until this bot's next turn is due; its time in seconds, or nothing when turns are over.
 */
static int method_turn(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    if (run_is_over(b->run))
        return 0;
    if (!b->run->settings.closed && !(b->run->settings.rate > 0))
        return luaL_error(L, "a turn needs a rate, or closed = true");
    if (!b->run->roles[b->role].sends)
        return luaL_error(L, "role %s has sends = false, and so no turns", bot_role(b));
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
    b->offset_us = (uint64_t)((seconds > 0 ? seconds : 0) * 1e6);
    b->due_us = b->run->traffic_us + b->offset_us;
    bot_wait(b, WAIT_TURN, b->run->traffic_us != 0 ? b->due_us : 0);
    return lua_yield(L, 0);
}

/* ---- waiting for lines and ends */

static void add_wanted(lua_State *L, struct bot_wanted *w, const char *name)
{
    size_t at = w->count, len;
    int field = 0;

    if (strcmp(name, "from") == 0 && !lua_isinteger(L, -1))
        name = "nick";
    while (field < MESSAGE_FIELD_COUNT && strcmp(message_field_name((enum message_field)field), name) != 0)
        field++;
    if (field == MESSAGE_FIELD_COUNT || at == BOT_WANTED) {
        bot_free_wanted(w);
        luaL_error(L, "expect{}: no field is called %s, or they are too many", name);
    }
    w->fields[at].field = (enum message_field)field;
    w->fields[at].is_number = lua_isinteger(L, -1);
    if (lua_isinteger(L, -1)) {
        w->fields[at].number = (uint64_t)lua_tointeger(L, -1);
    } else {
        const char *text = lua_tolstring(L, -1, &len);

        w->fields[at].text = mem_strndup(text != NULL ? text : "", text != NULL ? len : 0);
        w->fields[at].len = text != NULL ? len : 0;
    }
    w->count++;
}

static bool is_option(const char *name)
{
    return strcmp(name, "within") == 0 || strcmp(name, "optional") == 0;
}

static enum message_type type_named(const char *name)
{
    for (int t = 1; t < MESSAGE_TYPE_COUNT; t++)
        if (strcmp(message_type_name((enum message_type)t), name) == 0)
            return (enum message_type)t;
    return MESSAGE_UNKNOWN;
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
    luaL_checktype(L, 2, LUA_TTABLE);
    if (run_is_over(b->run))
        return script_give_up(L, script_run_is_over);
    w = mem_zalloc(sizeof *w);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";

        if (strcmp(name, "type") == 0 && lua_isstring(L, -1))
            w->type = type_named(lua_tostring(L, -1));
        else if (!is_option(name))
            add_wanted(L, w, name);
    }
    b->wanted = w;
    b->in_turn = false;
    bot_wait(b, WAIT_LINE, script_deadline(L, b, 2));
    return lua_yieldk(L, 0, 2, after_expect);
}

/* bot:wait_end([within]): how the connection has ended. */
static int method_wait_end(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double within = luaL_optnumber(L, 2, b->run->settings.within);

    if (b->link == NULL || !link_is_open(b->link)) {
        lua_getfield(L, 1, "ended");
        return 1;
    }
    lua_settop(L, 1);
    bot_wait(b, WAIT_END, script_from_now(within));
    return lua_yieldk(L, 0, 1, script_after_answer);
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

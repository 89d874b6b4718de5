/* script_wait.c: the methods of a bot that wait: each says what it waits for and yields; script.c resumes it with the
 * results. See script.h. */
#include "bots/script.h"

#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int give_up(lua_State *L, const char *why)
{
    lua_pushlightuserdata(L, (void *)why);
    return lua_error(L);
}

static uint64_t from_now(double seconds)
{
    return clock_mono_us() + (uint64_t)(seconds * 1e6);
}

/* When to stop waiting: options.within, or the run's. options may be anything. */
static uint64_t deadline(lua_State *L, struct bot *b, int options)
{
    double within = b->run->settings.within;

    if (lua_istable(L, options)) {
        if (lua_getfield(L, options, "within") == LUA_TNUMBER)
            within = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return from_now(within);
}

/* Whether options.may_fail (true, a code or a list of them) has this code. */
static bool may_fail(lua_State *L, int options, const char *code)
{
    bool may = false;

    if (!lua_istable(L, options))
        return false;
    switch (lua_getfield(L, options, "may_fail")) {
    case LUA_TBOOLEAN:
        may = lua_toboolean(L, -1);
        break;
    case LUA_TSTRING:
        may = strcmp(lua_tostring(L, -1), code) == 0;
        break;
    case LUA_TTABLE:
        for (lua_Integer i = 1; !may && lua_geti(L, -1, i) == LUA_TSTRING; i++, lua_pop(L, 1))
            may = strcmp(lua_tostring(L, -1), code) == 0;
        break;
    default:
        break;
    }
    lua_settop(L, options);
    return may;
}

/* Waits for what the run can do without: its end is an end of the wait. base: arguments below the results. */
static int after_pastime(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_bot(L);

    (void)status;
    if (b->interrupted) {
        b->interrupted = false;
        return give_up(L, script_run_is_over);
    }
    return lua_gettop(L) - (int)base;
}

/* An end of the connection was held against what is expected when it came. */
static bool was_judged(const char *code)
{
    return strcmp(code, "closed") == 0 || stats_end_find(code, strlen(code)) >= 0;
}

static const char *what_was_awaited(const struct bot *b)
{
    switch ((enum bot_wait)b->waited) {
    case WAIT_ANSWER:
        return b->asking;
    case WAIT_SENT:
        return "send";
    case WAIT_ACKS:
        return "the last acks";
    case WAIT_TAIL:
        return "the last messages";
    case WAIT_END:
        return "the end of the connection";
    default:
        return "connect";
    }
}

/* After an answer: one that is no good, and was not said to be all right, is a fault. The last argument is options. */
static int after_answer(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_bot(L);
    char code[64];

    (void)status;
    if (b->lines_ref != LUA_NOREF && lua_istable(L, -1)) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, b->lines_ref);
        lua_setfield(L, -2, "lines");
    }
    luaL_unref(L, LUA_REGISTRYINDEX, b->lines_ref);
    b->lines_ref = LUA_NOREF;
    if (!lua_isnil(L, (int)base + 1))
        return lua_gettop(L) - (int)base;
    strncpy(code, lua_tostring(L, -1), sizeof code - 1);
    code[sizeof code - 1] = '\0';
    if (b->gone)
        return give_up(L, script_is_gone);
    if (!was_judged(code) && !may_fail(L, (int)base, code))
        bot_wrong(b, CHECK_ANSWER, "%s: %s", what_was_awaited(b), code);
    lua_pushnil(L);
    lua_pushstring(L, code);
    return 2;
}

static int wait_answer(lua_State *L, struct bot *b)
{
    int base = lua_gettop(L);

    if (lua_istable(L, base)) {
        if (lua_getfield(L, base, "lines") == LUA_TBOOLEAN && lua_toboolean(L, -1)) {
            lua_newtable(L);
            b->lines_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        }
        lua_settop(L, base);
    }
    bot_wait(b, WAIT_ANSWER, deadline(L, b, base));
    return lua_yieldk(L, 0, base, after_answer);
}

/* ---- connecting */

/* bot:connect([{tls = true}]): true, or nil and the reason. */
static int method_connect(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    lua_settop(L, 2);
    if (b->link != NULL && link_is_open(b->link))
        return luaL_error(L, "the bot is connected already");
    if (lua_istable(L, 2)) {
        if (lua_getfield(L, 2, "tls") == LUA_TBOOLEAN)
            b->tls = lua_toboolean(L, -1);
        lua_settop(L, 2);
    }
    b->gone = false;
    if (b->in_turn)
        b->entry_us = b->due_us;
    else if (b->ever_up) /* the first one was due when the bot was */
        b->entry_us = clock_mono_us();
    b->ever_up = true;
    bot_wait(b, WAIT_OPEN, clock_mono_us());
    return lua_yieldk(L, 0, 2, after_answer);
}

/* bot:login([{on_eof = "stay", resume = true}]) */
static int method_login(lua_State *L)
{
    struct bot *b = script_check_link(L);
    bool resume = false;

    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        lua_getfield(L, 2, "on_eof");
        b->stays = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "stay") == 0;
        lua_getfield(L, 2, "resume");
        resume = lua_toboolean(L, -1);
        lua_settop(L, 2);
    }
    if (!resume) {
        free(b->resume);
        b->resume = NULL;
    }
    bot_hello(b);
    return wait_answer(L, b);
}

/* bot:join([room], [{after = N or true}]); true: what the bot has not seen yet. */
static int method_join(lua_State *L)
{
    struct bot *b = script_check_link(L);
    struct buf *line;
    const char *room;
    size_t len;
    int at;

    lua_settop(L, 3);
    if (lua_isnil(L, 2)) {
        lua_getfield(L, 1, "home");
        lua_replace(L, 2);
    }
    room = luaL_checklstring(L, 2, &len);
    line = bot_begin_request(b, MESSAGE_JOIN);
    codec_add(line, FIELD_ROOM, room, len);
    b->join_after = -1;
    if (lua_istable(L, 3)) {
        at = check_find(&b->check, room, len);
        if (lua_getfield(L, 3, "after") == LUA_TNUMBER)
            b->join_after = (int64_t)lua_tointeger(L, -1);
        else if (lua_toboolean(L, -1) && at >= 0)
            b->join_after = (int64_t)b->check.rooms[at].last;
        lua_settop(L, 3);
    }
    if (b->join_after >= 0)
        codec_add_uint(line, FIELD_AFTER, (uint64_t)b->join_after);
    bot_end_request(b);
    return wait_answer(L, b);
}

static void put_json(lua_State *L, struct buf *line, int at)
{
    size_t len;
    const char *text;

    if (lua_isboolean(L, at)) {
        buf_puts(line, lua_toboolean(L, at) ? "true" : "false");
    } else if (lua_type(L, at) == LUA_TNUMBER) {
        buf_putf(line, "%.0f", lua_tonumber(L, at));
    } else {
        text = luaL_checklstring(L, at, &len);
        codec_put_string(line, text, len);
    }
}

/* bot:request({type = ..., ...}, [options]): any request there is, or is not. */
static int method_request(lua_State *L)
{
    struct bot *b = script_check_link(L);
    struct buf *line = &b->run->scratch;

    lua_settop(L, 3);
    luaL_checktype(L, 2, LUA_TTABLE);
    buf_clear(line);
    b->asking = "request";
    lua_getfield(L, 2, "type");
    buf_puts(line, "{\"type\":");
    put_json(L, line, 4);
    lua_settop(L, 3);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        size_t len;
        const char *name = luaL_checklstring(L, 4, &len);

        if (strcmp(name, "type") == 0)
            continue;
        buf_puts(line, ",");
        codec_put_string(line, name, len);
        buf_puts(line, ":");
        put_json(L, line, 5);
    }
    if (bot_end_request(b) < 0)
        return luaL_error(L, "the bot has ended its side");
    return wait_answer(L, b);
}

/* ---- sending */

static bool option_text(lua_State *L, int options, const char *name, const char **text)
{
    bool found = lua_istable(L, options) && lua_getfield(L, options, name) == LUA_TSTRING;

    if (found)
        *text = lua_tostring(L, -1); /* lives in the table */
    lua_settop(L, options);
    return found;
}

static bool wants_to_wait(lua_State *L, const struct bot *b)
{
    bool wait = b->run->settings.closed;

    if (lua_istable(L, 3)) {
        if (lua_getfield(L, 3, "wait") != LUA_TNIL)
            wait = lua_toboolean(L, -1);
        else if (lua_getfield(L, 3, "may_fail") != LUA_TNIL)
            wait = true; /* the answer has to find the options */
        lua_settop(L, 3);
    }
    return wait;
}

static int send_now(lua_State *L, int status, lua_KContext base)
{
    struct bot *b = script_check_link(L);
    uint64_t due = b->in_turn ? b->due_us : clock_mono_us();
    const char *text, *room, *key = NULL;
    size_t len = 0;
    int64_t serial;

    (void)status;
    lua_settop(L, (int)base);
    if (!option_text(L, 3, "room", &room)) {
        lua_getfield(L, 1, "room");
        room = lua_tostring(L, -1);
    }
    option_text(L, 3, "key", &key);
    text = lua_isnil(L, 2) ? NULL : luaL_checklstring(L, 2, &len);
    serial = bot_send(b, room, strlen(room), text, len, key, due);
    if (serial == -ENOENT)
        return luaL_error(L, "the bot is not in room %s", room);
    if (serial < 0)
        return luaL_error(L, "the bot has ended its side");
    if (!wants_to_wait(L, b)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    b->asked = (uint32_t)serial;
    bot_wait(b, WAIT_SENT, deadline(L, b, 3));
    return lua_yieldk(L, 0, 3, after_answer);
}

/* bot:send([text], [{room = , key = , wait = true}]): true, or with wait the seq, or nil and the code. */
static int method_send(lua_State *L)
{
    struct bot *b = script_check_link(L);

    lua_settop(L, 3);
    if (!link_is_full(b->link))
        return send_now(L, LUA_OK, 3);
    b->run->stats.now.late_turns++;
    bot_wait(b, WAIT_ROOM, 0);
    return lua_yieldk(L, 0, 3, send_now);
}

/* ---- time */

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

/* bot:turn(): waits until this bot's next turn is due; its time in seconds, or nothing when turns are over. */
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
        return give_up(L, script_run_is_over);
    b->in_turn = false;
    bot_wait(b, WAIT_SLEEP, at);
    return lua_yieldk(L, 0, lua_gettop(L), after_pastime);
}

static int method_sleep(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double seconds = luaL_optnumber(L, 2, 1e6); /* without a number: to the end */

    return sleep_until(L, b, from_now(seconds > 0 ? seconds : 0));
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
        return give_up(L, script_run_is_over);
    }
    if (!lua_isnil(L, (int)base + 1))
        return 1;
    if (b->gone)
        return give_up(L, script_is_gone);
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

/* bot:expect{type = , from = , ..., within = seconds, optional = true}: the line as a table, or nil and why not. */
static int method_expect(lua_State *L)
{
    struct bot *b = script_check_link(L);
    struct bot_wanted *w;

    lua_settop(L, 2);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (run_is_over(b->run))
        return give_up(L, script_run_is_over);
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
    bot_wait(b, WAIT_LINE, deadline(L, b, 2));
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
    bot_wait(b, WAIT_END, from_now(within));
    return lua_yieldk(L, 0, 1, after_answer);
}

/* bot:wait_acks([within]): until no send of this bot's is under way. */
static int method_wait_acks(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double within = luaL_optnumber(L, 2, b->run->settings.within);

    if (check_all_acked(&b->check)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_settop(L, 1);
    bot_wait(b, WAIT_ACKS, from_now(within));
    return lua_yieldk(L, 0, 1, after_answer);
}

/* bot:wait_tail([within]): until all that anyone has got of its rooms has come here too. */
static int method_wait_tail(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    double within = luaL_optnumber(L, 2, b->run->settings.within);

    check_owe(&b->check);
    if (check_has_all(&b->check)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_settop(L, 1);
    bot_wait(b, WAIT_TAIL, from_now(within));
    return lua_yieldk(L, 0, 1, after_answer);
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
    {"connect", method_connect},     {"login", method_login},
    {"join", method_join},           {"request", method_request},
    {"send", method_send},           {"turn", method_turn},
    {"sleep", method_sleep},         {"await", method_await},
    {"expect", method_expect},       {"wait_end", method_wait_end},
    {"wait_acks", method_wait_acks}, {"trickle", method_trickle},
    {"wait_tail", method_wait_tail}, {NULL, NULL},
};

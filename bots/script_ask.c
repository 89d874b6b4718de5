/* script_ask.c: the methods of a bot that ask the server for something: each says what it waits for and
 * yields, and script.c resumes it with the answer. See script.h. */
#include "bots/script.h"

#include "common/clock.h"
#include "common/mem.h"
#include "protocol/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int script_give_up(lua_State *L, const char *why)
{
    lua_pushlightuserdata(L, (void *)why);
    return lua_error(L);
}

uint64_t script_from_now(double seconds)
{
    return clock_mono_us() + (uint64_t)(seconds * 1e6);
}

/* When to stop waiting: options.within, or the run's. options may be anything. */
uint64_t script_deadline(lua_State *L, struct bot *b, int options)
{
    double within = b->run->settings.within;

    if (lua_istable(L, options)) {
        if (lua_getfield(L, options, "within") == LUA_TNUMBER)
            within = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return script_from_now(within);
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

/* After an answer: one that is no good, and was not said to be all right, is a fault. The last argument is
 * options. */
int script_after_answer(lua_State *L, int status, lua_KContext base)
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
        return script_give_up(L, script_is_gone);
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
    bot_wait(b, WAIT_ANSWER, script_deadline(L, b, base));
    return lua_yieldk(L, 0, base, script_after_answer);
}

/* ---- connecting */

/* bot:connect([{tls = true}]): true, or nil and the reason. */
static int method_connect(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    lua_settop(L, 2);
    script_check_options(L, 2, "connect");
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
    return lua_yieldk(L, 0, 2, script_after_answer);
}

/* bot:login([{on_eof = "stay", resume = true}]) */
static int method_login(lua_State *L)
{
    struct bot *b = script_check_link(L);
    bool resume = false;

    lua_settop(L, 2);
    script_check_options(L, 2, "login");
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
    script_check_options(L, 3, "join");
    if (lua_isnil(L, 2)) {
        lua_getfield(L, 1, "home");
        lua_replace(L, 2);
    }
    room = luaL_checklstring(L, 2, &len);
    check_will_join(&b->check, room, len);
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
    b->join_asked = b->asked;
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

/* For messages: a type that exists, as a static text. */
static const char *static_name(const char *type)
{
    for (int t = 1; type != NULL && t < MESSAGE_TYPE_COUNT; t++)
        if (strcmp(message_type_name((enum message_type)t), type) == 0)
            return message_type_name((enum message_type)t);
    return "request";
}

int script_ask_unchecked(lua_State *L)
{
    struct bot *b = script_check_link(L);
    struct buf *line = &b->run->scratch;

    lua_settop(L, 3);
    luaL_checktype(L, 2, LUA_TTABLE);
    buf_clear(line);
    lua_getfield(L, 2, "type");
    b->asking = static_name(lua_tostring(L, -1));
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

/* bot:request({type = ..., ...}, [options]): any request there is, or is not. */
static int method_request(lua_State *L)
{
    lua_settop(L, 3);
    script_check_options(L, 3, "request");
    return script_ask_unchecked(L);
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
    bot_wait(b, WAIT_SENT, script_deadline(L, b, 3));
    return lua_yieldk(L, 0, 3, script_after_answer);
}

/* bot:send([text], [{room = , key = , wait = true}]): true, or with wait the seq, or nil and the code. */
static int method_send(lua_State *L)
{
    struct bot *b = script_check_link(L);

    lua_settop(L, 3);
    script_check_options(L, 3, "send");
    if (!link_is_full(b->link))
        return send_now(L, LUA_OK, 3);
    b->run->stats.now.late_turns++;
    bot_wait(b, WAIT_ROOM, 0);
    return lua_yieldk(L, 0, 3, send_now);
}

const luaL_Reg script_ask_methods[] = {
    {"connect", method_connect}, {"login", method_login}, {"join", method_join},
    {"request", method_request}, {"send", method_send},   {NULL, NULL},
};

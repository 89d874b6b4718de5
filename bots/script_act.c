/* script_act.c: the methods of a bot that do something at once; see script.h. */
#include "bots/script.h"

#include <string.h>

/* bot:shutdown([rudely]): ends its side; rudely: on TLS without close_notify. */
static int method_shutdown(lua_State *L)
{
    bot_shutdown(script_check_link(L), lua_toboolean(L, 2));
    return 0;
}

static int method_close(lua_State *L)
{
    bot_close(script_check_bot(L), false);
    return 0;
}

/* The frame's: the script is over. */
static int method_close_told(lua_State *L)
{
    bot_close_told(script_check_bot(L));
    return 0;
}

static int method_reset(lua_State *L)
{
    bot_close(script_check_bot(L), true);
    return 0;
}

/* bot:raw(bytes): as they are. */
static int method_raw(lua_State *L)
{
    struct bot *b = script_check_link(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);

    lua_pushboolean(L, bot_write(b, data, len) == 0);
    return 1;
}

static int method_read_slowly(lua_State *L)
{
    struct bot *b = script_check_link(L);

    b->slow = true;
    link_read_slowly(b->link, (uint32_t)luaL_checkinteger(L, 2));
    return 0;
}

static int method_stop_reading(lua_State *L)
{
    struct bot *b = script_check_link(L);

    b->slow = true;
    link_pause(b->link);
    return 0;
}

static int method_read_on(lua_State *L)
{
    struct bot *b = script_check_link(L);

    link_read_slowly(b->link, 0);
    link_resume(b->link);
    return 0;
}

static uint32_t read_ends(lua_State *L)
{
    uint32_t ends = 0;

    for (int i = 2; i <= lua_gettop(L); i++) {
        const char *name = luaL_checkstring(L, i);
        int end = stats_end_find(name, strlen(name));

        luaL_argcheck(L, end >= 0, i, "no end is called that");
        ends |= 1u << end;
    }
    return ends;
}

/* bot:expects("eof", ...): ways in which this connection may end from now on. */
static int method_expects(lua_State *L)
{
    script_check_bot(L)->expected |= read_ends(L);
    return 0;
}

/* bot:may_end("idle", ...): ways in which any connection of this bot's may end; these and no others from
 * before. */
static int method_may_end(lua_State *L)
{
    script_check_bot(L)->allowed = read_ends(L);
    return 0;
}

/* bot:set_blind(true): what comes is no lines, or errors that do not matter. */
static int method_set_blind(lua_State *L)
{
    script_check_bot(L)->blind = lua_toboolean(L, 2);
    return 0;
}

/* bot:set_mute(true): does not answer pings. */
static int method_set_mute(lua_State *L)
{
    script_check_bot(L)->mute = lua_toboolean(L, 2);
    return 0;
}

/* bot:may_be_put_out([false]): of rooms, by a kick or a ban. */
static int method_may_be_put_out(lua_State *L)
{
    script_check_bot(L)->may_be_put_out = lua_isnone(L, 2) || lua_toboolean(L, 2);
    return 0;
}

/* bot:fail(text): the script has found something wrong. */
static int method_fail(lua_State *L)
{
    bot_wrong(script_check_bot(L), CHECK_SCRIPT, "%s", luaL_checkstring(L, 2));
    return 0;
}

/* bot:random(): in [0, 1); (n): 1 to n; (a, b): a to b. As the run's seed has it. */
static int method_random(lua_State *L)
{
    struct dice *d = &script_check_bot(L)->run->dice;
    lua_Integer low = lua_gettop(L) > 2 ? luaL_checkinteger(L, 2) : 1;
    lua_Integer high = lua_gettop(L) > 1 ? luaL_checkinteger(L, lua_gettop(L)) : 0;

    if (lua_gettop(L) == 1)
        lua_pushnumber(L, dice_unit(d));
    else
        lua_pushinteger(L, high > low ? low + (lua_Integer)dice_below(d, (uint64_t)(high - low + 1)) : low);
    return 1;
}

/* bot:text([size]): random text without a mark. */
static int method_text(lua_State *L)
{
    struct run *r = script_check_bot(L)->run;
    lua_Integer size = luaL_optinteger(L, 2, 0);

    if (size <= 0)
        size = (lua_Integer)text_pick_size(&r->dice, r->settings.size_min, r->settings.size_max);
    buf_clear(&r->text);
    text_put(&r->text, &r->dice, r->settings.text, (size_t)size);
    lua_pushlstring(L, r->text.data, r->text.len);
    return 1;
}

/* bot:last([room]): the newest seq that it has seen there, or nil. */
static int method_last(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    const char *room;
    size_t len;
    int at;

    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_getfield(L, 1, "room");
    }
    room = luaL_checklstring(L, 2, &len);
    at = room[0] == '@' ? -1 : check_find(&b->check, room, len);
    if (at < 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)b->check.rooms[at].last);
    return 1;
}

/* bot:talk_in(room): where bot:send goes when it does not say. */
static int method_talk_in(lua_State *L)
{
    struct bot *b = script_check_bot(L);
    size_t len;
    const char *room = luaL_checklstring(L, 2, &len);
    int at = check_find(&b->check, room, len);

    luaL_argcheck(L, at >= 0, 2, "the bot is not in that room");
    b->talks_in = (uint32_t)at;
    return 0;
}

/* bot:nick_of(n): the nick that bot number n has been given. */
static int method_nick_of(lua_State *L)
{
    struct run *r = script_check_bot(L)->run;
    lua_Integer n = luaL_checkinteger(L, 2);

    luaL_argcheck(L, n >= 1 && n <= (lua_Integer)r->bot_count, 2, "there is no bot of that number");
    lua_pushstring(L, r->bots[n - 1].nick);
    return 1;
}

/* The frame's: the script's function has failed. */
static int method_broke(lua_State *L)
{
    bot_wrong(script_check_bot(L), CHECK_SCRIPT, "%s", luaL_checkstring(L, 2));
    return 0;
}

const luaL_Reg script_act_methods[] = {
    {"shutdown", method_shutdown},
    {"close", method_close},
    {"close_told", method_close_told},
    {"reset", method_reset},
    {"raw", method_raw},
    {"read_slowly", method_read_slowly},
    {"stop_reading", method_stop_reading},
    {"read_on", method_read_on},
    {"expects", method_expects},
    {"may_end", method_may_end},
    {"set_blind", method_set_blind},
    {"set_mute", method_set_mute},
    {"may_be_put_out", method_may_be_put_out},
    {"fail", method_fail},
    {"random", method_random},
    {"text", method_text},
    {"last", method_last},
    {"talk_in", method_talk_in},
    {"nick_of", method_nick_of},
    {"broke", method_broke},
    {NULL, NULL},
};

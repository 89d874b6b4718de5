/* script_field.c: a bot as the script sees it: its methods, what can be read off it, and what the script
 * keeps in it; see script.h. */
#include "bots/script.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct bot *script_check_bot(lua_State *L)
{
    return *(struct bot **)luaL_checkudata(L, 1, SCRIPT_BOT);
}

struct bot *script_check_link(lua_State *L)
{
    struct bot *b = script_check_bot(L);

    if (b->link != NULL && link_is_up(b->link))
        return b;
    if (b->gone) {
        lua_pushlightuserdata(L, (void *)script_is_gone);
        lua_error(L);
    }
    luaL_error(L, "the bot is not connected");
    return NULL;
}

typedef void push_field_fn(lua_State *L, const struct bot *b);

static void push_nick(lua_State *L, const struct bot *b)
{
    lua_pushstring(L, b->nick);
}

static void push_index(lua_State *L, const struct bot *b)
{
    lua_pushinteger(L, (lua_Integer)b->index + 1);
}

static void push_role(lua_State *L, const struct bot *b)
{
    lua_pushstring(L, bot_role(b));
}

/* The room that falls to this bot where they are spread evenly. */
static void push_home(lua_State *L, const struct bot *b)
{
    const struct settings *s = &b->run->settings;
    uint64_t rooms = s->rooms > 0 ? (uint64_t)s->rooms : 1;
    char name[64];

    snprintf(name, sizeof name, "%s%" PRIu64, s->room_prefix, b->index % rooms + 1);
    lua_pushstring(L, name);
}

static void push_room(lua_State *L, const struct bot *b)
{
    if (b->talks_in >= b->check.room_count)
        push_home(L, b);
    else if (b->check.rooms[b->talks_in].direct != NULL)
        lua_pushstring(L, b->check.rooms[b->talks_in].direct);
    else
        lua_pushstring(L, b->check.rooms[b->talks_in].room->name);
}

static void push_connected(lua_State *L, const struct bot *b)
{
    lua_pushboolean(L, b->link != NULL && link_is_up(b->link));
}

static void push_logged_in(lua_State *L, const struct bot *b)
{
    lua_pushboolean(L, b->welcomed);
}

static void push_stays(lua_State *L, const struct bot *b)
{
    lua_pushboolean(L, b->stays);
}

static void push_manual(lua_State *L, const struct bot *b)
{
    int8_t manual = b->run->roles[b->role].manual;

    lua_pushboolean(L, manual >= 0 ? manual : b->run->settings.manual);
}

static void push_tls(lua_State *L, const struct bot *b)
{
    lua_pushboolean(L, b->tls);
}

/* Seconds since turns began; before that, minus those since the run began. */
static void push_now(lua_State *L, const struct bot *b)
{
    double now = (double)clock_mono_us();
    const struct run *r = b->run;

    lua_pushnumber(L, r->traffic_us != 0 ? (now - (double)r->traffic_us) / 1e6 : -1);
}

static void push_phase(lua_State *L, const struct bot *b)
{
    lua_pushstring(L, stats_phase_name(b->run->stats.phase));
}

static void push_over(lua_State *L, const struct bot *b)
{
    lua_pushboolean(L, run_is_over(b->run));
}

static void push_turns_done(lua_State *L, const struct bot *b)
{
    lua_pushinteger(L, (lua_Integer)b->turn);
}

static void push_ended(lua_State *L, const struct bot *b)
{
    lua_pushstring(L, stats_end_name((enum stats_end)b->end));
}

static const struct {
    const char *name;
    push_field_fn *push;
} fields[] = {
    {"nick", push_nick},     {"index", push_index},
    {"role", push_role},     {"home", push_home},
    {"room", push_room},     {"connected", push_connected},
    {"stays", push_stays},   {"logged_in", push_logged_in},
    {"manual", push_manual}, {"tls", push_tls},
    {"now", push_now},       {"phase", push_phase},
    {"over", push_over},     {"count", push_turns_done},
    {"ended", push_ended},
};

static int find_field(const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Methods are upvalue 1; then fields; then what the script has put there. */
static int get(lua_State *L)
{
    struct bot *b = *(struct bot **)lua_touserdata(L, 1);
    const char *name = luaL_checkstring(L, 2);
    int i;

    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    i = find_field(name);
    if (i >= 0) {
        fields[i].push(L, b);
        return 1;
    }
    if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE)
        return 0;
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int set_field(lua_State *L, struct bot *b, const char *name)
{
    size_t len;

    if (strcmp(name, "nick") == 0) {
        const char *nick = luaL_checklstring(L, 3, &len);

        if (len >= BOT_NICK_SIZE)
            return script_error(L, "bot.nick: a nick is at most 32 bytes long");
        if (b->greeted && link_is_open(b->link))
            return script_error(L, "bot.nick cannot be set on a connection that has said hello");
        memcpy(b->nick, nick, len + 1);
        b->renamed = true;
    } else if (strcmp(name, "tls") == 0) {
        b->tls = lua_toboolean(L, 3);
    } else {
        return luaL_error(L, "bot.%s is not to be set", name);
    }
    return 0;
}

static int set(lua_State *L)
{
    struct bot *b = *(struct bot **)lua_touserdata(L, 1);
    const char *name = luaL_checkstring(L, 2);

    if (find_field(name) >= 0)
        return set_field(L, b, name);
    if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, 1, 1);
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    return 0;
}

void script_make_metatable(lua_State *L)
{
    luaL_newmetatable(L, SCRIPT_BOT);
    lua_newtable(L);
    luaL_setfuncs(L, script_ask_methods, 0);
    luaL_setfuncs(L, script_wait_methods, 0);
    luaL_setfuncs(L, script_act_methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, get, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, set);
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 1);
}

void script_push_bot(lua_State *L, struct bot *b)
{
    *(struct bot **)lua_newuserdatauv(L, sizeof b, 1) = b;
    luaL_setmetatable(L, SCRIPT_BOT);
    lua_pushvalue(L, -1);
    b->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

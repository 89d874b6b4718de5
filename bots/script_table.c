/* script_table.c: chatbot{...}: a script's table to settings and roles, what the command line overrules, and the global
 * `settings` that the script reads back; see script.h. */
#include "bots/script.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct overrule {
    const struct script_setting *list;
    size_t count;
    bool done;
};

static struct overrule overrule; /* of the script that is being loaded */

static const char *value_as_text(lua_State *L, int at, char *out, size_t size)
{
    if (lua_isboolean(L, at)) {
        snprintf(out, size, "%s", lua_toboolean(L, at) ? "yes" : "no");
    } else if (lua_istable(L, at)) { /* {min, max} */
        lua_geti(L, at, 1);
        lua_geti(L, at, 2);
        snprintf(out, size, "%.0f-%.0f", lua_tonumber(L, -2), lua_tonumber(L, -1));
        lua_pop(L, 2);
    } else if (lua_type(L, at) == LUA_TNUMBER) {
        snprintf(out, size, "%.14g", lua_tonumber(L, at));
    } else {
        snprintf(out, size, "%s", lua_tostring(L, at) != NULL ? lua_tostring(L, at) : "");
    }
    return out;
}

static int8_t tri_state(lua_State *L, const char *field)
{
    int type = lua_getfield(L, -1, field);
    int8_t value = (int8_t)(type == LUA_TNIL ? -1 : lua_toboolean(L, -1));

    lua_pop(L, 1);
    return value;
}

/* The role on top of the stack: {"name", bots = N, sends = false, tls = true, manual = true}. */
static void read_role(lua_State *L, struct run *r)
{
    struct run_role *role = &r->roles[r->role_count];

    if (!lua_istable(L, -1) || lua_geti(L, -1, 1) != LUA_TSTRING)
        luaL_error(L, "a role is a table with its name first: {\"talker\", bots = 5}");
    if (r->role_count == RUN_ROLES)
        luaL_error(L, "there are at most %d roles", RUN_ROLES);
    role->name = mem_strdup(lua_tostring(L, -1));
    lua_pop(L, 1);
    lua_getfield(L, -1, "bots");
    role->weight = luaL_optnumber(L, -1, 1);
    lua_pop(L, 1);
    if (!(role->weight >= 0))
        luaL_error(L, "role %s: its number of bots cannot be negative", role->name);
    role->sends = tri_state(L, "sends") != 0;
    role->tls = tri_state(L, "tls");
    role->manual = tri_state(L, "manual");
    r->role_count++;
}

static void read_roles(lua_State *L, struct run *r)
{
    for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
        read_role(L, r);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* Where the table has roles and no `bots`, the roles' numbers are what there is; else they are shares. */
static void add_up_roles(lua_State *L, struct run *r)
{
    double sum = 0;

    for (size_t i = 0; i < r->role_count; i++)
        sum += r->roles[i].weight;
    if (sum > 0 && lua_getfield(L, 1, "bots") == LUA_TNIL)
        r->settings.bots = sum;
    lua_settop(L, 1);
}

static void set(lua_State *L, struct run *r, const char *name, const char *value)
{
    const struct settings_entry *e = settings_find(name);
    const char *why;

    if (e == NULL)
        luaL_error(L, "there is no setting \"%s\"; chatbot --help lists them", name);
    else if (!settings_set(&r->settings, e, value, &why))
        luaL_error(L, "%s: %s, not \"%s\"", name, why, value);
}

/* What a script has of its own, as the global `settings` holds it; the command line may set these too. */
static bool set_custom(lua_State *L, const char *name, const char *value)
{
    bool known;
    char *end;
    double n;

    lua_getglobal(L, "settings");
    known = lua_getfield(L, -1, name) != LUA_TNIL;
    lua_pop(L, 1);
    if (known) {
        n = strtod(value, &end);
        if (end != value && *end == '\0')
            lua_pushnumber(L, n);
        else
            lua_pushstring(L, value);
        lua_setfield(L, -2, name);
    }
    lua_pop(L, 1);
    return known;
}

static void apply_overrule(lua_State *L, struct run *r)
{
    overrule.done = true;
    for (size_t i = 0; i < overrule.count; i++)
        if (!set_custom(L, overrule.list[i].name, overrule.list[i].value))
            set(L, r, overrule.list[i].name, overrule.list[i].value);
}

/* The script sees what is in force. */
static void publish(lua_State *L, struct run *r)
{
    char text[64], *end;
    double n;

    lua_getglobal(L, "settings");
    for (size_t i = 0; i < settings_count; i++) {
        settings_format(&r->settings, &settings_entries[i], text, sizeof text);
        n = strtod(text, &end);
        if (settings_entries[i].kind == SETTINGS_FLAG)
            lua_pushboolean(L, strcmp(text, "yes") == 0);
        else if (*end == '\0' && end != text)
            lua_pushnumber(L, n);
        else
            lua_pushstring(L, text);
        lua_setfield(L, -2, settings_entries[i].name);
    }
    lua_pop(L, 1);
}

static void read_custom(lua_State *L)
{
    lua_getglobal(L, "settings");
    for (lua_pushnil(L); lua_next(L, -3) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -4);
    }
    lua_pop(L, 1);
}

static void read_entry(lua_State *L, struct run *r, const char *name)
{
    char text[128];

    if (strcmp(name, "roles") == 0)
        read_roles(L, r);
    else if (strcmp(name, "custom") == 0)
        read_custom(L);
    else
        set(L, r, name, value_as_text(L, lua_gettop(L), text, sizeof text));
}

static int read_table(lua_State *L)
{
    struct run *r = lua_touserdata(L, lua_upvalueindex(1));

    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return luaL_error(L, "chatbot{...} takes names and values only");
        read_entry(L, r, lua_tostring(L, -2));
    }
    add_up_roles(L, r);
    apply_overrule(L, r);
    publish(L, r);
    lua_getglobal(L, "settings");
    return 1;
}

void script_open_table(struct run *r, const struct script_setting *list, size_t count)
{
    overrule = (struct overrule){.list = list, .count = count};
    lua_newtable(r->lua);
    lua_setglobal(r->lua, "settings");
    lua_pushlightuserdata(r->lua, r);
    lua_pushcclosure(r->lua, read_table, 1);
    lua_setglobal(r->lua, "chatbot");
}

static int apply_late(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);

    apply_overrule(L, r);
    publish(L, r);
    return 0;
}

int script_close_table(struct run *r)
{
    lua_State *L = r->lua;

    if (!overrule.done) { /* a script without chatbot{...} */
        lua_pushcfunction(L, apply_late);
        lua_pushlightuserdata(L, r);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
            fprintf(stderr, "chatbot: %s\n", lua_tostring(L, -1));
            return -1;
        }
    }
    if (r->role_count == 0)
        r->roles[r->role_count++] =
            (struct run_role){.name = mem_strdup("bot"), .weight = 1, .sends = true, .tls = -1, .manual = -1};
    return 0;
}

static void push_value(lua_State *L, const struct value *v)
{
    if (v->kind == VALUE_UINT)
        lua_pushinteger(L, (lua_Integer)v->number);
    else if (v->kind == VALUE_TRUE || v->kind == VALUE_FALSE)
        lua_pushboolean(L, v->kind == VALUE_TRUE);
    else
        lua_pushlstring(L, v->text, v->len);
}

void script_push_message(lua_State *L, const struct message *m)
{
    lua_newtable(L);
    for (int f = 0; f < MESSAGE_FIELD_COUNT; f++) {
        const struct value *v = message_get(m, (enum message_field)f);

        if (v == NULL || f == FIELD_TYPE)
            continue;
        push_value(L, v);
        lua_setfield(L, -2, message_field_name((enum message_field)f));
    }
    if (m->type == MESSAGE_UNKNOWN)
        push_value(L, &m->type_value);
    else
        lua_pushstring(L, message_type_name(m->type));
    lua_setfield(L, -2, "type");
}

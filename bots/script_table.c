/* script_table.c: chatbot{...}: a script's table to settings and roles, what the command line overrules, and
 * the global `settings` that the script reads back; see script.h. */
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

static const char role_keys[] = "bots, rate, sends, tls, manual";

/* -1: nothing is said of it. */
static int8_t tri_state(lua_State *L, const struct run_role *role, const char *key)
{
    if (!lua_isboolean(L, -1))
        script_error(L, "role %s: %s is true or false, not %s", role->name, key, luaL_tolstring(L, -1, NULL));
    return (int8_t)lua_toboolean(L, -1);
}

static double role_number(lua_State *L, const struct run_role *role, const char *key)
{
    if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0))
        script_error(L, "role %s: %s is a number from 0, not %s", role->name, key,
                     luaL_tolstring(L, -1, NULL));
    return lua_tonumber(L, -1);
}

static void read_role_entry(lua_State *L, struct run_role *role, const char *key)
{
    if (strcmp(key, "bots") == 0) {
        role->weight = role_number(L, role, key);
    } else if (strcmp(key, "rate") == 0) {
        role->rate = role_number(L, role, key);
    } else if (strcmp(key, "sends") == 0) {
        role->sends = tri_state(L, role, key) != 0;
    } else if (strcmp(key, "tls") == 0) {
        role->tls = tri_state(L, role, key);
    } else if (strcmp(key, "manual") == 0) {
        role->manual = tri_state(L, role, key);
    } else {
        script_error(L, "role %s: there is no \"%s\"; a role has its name and %s", role->name, key,
                     role_keys);
    }
}

/* The role on top of the stack: {"name", bots = N, sends = false, tls = true, manual = true}. */
static void read_role(lua_State *L, struct run *r)
{
    struct run_role *role = &r->roles[r->role_count];

    if (!lua_istable(L, -1) || lua_geti(L, -1, 1) != LUA_TSTRING)
        script_error(L, "a role is a table with its name first: {\"talker\", bots = 5}");
    if (r->role_count == RUN_ROLES)
        script_error(L, "there are at most %d roles", RUN_ROLES);
    *role = (struct run_role){
        .name = mem_strdup(lua_tostring(L, -1)), .weight = 1, .sends = true, .tls = -1, .manual = -1};
    r->role_count++;
    lua_pop(L, 1);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            read_role_entry(L, role, lua_tostring(L, -2));
        else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != 1)
            script_error(L, "role %s: besides its name a role has %s", role->name, role_keys);
    }
}

static void read_roles(lua_State *L, struct run *r)
{
    if (!lua_istable(L, -1))
        script_error(L, "roles is a list of roles: roles = { {\"talker\", bots = 5} }, not %s",
                     luaL_tolstring(L, -1, NULL));
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
        script_error(
            L, "there is no setting \"%s\"; there are roles, custom, and those that chatbot --help lists",
            name);
    else if (!settings_set(&r->settings, e, value, &why))
        script_error(L, "%s: %s, not \"%s\"", name, why, value);
}

/* It is no fault of the script's, so no line of it is named. */
static int blame_command_line(lua_State *L, const struct script_setting *s, const char *why)
{
    lua_pushfstring(L, "on the command line, %s=%s: %s", s->name, s->value, why);
    return lua_error(L);
}

/* As the script's own value of that name is: a text, a number, true or false. */
static void push_as(lua_State *L, int type, const struct script_setting *s)
{
    char *end;
    double n = strtod(s->value, &end);
    bool yes = strcmp(s->value, "yes") == 0 || strcmp(s->value, "true") == 0;

    if (type == LUA_TBOOLEAN) {
        if (!yes && strcmp(s->value, "no") != 0 && strcmp(s->value, "false") != 0)
            blame_command_line(L, s, "yes or no is expected");
        lua_pushboolean(L, yes);
    } else if (type == LUA_TNUMBER) {
        if (end == s->value || *end != '\0')
            blame_command_line(L, s, "a number is expected");
        lua_pushnumber(L, n);
    } else {
        lua_pushstring(L, s->value);
    }
}

/* What a script has of its own, as the global `settings` holds it; the command line may set these too. */
static bool set_custom(lua_State *L, const struct script_setting *s)
{
    int type;

    lua_getglobal(L, "settings");
    type = lua_getfield(L, -1, s->name);
    lua_pop(L, 1);
    if (type != LUA_TNIL) {
        push_as(L, type, s);
        lua_setfield(L, -2, s->name);
    }
    lua_pop(L, 1);
    return type != LUA_TNIL;
}

static void apply_overrule(lua_State *L, struct run *r)
{
    overrule.done = true;
    for (size_t i = 0; i < overrule.count; i++) {
        const struct script_setting *s = &overrule.list[i];
        const struct settings_entry *e = settings_find(s->name);
        const char *why =
            "there is no such setting, neither chatbot's (see --help) nor in the script's custom";

        if (set_custom(L, s))
            continue;
        if (e == NULL || !settings_set(&r->settings, e, s->value, &why))
            blame_command_line(L, s, why);
    }
}

/* The script sees what is in force. */
static void publish(lua_State *L, struct run *r)
{
    char text[64];

    lua_getglobal(L, "settings");
    for (size_t i = 0; i < settings_count; i++) {
        const struct settings_entry *e = &settings_entries[i];

        settings_format(&r->settings, e, text, sizeof text);
        if (e->kind == SETTINGS_FLAG)
            lua_pushboolean(L, strcmp(text, "yes") == 0);
        else if (settings_is_number(&r->settings, e))
            lua_pushnumber(L, strtod(text, NULL));
        else
            lua_pushstring(L, text);
        lua_setfield(L, -2, e->name);
    }
    lua_pop(L, 1);
}

static void read_custom(lua_State *L)
{
    if (!lua_istable(L, -1))
        script_error(L, "custom is a table of the script's own values, not %s", luaL_tolstring(L, -1, NULL));
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

    if (!lua_istable(L, 1))
        return script_error(L, "chatbot takes a table: chatbot { bots = 10 }");
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return script_error(L, "chatbot{...} takes names and values only");
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

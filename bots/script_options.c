/* script_options.c: the last argument of most methods, a table: what may stand in it; see script.h. */
#include "bots/script.h"

#include <stdarg.h>
#include <string.h>

/* kinds: of Lua's types, by their first letter. */
static const struct {
    const char *name, *kinds, *what;
} options[] = {
    {"within", "n", "seconds"},
    {"may_fail", "bst", "true, an error's code, or a list of them"},
    {"lines", "b", "true or false"},
    {"tls", "b", "true or false"},
    {"on_eof", "s", "\"drain\" or \"stay\""},
    {"resume", "b", "true or false"},
    {"after", "nb", "a seq, or true"},
    {"before", "n", "a seq"},
    {"around", "n", "a seq"},
    {"limit", "n", "a number"},
    {"room", "s", "a room's name"},
    {"key", "s", "a text"},
    {"wait", "b", "true or false"},
};

static const struct {
    const char *method, *takes; /* in words, separated by ", " */
} methods[] = {
    {"connect", "tls, within, may_fail"},
    {"login", "on_eof, resume, within, may_fail"},
    {"enter", "tls, on_eof, resume, within, may_fail"},
    {"join", "after, within, may_fail"},
    {"send", "room, key, wait, within, may_fail"},
    {"request", "lines, within, may_fail"},
    {"leave", "within, may_fail"},
    {"who", "lines, within, may_fail"},
    {"rooms", "lines, within, may_fail"},
    {"ping", "within, may_fail"},
    {"topic", "room, within, may_fail"},
    {"history", "room, before, after, around, limit, lines, within, may_fail"},
};

static void push_where(lua_State *L)
{
    lua_Debug ar;

    for (int level = 0; lua_getstack(L, level, &ar) != 0; level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strcmp(ar.source, "=prelude") != 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

int script_error(lua_State *L, const char *format, ...)
{
    va_list args;

    push_where(L);
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    return lua_error(L);
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; len > 0 && (at = strstr(at, word)) != NULL; at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

static const char *what_it_takes(const char *method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i].method, method) == 0)
            return methods[i].takes;
    return "";
}

/* The name is below its value on top of the stack. */
static void check_option(lua_State *L, const char *method)
{
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;

    if (name == NULL) {
        script_error(L, "%s: its options are names and values; it takes %s", method, what_it_takes(method));
        return; /* for those who do not know that an error does not come back */
    }
    if (!has_word(what_it_takes(method), name))
        script_error(L, "%s: there is no option \"%s\"; it takes %s", method, name, what_it_takes(method));
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(options[i].name, name) != 0)
            continue;
        if (strchr(options[i].kinds, luaL_typename(L, -1)[0]) == NULL ||
            (strcmp(name, "on_eof") == 0 && strcmp(lua_tostring(L, -1), "stay") != 0 &&
             strcmp(lua_tostring(L, -1), "drain") != 0))
            script_error(L, "%s: %s is %s, not %s", method, name, options[i].what,
                         luaL_tolstring(L, -1, NULL));
    }
}

void script_check_options(lua_State *L, int at, const char *method)
{
    if (lua_isnoneornil(L, at))
        return;
    if (!lua_istable(L, at))
        script_error(L, "%s: its last argument is a table of options, not a %s; it takes %s", method,
                     luaL_typename(L, at), what_it_takes(method));
    for (lua_pushnil(L); lua_next(L, at) != 0; lua_pop(L, 1))
        check_option(L, method);
}

int script_check_options_of(lua_State *L)
{
    script_check_options(L, 2, luaL_checkstring(L, 3));
    return 0;
}

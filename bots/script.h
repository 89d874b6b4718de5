/* script.h: the script of a run, in Lua: its table, and each bot's coroutine.
 *
 * One lua_State, one coroutine a bot. bot.c calls what is here when something comes that the script may wait for; a
 * coroutine is never resumed from inside another, nor from inside a function that the script has called. */
#ifndef BOTS_SCRIPT_H
#define BOTS_SCRIPT_H

#include "bots/bot.h"
#include "bots/run.h"

#include <lauxlib.h>
#include <lua.h>

/* A `name=value` of the command line. */
struct script_setting {
    const char *name, *value;
};

/* Reads the script and its table into r->settings and r->roles, overruled by the list. -1: something is wrong in it,
 * and that was said on stderr. */
int script_load(struct run *r, const struct script_setting *overrule, size_t count);
void script_close(struct run *r);

void script_start(struct bot *b);
void script_timer(struct bot *b);
void script_up(struct bot *b);
void script_drained(struct bot *b);
void script_line(struct bot *b, const struct message *m);
void script_answer(struct bot *b, const struct message *m, bool final); /* to request b->asked */
void script_acked(struct bot *b, uint32_t serial, uint64_t seq, const struct message *error);
void script_heard(struct bot *b);   /* a message or a gap of a room was taken in */
void script_ended(struct bot *b);   /* the connection has; b->end says how */
void script_over(struct bot *b);    /* turns are over: ends a wait that would go on for its own sake */
void script_traffic(struct bot *b); /* turns begin */

#define SCRIPT_BOT "chatbot.bot" /* the metatable of bots */

struct bot *script_check_bot(lua_State *L);  /* the first argument */
struct bot *script_check_link(lua_State *L); /* the same; an error where it has no connection */

/* The methods of a bot: those that wait for something, and those that do not. For luaL_setfuncs. */
extern const luaL_Reg script_wait_methods[], script_act_methods[];

/* script_field.c: what a bot has besides methods; makes the metatable. */
void script_make_metatable(lua_State *L);
void script_push_bot(lua_State *L, struct bot *b);

/* What a wait can end in besides results: an error, a light userdata of this address, that takes the script to its end.
 * The run is over; or the connection is, which was told already. */
extern const char script_run_is_over[], script_is_gone[];
extern const char script_prelude[];

/* script_table.c: chatbot{...}, before the script is run and after it. */
void script_open_table(struct run *r, const struct script_setting *overrule, size_t count);
int script_close_table(struct run *r);
void script_push_message(lua_State *L, const struct message *m);

#endif

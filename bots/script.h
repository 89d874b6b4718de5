/* script.h: the script of a run, in Lua: its table, and each bot's coroutine.
 *
 * One lua_State, one coroutine a bot. bot.c calls what is here when something comes that the script may wait
 * for; a coroutine is never resumed from inside another, nor from inside a function that the script has
 * called. */
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

/* Reads the script and its table into r->settings and r->roles, overruled by the list. -1: something is wrong
 * in it, and that was said on stderr. */
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

/* Open loop: how many turns of this bot's were due in that time and have not begun. */
uint64_t script_missed_turns(struct bot *b, uint64_t from_us, uint64_t to_us);

#define SCRIPT_BOT "chatbot.bot" /* the metatable of bots */

struct bot *script_check_bot(lua_State *L);  /* the first argument */
struct bot *script_check_link(lua_State *L); /* the same; an error where it has no connection */

/* The methods of a bot: those that wait for something, and those that do not. For luaL_setfuncs. */
extern const luaL_Reg script_ask_methods[], script_wait_methods[], script_act_methods[];

/* script_ask.c, for what waits. options: the index of a method's last argument, a table or not. base:
 * arguments below the results; the last of them is the options. */
int script_give_up(lua_State *L, const char *why); /* ends the script: see above; to be returned */
uint64_t script_from_now(double seconds);
void script_linger(struct bot *b); /* script.c: turns are over; waits for an end that may not come */
uint64_t script_deadline(lua_State *L, struct bot *b, int options);
int script_after_answer(lua_State *L, int status, lua_KContext base);

int script_ask_unchecked(lua_State *L); /* request, with whatever options */

/* script_options.c: an error that says where in the script it was, whatever of chatbot's own lies between; to
 * be returned. */
int script_error(lua_State *L, const char *format, ...);

/* at: of a method's last argument, which is nil or a table of what that method takes. */
void script_check_options(lua_State *L, int at, const char *method);
int script_check_options_of(lua_State *L); /* the same for the prelude: bot, options, method */

/* script_field.c: what a bot has besides methods; makes the metatable. */
void script_make_metatable(lua_State *L);
void script_push_bot(lua_State *L, struct bot *b);

/* What a wait can end in besides results: an error, a light userdata of this address, that takes the script
 * to its end. The run is over; or the connection is, which was told already. */
extern const char script_run_is_over[], script_is_gone[];
extern const char script_prelude[];

/* script_table.c: chatbot{...}, before the script is run and after it. */
void script_open_table(struct run *r, const struct script_setting *overrule, size_t count);
int script_close_table(struct run *r);
void script_push_message(lua_State *L, const struct message *m);

#endif

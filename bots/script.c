/* script.c: loads a script and runs its coroutines; see script.h. */
#include "bots/script.h"

#include "common/clock.h"

#include <lualib.h>
#include <stdio.h>
#include <string.h>

const char script_run_is_over[] = "the run is over", script_is_gone[] = "the connection is gone";

/* Collect when half as much again is in use: thousands of coroutines are mostly asleep. */
#define GC_PAUSE  150
#define LINGER_US 1000000 /* when turns are over, for an end that neither side has begun */
#define FRAME     "chatbot.frame"
#define SLICE     20000 /* instructions that a bot may run for before the others have a turn; under 1 ms */

static int say(const char *what, lua_State *L)
{
    fprintf(stderr, "chatbot: %s%s\n", what, lua_tostring(L, -1));
    return -1;
}

static int make_frame(lua_State *L)
{
    if (luaL_loadbuffer(L, script_prelude, strlen(script_prelude), "=prelude") != LUA_OK)
        return -1;
    luaL_getmetatable(L, SCRIPT_BOT);
    lua_getfield(L, -1, "methods");
    lua_remove(L, -2);
    lua_pushlightuserdata(L, (void *)script_run_is_over);
    lua_pushlightuserdata(L, (void *)script_is_gone);
    lua_pushcfunction(L, script_check_options_of);
    lua_pushcfunction(L, script_ask_unchecked);
    if (lua_pcall(L, 5, 1, 0) != LUA_OK)
        return -1;
    lua_setfield(L, LUA_REGISTRYINDEX, FRAME);
    return 0;
}

static int find_functions(struct run *r)
{
    for (size_t i = 0; i < r->role_count; i++) {
        int type = lua_getglobal(r->lua, r->roles[i].name);

        lua_pop(r->lua, 1);
        if (type != LUA_TFUNCTION) {
            fprintf(stderr, "chatbot: %s has no function %s(bot): that is what its bots would run\n", r->path,
                    r->roles[i].name);
            return -1;
        }
    }
    return 0;
}

int script_load(struct run *r, const struct script_setting *overrule, size_t count)
{
    lua_State *L = luaL_newstate();

    r->lua = L;
    *(struct run **)lua_getextraspace(L) = r; /* each coroutine gets a copy */
    luaL_openlibs(L);
    lua_gc(L, LUA_GCINC, GC_PAUSE, 0, 0);
    script_make_metatable(L);
    if (make_frame(L) != 0)
        return say("", L);
    script_open_table(r, overrule, count);
    if (luaL_loadfile(L, r->path) != LUA_OK || lua_pcall(L, 0, 0, 0) != LUA_OK)
        return say("", L);
    if (script_close_table(r) != 0)
        return -1;
    return find_functions(r);
}

void script_close(struct run *r)
{
    if (r->lua != NULL)
        lua_close(r->lua);
    r->lua = NULL;
}

/* ---- running a coroutine */

static void end_script(struct bot *b)
{
    lua_State *L = b->run->lua;

    bot_stop_waiting(b);
    luaL_unref(L, LUA_REGISTRYINDEX, b->co_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, b->self_ref);
    b->co_ref = b->self_ref = LUA_NOREF;
    b->co = NULL;
    b->is_over = true;
    bot_close(b, false);
    if (b->state != STATE_DONE)
        bot_set_state(b, STATE_DONE);
    if (!b->ready) {
        b->ready = true;
        run_bot_is_ready(b->run);
    }
    run_bot_is_over(b->run);
}

/* Who runs on and on is taken back for a moment, so that a run goes on and can be interrupted whatever its
 * script does. Where Lua cannot do that, inside a coroutine of the script's own or below a function of C, an
 * interrupt is an error. */
static void on_slice(lua_State *L, lua_Debug *ar)
{
    const struct run *r = *(struct run **)lua_getextraspace(L);

    (void)ar;
    if (r->running != NULL && r->running->co == L && lua_isyieldable(L)) {
        lua_yield(L, 0);
        return;
    }
    clock_mono_us(); /* thread sanitizer keeps a signal back until the next call of the C library's */
    if (run_signals() > 0)
        luaL_error(L, "interrupted");
}

/* What it gets is on top of its stack. */
static void resume(struct bot *b, int args)
{
    int results, status;

    bot_stop_waiting(b);
    b->run->running = b;
    lua_sethook(b->co, on_slice, LUA_MASKCOUNT, SLICE); /* anew: the count is that since it was resumed */
    status = lua_resume(b->co, b->run->lua, args, &results);
    b->run->running = NULL;
    if (status == LUA_YIELD) {
        lua_pop(b->co, results);
        if (b->wait == WAIT_NOTHING)
            bot_wait(b, WAIT_SLICE, clock_mono_us() + 1);
        return;
    }
    if (status != LUA_OK)
        bot_wrong(b, CHECK_SCRIPT, "%s", lua_tostring(b->co, -1));
    end_script(b);
}

static void resume_with(struct bot *b, const char *failure)
{
    lua_pushnil(b->co);
    lua_pushstring(b->co, failure);
    resume(b, 2);
}

void script_start(struct bot *b)
{
    lua_State *L = b->run->lua;

    b->co = lua_newthread(L);
    b->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    b->entry_us = b->timer.at_us;
    lua_getfield(b->co, LUA_REGISTRYINDEX, FRAME);
    script_push_bot(b->co, b);
    lua_getglobal(b->co, bot_role(b));
    resume(b, 2);
}

static void start_turn(struct bot *b)
{
    b->in_turn = true;
    if (!b->awaits)
        stats_turn(&b->run->stats, b->due_us);
    lua_pushnumber(b->co, (double)(b->due_us - b->run->traffic_us) / 1e6);
    resume(b, 1);
}

static void interrupt(struct bot *b)
{
    b->interrupted = true;
    resume(b, 0);
}

/* The server may be about to end it, for something that was said before. */
void script_linger(struct bot *b)
{
    bot_wait(b, WAIT_END, clock_mono_us() + LINGER_US);
    b->lingers = true;
}

void script_timer(struct bot *b)
{
    switch ((enum bot_wait)b->wait) {
    case WAIT_START:
        script_start(b);
        break;
    case WAIT_OPEN:
        bot_wait(b, WAIT_UP, 0);
        bot_connect(b);
        break;
    case WAIT_SLEEP:
    case WAIT_SLICE:
        resume(b, 0);
        break;
    case WAIT_TURN:
        start_turn(b);
        break;
    case WAIT_TRICKLE:
        if (!bot_step_trickle(b))
            resume(b, 0);
        break;
    case WAIT_UP:
    case WAIT_ANSWER:
    case WAIT_SENT:
    case WAIT_LINE:
    case WAIT_ROOM:
    case WAIT_ACKS:
    case WAIT_TAIL:
        resume_with(b, "timeout");
        break;
    case WAIT_END:
        if (b->lingers)
            interrupt(b);
        else
            resume_with(b, "timeout");
        break;
    case WAIT_NOTHING:
        break;
    }
}

void script_traffic(struct bot *b)
{
    if (b->wait != WAIT_TURN)
        return;
    b->due_us = b->run->traffic_us + b->offset_us;
    bot_wait(b, WAIT_TURN, b->due_us);
}

void script_over(struct bot *b)
{
    switch ((enum bot_wait)b->wait) {
    case WAIT_START:
        bot_stop_waiting(b);
        end_script(b);
        break;
    case WAIT_TURN:
        resume(b, 0);
        break;
    case WAIT_END:
        if (!bot_is_ending(b))
            script_linger(b);
        break;
    case WAIT_LINE: /* what it waits for may be on its way */
        b->may_get_error |= b->wanted->type == MESSAGE_ERROR || b->wanted->type == MESSAGE_UNKNOWN;
        interrupt(b);
        break;
    case WAIT_SLEEP:
    case WAIT_TRICKLE:
        interrupt(b);
        break;
    default:
        break;
    }
}

/* ---- what comes */

void script_up(struct bot *b)
{
    if (b->wait != WAIT_UP)
        return;
    lua_pushboolean(b->co, 1);
    resume(b, 1);
}

void script_drained(struct bot *b)
{
    if (b->wait == WAIT_ROOM)
        resume(b, 0);
}

void script_line(struct bot *b, const struct message *m)
{
    script_push_message(b->co, m);
    resume(b, 1);
}

static void push_code(lua_State *L, const struct message *error)
{
    const struct value *code = message_get_kind(error, FIELD_CODE, VALUE_STRING);

    lua_pushnil(L);
    lua_pushlstring(L, code != NULL ? code->text : "error", code != NULL ? code->len : 5);
}

void script_answer(struct bot *b, const struct message *m, bool final)
{
    if (b->wait != WAIT_ANSWER)
        return;
    if (!final) {
        if (b->lines_ref != LUA_NOREF) {
            lua_rawgeti(b->co, LUA_REGISTRYINDEX, b->lines_ref);
            script_push_message(b->co, m);
            lua_rawseti(b->co, -2, (lua_Integer)lua_rawlen(b->co, -2) + 1);
            lua_pop(b->co, 1);
        }
    } else if (m->type == MESSAGE_ERROR) {
        push_code(b->co, m);
        resume(b, 2);
    } else {
        script_push_message(b->co, m);
        resume(b, 1);
    }
}

void script_acked(struct bot *b, uint32_t serial, uint64_t seq, const struct message *error)
{
    const struct value *code;

    if (b->wait == WAIT_SENT && b->asked == serial) {
        if (error != NULL)
            push_code(b->co, error);
        else
            lua_pushinteger(b->co, (lua_Integer)seq);
        resume(b, error != NULL ? 2 : 1);
    } else if (error != NULL && !b->blind) {
        code = message_get_kind(error, FIELD_CODE, VALUE_STRING);
        bot_wrong(b, CHECK_ANSWER, "send %u was refused: %.*s", serial, code != NULL ? (int)code->len : 0,
                  code != NULL ? code->text : "");
    }
    if (b->wait == WAIT_ACKS && check_all_acked(&b->check)) {
        lua_pushboolean(b->co, 1);
        resume(b, 1);
    }
}

void script_heard(struct bot *b)
{
    if (b->wait == WAIT_TAIL && check_has_all(&b->check)) {
        lua_pushboolean(b->co, 1);
        resume(b, 1);
    }
}

void script_ended(struct bot *b)
{
    const char *how = stats_end_name((enum stats_end)b->end);

    switch ((enum bot_wait)b->wait) {
    case WAIT_UP:
        resume_with(b, how);
        break;
    case WAIT_END:
        lua_pushstring(b->co, how);
        resume(b, 1);
        break;
    case WAIT_ANSWER:
    case WAIT_SENT:
    case WAIT_LINE:
    case WAIT_ROOM:
    case WAIT_ACKS:
    case WAIT_TAIL:
    case WAIT_TRICKLE:
        resume_with(b, "closed");
        break;
    default:
        break;
    }
}

/* lifecycle_trace.c: see lifecycle_trace.h. */
#include "common/lifecycle_trace.h"

#include "common/sockdiag.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void lifecycle_trace_state(struct lifecycle *l, enum tcp_state state, const char *source,
                           const struct tcp_facts *facts)
{
    if (!trace_is_on() || l->id == 0 || state == TCP_STATE_UNKNOWN ||
        state == (enum tcp_state)l->traced_state)
        return;
    trace_state(l->id, (enum tcp_state)l->traced_state, state, source, facts);
    l->traced_state = (uint8_t)state;
}

void lifecycle_trace_call(struct lifecycle *l, const char *call, long ret, const struct tcp_facts *facts,
                          const char *more)
{
    bool tells = facts != NULL && facts->state != TCP_STATE_UNKNOWN;

    if (!trace_is_on() || l->id == 0)
        return;
    trace_call(l->id, call, ret, tells ? facts : NULL, more);
    if (tells && facts->state != TCP_STATE_CLOSED)
        lifecycle_trace_state(l, facts->state, facts->source, NULL);
}

void lifecycle_trace_ends(struct lifecycle *l, int fd, struct tcp_addr *local, uint64_t cookie)
{
    struct trace_ends ends = {.peer = l->peer, .cookie = cookie};
    bool is_due = trace_is_on() && l->id != 0 && !l->traced_ends;
    struct tcp_syn syn;

    ends.has_isn = is_due && l->accepted && tcp_take_saved_syn(fd, &syn);
    if (ends.has_isn)
        *local = syn.local;
    else
        tcp_get_local(fd, local);
    if (!is_due)
        return;
    l->traced_ends = true;
    ends.local = *local;
    if (ends.has_isn)
        ends.isn = syn.isn;
    trace_connection(l->id, &ends);
}

void lifecycle_trace_closing(const struct lifecycle *l, int fd, struct lifecycle_last *last)
{
    *last = (struct lifecycle_last){0};
    if (!trace_is_on() || l->id == 0 || l->was_reset || l->timed_out) /* then nothing is left of it */
        return;
    /* Whose FIN was first, not whose close_notify: else there is nothing to ask for afterwards. */
    if (l->self_ended ? !l->passive : l->ended_first != LIFECYCLE_PEER)
        tcp_get_local(fd, &last->local);
    if (!l->peer_ended && ioctl(fd, FIONREAD, &last->unread) != 0)
        last->unread = 0;
}

/* Rare enough for a descriptor of its own, which then is not there for good. */
bool lifecycle_is_in_time_wait(const struct lifecycle *l, int fd)
{
    struct sockdiag_socket s;
    struct tcp_addr local;
    int diag = sockdiag_open();
    bool waits;

    if (diag < 0)
        return false;
    tcp_get_local(fd, &local);
    waits = sockdiag_find(diag, &local, &l->peer, &s) == 1 && s.state == TCP_STATE_TIME_WAIT;
    close(diag);
    return waits;
}

/* A closed socket has no TCP_INFO. */
static void ask_what_is_left(struct lifecycle *l, const struct lifecycle_last *last)
{
    static _Thread_local int diag = -1;
    struct sockdiag_socket s;

    if (diag < 0)
        diag = sockdiag_open();
    if (diag >= 0 && sockdiag_find(diag, &last->local, &l->peer, &s) == 1)
        lifecycle_trace_state(l, s.state, "sock_diag", s.facts.source != NULL ? &s.facts : NULL);
}

void lifecycle_trace_closed(struct lifecycle *l, const struct lifecycle_last *last, long ret, bool abort,
                            const char *reason, const char *how, const struct tcp_facts *before)
{
    static const char *const ends[] = {"none", "self", "peer"};
    bool waits_for_end = l->self_ended && !l->peer_ended; /* in vain: `reason` is why we ended then */
    bool over = l->was_reset || abort || l->timed_out || last->unread > 0;
    char more[64];

    if (!trace_is_on() || l->id == 0)
        return;
    if (last->unread > 0)
        snprintf(more, sizeof more, "unread=%d", last->unread);
    trace_call(l->id, "close", ret, before->state != TCP_STATE_UNKNOWN ? before : NULL,
               last->unread > 0 ? more : NULL);
    if (abort || last->unread > 0)
        trace_reset(l->id, true, !abort ? more : waits_for_end ? "linger" : reason);
    if (!over && l->established && last->local.family != 0)
        ask_what_is_left(l, last);
    trace_closed(l->id, ends[l->ended_first], how, reason, l->bytes_in, l->bytes_out);
}

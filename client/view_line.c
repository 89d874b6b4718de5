/* view_line.c: chat on a terminal. */
#include "client/chat.h"

void view_line_run(struct chat *chat)
{
    view_pipe_run(chat);
}

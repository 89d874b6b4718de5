/* view.h: the views of chat: a terminal's lines, a pipe, JSON for scripts. Each runs until it is over, with its
 * exit code in chat->exit_code. One thread. */
#ifndef CLIENT_VIEW_H
#define CLIENT_VIEW_H

#include "client/chat.h"

void view_pipe_run(struct chat *chat);
void view_json_run(struct chat *chat);
void view_line_run(struct chat *chat);

#endif

/* data.h: what the server keeps: where that is when nothing says so, made where it is missing, and opened.
 * The main thread, at the start. */
#ifndef SERVER_DATA_H
#define SERVER_DATA_H

#include "server/config.h"

struct store;

/* A service manager's $STATE_DIRECTORY, else chatd in $XDG_STATE_HOME, else for root /var/lib/chatd where
 * that can be written, else ~/.local/state/chatd. The caller's; NULL where none of them is known. Nothing is
 * made. */
char *data_default_dir(void);

/* Makes it, and what leads to it, for this user alone (0700); what is there stays as it is. NULL is memory.
 * False, and a sentence on stderr, where it cannot be made or not be written to. */
bool data_make_dir(const char *dir);

/* Opens what the settings say. NULL, and a sentence on stderr, where that can't be. */
struct store *data_open_store(const struct config *c);

void data_tell_where(const struct config *c); /* to the log */

#endif

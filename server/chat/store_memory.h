/* store_memory.h: the store that keeps no messages: rooms have what they hold themselves. Facts live in a
 * database of this process's own, made for the first of them. Everything is done at once, on the caller's
 * thread. Private to store*.c. */
#ifndef CHAT_STORE_MEMORY_H
#define CHAT_STORE_MEMORY_H

#include "server/chat/store.h"

struct store *store_memory_open(void);

#endif

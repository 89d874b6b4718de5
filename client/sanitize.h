/* sanitize.h: text of others, made fit for a terminal.
 *
 * A terminal obeys what is written to it: escape sequences move the cursor, change its title, answer with
 * keystrokes; bidi overrides make a line read otherwise than it is. None of that may come from the wire.
 * Everything of others that is shown goes through here, nicks and room names and error texts too. Any
 * thread. */
#ifndef CLIENT_SANITIZE_H
#define CLIENT_SANITIZE_H

#include "common/buf.h"

#include <stdbool.h>

/* Appends the text with what a terminal would obey made visible: C0 and DEL as ^[ and ^?, C1, bidi
 * embeddings, overrides and isolates, and Unicode's own line ends as <U+202E>, a tab as spaces, what is no
 * UTF-8 as U+FFFD. A line feed becomes ^J. Marks that only stick to a letter, joiners and variation selectors
 * stay: emoji and scripts need them. */
void sanitize_put(struct buf *b, const char *text, size_t len);

/* The same for a whole text that may have several lines: each LF (or CR LF) is kept as LF and followed by
 * indent, so that no part of it can pass for a line of its own. */
void sanitize_put_lines(struct buf *b, const char *text, size_t len, const char *indent);

/* For a line of JSON that goes to a terminal or a file: C1, DEL, bidi controls and line ends become \uXXXX,
 * which means the same to who parses it. The line has to be valid JSON without raw C0. */
void sanitize_put_json(struct buf *b, const char *line, size_t len);

#endif

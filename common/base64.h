/* base64.h: RFC 4648's base64 with its padding, and nothing else: no blanks, no line ends. Any thread. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>
#include <sys/types.h>

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1) /* of n bytes encoded, with a NUL */

/* Writes the text and a NUL; how long the text is. */
size_t base64_encode(const void *data, size_t len, char *out);

/* How many bytes were written; -1 where it is no base64, or more than size bytes. */
ssize_t base64_decode(const char *text, size_t len, void *out, size_t size);

#endif

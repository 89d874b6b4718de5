/* utf8.h: what the project needs of Unicode: is it valid, what is a nick, when are two nicks one. Any
 * thread. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past
 * U+10FFFF). */
bool utf8_is_valid(const char *text, size_t len);

/* Appends the code point's 1 to 4 bytes to out and says how many. */
size_t utf8_encode(uint32_t code_point, char *out);

#define UTF8_NICK_MAX 32
#define UTF8_FOLD_MAX 128 /* NFKC case folding can lengthen: what becomes longer than this folds to nothing */

/* Whether the bytes make a nick: 1 to 32 bytes of letters, marks and digits of any script, `_`, `-` and
 * `.`. */
bool utf8_is_nick(const char *text, size_t len);

/* Folds a valid nick (NFKC, then case folding; utf8proc) into out and says its length; 0 when it can't be
 * folded. Two nicks are one when their folded bytes are equal. */
size_t utf8_fold_nick(const char *text, size_t len, char out[UTF8_FOLD_MAX]);

#endif

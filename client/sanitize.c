/* sanitize.c: see sanitize.h. */
#include "client/sanitize.h"

#include "common/utf8.h"

#include <stdint.h>

#define TAB "    "

/* The code point at p (of len > 0 bytes) and how many bytes it takes; 0 bytes where it is not well formed. */
static size_t decode(const char *p, size_t len, uint32_t *c)
{
    unsigned char lead = (unsigned char)p[0];
    size_t n = lead < 0x80                   ? 1
               : lead >= 0xc2 && lead < 0xe0 ? 2
               : (lead & 0xf0) == 0xe0       ? 3
               : lead >= 0xf0                ? 4
                                             : 0;

    if (n == 0 || n > len || !utf8_is_valid(p, n))
        return 0;
    *c = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n; i++)
        *c = *c << 6 | ((unsigned char)p[i] & 0x3f);
    return n;
}

/* Those that a terminal obeys, or that change how the rest of the line reads, apart from C0. */
static bool is_active(uint32_t c)
{
    return (c >= 0x7f && c <= 0x9f)        /* DEL and C1: U+009B is a CSI */
           || (c >= 0x202a && c <= 0x202e) /* embeddings and overrides */
           || (c >= 0x2066 && c <= 0x2069) /* isolates */
           || c == 0x2028 || c == 0x2029   /* line and paragraph separator */
           || (c >= 0xfff9 && c <= 0xfffb) /* interlinear annotation hides text */
           || (c >= 0x206a && c <= 0x206f);
}

static void put_visible(struct buf *b, uint32_t c)
{
    if (c == '\t')
        buf_put_literal(b, TAB);
    else if (c < 0x20)
        buf_putf(b, "^%c", (int)('@' + c));
    else if (c == 0x7f)
        buf_put_literal(b, "^?");
    else
        buf_putf(b, "<U+%04X>", (unsigned)c);
}

void sanitize_put(struct buf *b, const char *text, size_t len)
{
    while (len > 0) {
        uint32_t c = 0;
        size_t n = decode(text, len, &c);

        if (n == 0) {
            buf_put_literal(b, "\xef\xbf\xbd");
            n = 1;
        } else if (c < 0x20 || is_active(c)) {
            put_visible(b, c);
        } else {
            buf_put(b, text, n);
        }
        text += n;
        len -= n;
    }
}

void sanitize_put_lines(struct buf *b, const char *text, size_t len, const char *indent)
{
    const char *lf;

    while (len > 0 && (lf = memchr(text, '\n', len)) != NULL) {
        size_t n = (size_t)(lf - text);

        sanitize_put(b, text, n > 0 && lf[-1] == '\r' ? n - 1 : n);
        buf_put_literal(b, "\n");
        buf_puts(b, indent);
        text += n + 1;
        len -= n + 1;
    }
    sanitize_put(b, text, len);
}

void sanitize_put_json(struct buf *b, const char *line, size_t len)
{
    while (len > 0) {
        uint32_t c = 0;
        size_t n = decode(line, len, &c);

        if (n == 0) {
            buf_put_literal(b, "\xef\xbf\xbd");
            n = 1;
        } else if (is_active(c)) {
            buf_putf(b, "\\u%04x", (unsigned)c);
        } else {
            buf_put(b, line, n);
        }
        line += n;
        len -= n;
    }
}

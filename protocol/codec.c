/* codec.c: encoding; see codec.h. Decoding is in decode.c. */
#include "protocol/codec.h"

#include "protocol/plain.h"

#define MSG_HEAD "{\"type\":\"msg\",\"room\":"

static const char *const type_names[] = {"",
#define X(name, text) text,
                                         MESSAGE_TYPES(X)
#undef X
};

static const char *const field_names[] = {
#define X(name, text) text,
    MESSAGE_FIELDS(X)
#undef X
};

const char *message_type_name(enum message_type type)
{
    return type_names[type];
}

const char *message_field_name(enum message_field field)
{
    return field_names[field];
}

static void put_escaped(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char out[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    const char *shorts = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (; *shorts != '\0'; shorts += 2)
        if ((unsigned char)*shorts == c) {
            out[1] = shorts[1];
            buf_put(b, out, 2);
            return;
        }
    buf_put(b, out, sizeof out);
}

void codec_put_string(struct buf *b, const char *text, size_t len)
{
    buf_reserve(b, len + 2);
    b->data[b->len++] = '"';
    while (len > 0) {
        size_t n = plain_len(text, len);

        buf_put(b, text, n);
        if (n < len)
            put_escaped(b, (unsigned char)text[n++]);
        text += n;
        len -= n;
    }
    buf_put_literal(b, "\"");
}

void codec_begin(struct buf *b, enum message_type type)
{
    buf_put_literal(b, "{\"type\":\"");
    buf_puts(b, type_names[type]);
    buf_put_literal(b, "\"");
}

static void put_name(struct buf *b, enum message_field f)
{
    static const struct {
        const char *text;
        size_t len;
    } names[] = {
#define X(name, text) {",\"" text "\":", sizeof(",\"" text "\":") - 1},
        MESSAGE_FIELDS(X)
#undef X
    };

    buf_put(b, names[f].text, names[f].len);
}

void codec_add(struct buf *b, enum message_field f, const char *text, size_t len)
{
    put_name(b, f);
    codec_put_string(b, text, len);
}

void codec_add_text(struct buf *b, enum message_field f, const char *text)
{
    codec_add(b, f, text, strlen(text));
}

void codec_add_uint(struct buf *b, enum message_field f, uint64_t number)
{
    put_name(b, f);
    buf_put_uint(b, number);
}

void codec_add_bool(struct buf *b, enum message_field f, bool value)
{
    put_name(b, f);
    buf_puts(b, value ? "true" : "false");
}

void codec_add_raw(struct buf *b, enum message_field f, const char *json, size_t len)
{
    put_name(b, f);
    buf_put(b, json, len);
}

void codec_end(struct buf *b)
{
    buf_put_literal(b, "}\n");
}

/* What is written for the most part: names of rooms and nicks, whose grammar has nothing to escape. */
static void put_name_of(struct buf *b, const char *text, size_t len)
{
    char *at = buf_reserve(b, len + 2);

    at[0] = '"';
    memcpy(at + 1, text, len);
    at[len + 1] = '"';
    b->len += len + 2;
}

static void put_msg_head(struct buf *b, const char *room, size_t room_len, uint64_t seq, const char *nick,
                         size_t nick_len, uint64_t time_ms)
{
    buf_put_literal(b, MSG_HEAD);
    put_name_of(b, room, room_len);
    buf_put_literal(b, ",\"seq\":");
    buf_put_uint(b, seq);
    buf_put_literal(b, ",\"nick\":");
    put_name_of(b, nick, nick_len);
    buf_put_literal(b, ",\"time\":");
    buf_put_uint(b, time_ms);
}

static void put_msg_text(struct buf *b, const char *text, size_t text_len)
{
    buf_put_literal(b, ",\"text\":");
    codec_put_string(b, text, text_len);
    codec_end(b);
}

void codec_put_msg(struct buf *b, const char *room, size_t room_len, uint64_t seq, const char *nick,
                   size_t nick_len, uint64_t time_ms, const char *text, size_t text_len)
{
    buf_reserve(b, room_len + nick_len + text_len + 128);
    put_msg_head(b, room, room_len, seq, nick, nick_len, time_ms);
    put_msg_text(b, text, text_len);
}

void codec_put_msg_about(struct buf *b, const char *room, size_t room_len, uint64_t seq, const char *nick,
                         size_t nick_len, uint64_t time_ms, enum message_field about, uint64_t of,
                         const char *text, size_t text_len)
{
    put_msg_head(b, room, room_len, seq, nick, nick_len, time_ms);
    codec_add_uint(b, about, of);
    put_msg_text(b, text, text_len);
}

void codec_put_msg_again(struct buf *b, const char *line, size_t len, const char *re, size_t re_len,
                         const char *room, size_t room_len)
{
    const char *name = line + sizeof MSG_HEAD - 1; /* at the quote of the room's name */
    const char *rest =
        memchr(name + 1, '"', len - (size_t)(name + 1 - line)); /* names of rooms hold no quote */

    buf_put_literal(b, "{\"type\":\"msg\"");
    if (re != NULL)
        codec_add(b, FIELD_RE, re, re_len);
    put_name(b, FIELD_ROOM);
    if (room != NULL)
        codec_put_string(b, room, room_len);
    else
        buf_put(b, name, (size_t)(rest + 1 - name));
    buf_put(b, rest + 1, len - (size_t)(rest + 1 - line));
}

uint64_t codec_msg_seq(const char *line, size_t len)
{
    const char *p = line + sizeof MSG_HEAD, *end = line + len;
    uint64_t seq = 0;

    p = memchr(p, '"', (size_t)(end - p));
    for (p += sizeof ",\"seq\":"; p < end && *p >= '0' && *p <= '9'; p++)
        seq = seq * 10 + (uint64_t)(*p - '0');
    return seq;
}

/* codec.h: lines to messages and messages to lines.
 *
 * Decoding is strict (RFC 8259, and protocol/PROTOCOL.md's limits), takes one pass, allocates nothing, and
 * writes into the line: strings with escapes are decoded in place. Any thread. */
#ifndef PROTOCOL_CODEC_H
#define PROTOCOL_CODEC_H

#include "common/buf.h"
#include "protocol/message.h"

enum codec_result {
    CODEC_OK,
    CODEC_BAD_JSON,
    CODEC_BAD_UTF8,
    CODEC_TOO_DEEP,
    CODEC_TWICE, /* a known field stands twice; m->twice says which. The rest of m is usable */
};

/* line has no LF. m->type is MESSAGE_UNKNOWN where "type" is missing, no string, or no type that exists.
 * where: a static text of what was wrong, unless CODEC_OK. */
enum codec_result codec_decode(char *line, size_t len, struct message *m, const char **where);

/* A JSON string with its quotes; text must be UTF-8. */
void codec_put_string(struct buf *b, const char *text, size_t len);

/* One line: begin, add fields, end. Names are literals without anything to escape. */
void codec_begin(struct buf *b, enum message_type type);
void codec_add(struct buf *b, enum message_field f, const char *text, size_t len);
void codec_add_text(struct buf *b, enum message_field f, const char *text);
void codec_add_uint(struct buf *b, enum message_field f, uint64_t number);
void codec_add_bool(struct buf *b, enum message_field f, bool value);
void codec_add_raw(struct buf *b, enum message_field f, const char *json, size_t len);
void codec_end(struct buf *b);

/* The line that a server writes most: {"type":"msg","room":…,"seq":…,"nick":…,"time":…,"text":…}. room and nick
 * are names that have been checked: nothing in them wants an escape. */
void codec_put_msg(struct buf *b, const char *room, size_t room_len, uint64_t seq, const char *nick,
                   size_t nick_len, uint64_t time_ms, const char *text, size_t text_len);

/* The same for a message about an earlier one: about is FIELD_EDITS or FIELD_REMOVES, of that seq. */
void codec_put_msg_about(struct buf *b, const char *room, size_t room_len, uint64_t seq, const char *nick,
                         size_t nick_len, uint64_t time_ms, enum message_field about, uint64_t of,
                         const char *text, size_t text_len);

/* Copies a line that codec_put_msg wrote (with its LF), with "re" put in where re is not NULL, and under
 * another room's name where room is not NULL. */
void codec_put_msg_again(struct buf *b, const char *line, size_t len, const char *re, size_t re_len,
                         const char *room, size_t room_len);

/* The seq of a line that codec_put_msg wrote. */
uint64_t codec_msg_seq(const char *line, size_t len);

#endif

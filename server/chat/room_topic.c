/* room_topic.c: what a room is about. The home's thread. See room.h. */
#include "common/mem.h"
#include "protocol/codec.h"
#include "server/chat/room.h"

static struct chunk *make_topic_line(const struct room *room, const struct ask *a, uint64_t now)
{
    struct buf line = {0};
    struct chunk *chunk;

    codec_begin(&line, MESSAGE_TOPIC);
    codec_add(&line, FIELD_ROOM, room->name, room->name_len);
    codec_add(&line, FIELD_NICK, a->nick, a->nick_len);
    codec_add(&line, FIELD_TEXT, a->text.data != NULL ? a->text.data : "", a->text.len);
    codec_add_uint(&line, FIELD_TIME, now);
    codec_end(&line);
    chunk = chunk_new_copy(line.data, line.len);
    buf_deinit(&line);
    return chunk;
}

void room_on_topic(struct reactor *r, struct post *p)
{
    struct ask *a = (struct ask *)p;
    struct room *room = room_find_or_refuse(r, a);
    struct turn *turn;
    struct refusal f;
    uint64_t now;

    if (room == NULL)
        return;
    if (room_refuses_topic(room, a, &f)) {
        ask_refuse(a, &f);
        ask_return(a, r);
        return;
    }
    room_flush(room);
    now = room_time(room);
    room_acknowledge(room, a, now);
    turn = room_new_turn(room);
    turn->chunk = make_topic_line(room, a, now);
    turn->write.topic = turn->topic = mem_strndup(a->text.len > 0 ? a->text.data : "", a->text.len);
    room_keep(room, turn);
    ask_return(a, r);
}

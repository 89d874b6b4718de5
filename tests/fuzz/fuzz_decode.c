/* fuzz_decode.c: any bytes as a line. What is taken is written again, and must be taken again and say the
 * same. */
#include "common/utf8.h"
#include "protocol/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_value(const struct value *v, const char *line, size_t len)
{
    if (v->text < line || v->text + v->len > line + len || !utf8_is_valid(v->text, v->len))
        abort();
    if (v->kind == VALUE_UINT && v->number > PROTOCOL_MAX_NUMBER)
        abort();
}

static void put_value(struct buf *b, enum message_field f, const struct value *v)
{
    switch ((enum value_kind)v->kind) {
    case VALUE_STRING:
        codec_add(b, f, v->text, v->len);
        break;
    case VALUE_UINT:
        codec_add_uint(b, f, v->number);
        break;
    case VALUE_TRUE:
    case VALUE_FALSE:
        codec_add_bool(b, f, v->kind == VALUE_TRUE);
        break;
    case VALUE_NUMBER:
    case VALUE_NULL:
    case VALUE_NESTED:
        codec_add_raw(b, f, v->text, v->len);
        break;
    }
}

static void compare(const struct message *a, const struct message *b)
{
    if (a->type != b->type || a->present != b->present)
        abort();
    for (int f = 0; f < MESSAGE_FIELD_COUNT; f++) {
        const struct value *x = message_get(a, (enum message_field)f),
                           *y = message_get(b, (enum message_field)f);

        if (x != NULL && (x->kind != y->kind || x->len != y->len || memcmp(x->text, y->text, x->len) != 0))
            abort();
    }
}

static void write_again(const struct message *m)
{
    struct buf b = {0};
    struct message again;
    const char *where;

    buf_puts(&b, "{\"unknown\":0");
    for (int f = 0; f < MESSAGE_FIELD_COUNT; f++)
        if (message_get(m, (enum message_field)f) != NULL)
            put_value(&b, (enum message_field)f, &m->fields[f]);
    codec_end(&b);
    if (codec_decode(b.data, b.len - 1, &again, &where) != CODEC_OK)
        abort();
    compare(m, &again);
    buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *line = malloc(len > 0 ? len : 1);
    const char *where = NULL;
    struct message m;
    enum codec_result result;

    if (line == NULL)
        return 0;
    memcpy(line, data, len);
    result = codec_decode(line, len, &m, &where);
    if (result != CODEC_OK && where == NULL)
        abort();
    if ((m.twice != 0) != (result == CODEC_TWICE) && (result == CODEC_OK || result == CODEC_TWICE))
        abort();
    if (result == CODEC_OK || result == CODEC_TWICE) {
        for (int f = 0; f < MESSAGE_FIELD_COUNT; f++)
            if (message_get(&m, (enum message_field)f) != NULL)
                check_value(&m.fields[f], line, len);
        write_again(&m);
    }
    free(line);
    return 0;
}

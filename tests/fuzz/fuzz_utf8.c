/* fuzz_utf8.c: any bytes as text, and as a nick. What is UTF-8, utf8proc knows too; what is a nick, folds
 * within its bounds, and what is folded folds into itself. */
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool utf8proc_takes(const uint8_t *data, size_t len)
{
    while (len > 0) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(data, (utf8proc_ssize_t)len, &c);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    char folded[UTF8_FOLD_MAX], again[UTF8_FOLD_MAX];
    size_t n, m;

    if (utf8_is_valid(text, len) != utf8proc_takes(data, len))
        abort();
    if (!utf8_is_nick(text, len))
        return 0;
    if (!utf8_is_valid(text, len))
        abort();
    n = utf8_fold_nick(text, len, folded);
    if (n > UTF8_FOLD_MAX || !utf8_is_valid(folded, n))
        abort();
    m = utf8_fold_nick(folded, n, again);
    if (m != n || memcmp(folded, again, n) != 0)
        abort();
    return 0;
}

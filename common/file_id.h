/* file_id.h: which file stands under a path. Any thread. */
#ifndef COMMON_FILE_ID_H
#define COMMON_FILE_ID_H

#include <stdint.h>

struct file_id {
    uint64_t device, number;
};

/* 0 or -errno. The file's times are not looked at: on Linux, since 6.13, the next write to a file after a look at its
 * times gives it a new one, which an fsync then has to write down as well. */
int file_id_of(const char *path, struct file_id *id);

#endif

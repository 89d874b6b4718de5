/* file_id_other.c: see file_id.h. */
#include "common/file_id.h"

#include <errno.h>
#include <sys/stat.h>

int file_id_of(const char *path, struct file_id *id)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return -errno;
    id->device = (uint64_t)st.st_dev;
    id->number = (uint64_t)st.st_ino;
    return 0;
}

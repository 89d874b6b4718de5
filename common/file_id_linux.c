/* file_id_linux.c: see file_id.h. */
#include "common/file_id.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int file_id_of(const char *path, struct file_id *id)
{
    struct statx st;

    if (statx(AT_FDCWD, path, 0, STATX_INO, &st) != 0)
        return -errno;
    id->device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
    id->number = st.stx_ino;
    return 0;
}

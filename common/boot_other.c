/* boot_other.c: see boot.h. */
#include "common/boot.h"

void boot_id(char out[BOOT_ID_SIZE])
{
    out[0] = '\0';
}

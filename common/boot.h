/* boot.h: which run of the machine this is. */
#ifndef COMMON_BOOT_H
#define COMMON_BOOT_H

#include <stddef.h>

#define BOOT_ID_SIZE 64

/* A text that is another one each time the machine is started; "" where the platform has no such thing, or does not
 * tell. */
void boot_id(char out[BOOT_ID_SIZE]);

#endif

/* fuzz_config.c: any bytes as a config file. What is taken must print as a file that is taken too; what is
 * refused must be refused by one line without control characters. */
#include "server/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[64];
static int memory = -1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int load(const void *data, size_t len, struct config *c, char err[CONFIG_ERROR_MAX])
{
    char *argv[] = {"chatd", "--config", path, NULL};

    if (memory < 0) {
        memory = memfd_create("config", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    }
    if (ftruncate(memory, 0) != 0 || pwrite(memory, data, len, 0) != (ssize_t)len)
        abort();
    return config_load(c, 3, argv, err, CONFIG_ERROR_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct config c;
    char err[CONFIG_ERROR_MAX] = "", *text = NULL;
    size_t textlen = 0;
    FILE *f;

    if (load(data, len, &c, err) < 0) {
        if (err[0] == '\0')
            abort();
        for (const char *p = err; *p != '\0'; p++) {
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                abort();
        }
        return 0;
    }
    f = open_memstream(&text, &textlen);
    config_print_check(f, &c);
    fclose(f);
    config_deinit(&c);
    if (load(text, textlen, &c, err) != CONFIG_SERVE)
        abort();
    config_deinit(&c);
    free(text);
    return 0;
}

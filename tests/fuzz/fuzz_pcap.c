/* fuzz_pcap.c: any bytes as a capture file. What is wrong with it must be one sentence without control
 * characters; what can be read of it must make a model that can be finished. */
#include "trace/pcap_flow.h"
#include "trace/verdict.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char path[64];
    static int memory = -1;
    char err[PCAPFILE_ERROR_SIZE] = "";
    struct model *m = model_new();

    if (memory < 0) {
        memory = memfd_create("capture", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    }
    if (ftruncate(memory, 0) != 0 || pwrite(memory, data, len, 0) != (ssize_t)len)
        abort();
    if (pcapflow_read(m, path, err) != 0) {
        if (err[0] == '\0')
            abort();
        for (const char *p = err; *p != '\0'; p++) {
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                abort();
        }
    }
    model_finish(m);
    for (size_t i = 0; i < m->count; i++)
        verdict_of(m->conns[i]);
    model_free(m);
    return 0;
}

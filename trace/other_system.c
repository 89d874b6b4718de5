/* other_system.c: lab and record where the system is not Linux: what they need of the kernel is not there. */
#include "trace/lab.h"
#include "trace/record.h"

#include <stdio.h>

int lab_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fprintf(stderr, "chat-trace: the labs need Linux (inet_diag, network namespaces)\n");
    return LAB_SKIPPED;
}

int record_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fprintf(
        stderr,
        "chat-trace: record needs Linux; tcpdump -w FILE captures, and chat-trace show FILE shows that\n");
    return 2;
}

/* capture_pcap.c: capture.h by libpcap. The thread owns the pcap_t and the file from start to stop. */
#include "trace/capture.h"

#include "common/mem.h"
#include "trace/pcap_file.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_BYTES (48 << 20)
#define HEADS_MAX  4096 /* a snaplen for heads alone */
#define BLOCK_MS   20   /* packets come in blocks at most that late */

struct capture {
    pcap_t *pcap;
    FILE *out;
    pthread_t thread;
    int stop; /* eventfd */
    bool comes_in_blocks;
};

bool capture_is_built(void)
{
    return true;
}

/* The numbers of links in files are not those of this system's headers, where the two differ. */
static uint32_t file_link(pcap_t *p)
{
    int link = pcap_datalink(p);

    return link == DLT_RAW ? PCAPFILE_RAW : (uint32_t)link;
}

static int activate(pcap_t *p, int snaplen, char err[CAPTURE_ERROR_SIZE])
{
    struct bpf_program only_tcp;
    int result;

    pcap_set_snaplen(p, snaplen);
    /* At once means a place in the ring of snaplen bytes for each packet: of whole ones 180 would fill it. */
    if (snaplen <= HEADS_MAX)
        pcap_set_immediate_mode(p, 1);
    else
        pcap_set_timeout(p, BLOCK_MS);
    pcap_set_buffer_size(p, RING_BYTES);
    pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
    result = pcap_activate(p);
    if (result < 0) {
        snprintf(err, CAPTURE_ERROR_SIZE, "%s",
                 result == PCAP_ERROR_PERM_DENIED ? CAPTURE_DENIED
                 : pcap_geterr(p)[0] != '\0'      ? pcap_geterr(p)
                                                  : pcap_statustostr(result));
        return -1;
    }
    if (pcap_compile(p, &only_tcp, "tcp", 1, PCAP_NETMASK_UNKNOWN) == 0) {
        pcap_setfilter(p, &only_tcp);
        pcap_freecode(&only_tcp);
    }
    pcap_setnonblock(p, 1, err);
    return 0;
}

static void take(u_char *arg, const struct pcap_pkthdr *h, const u_char *data)
{
    struct capture *c = (struct capture *)(void *)arg;
    bool is_nano = pcap_get_tstamp_precision(c->pcap) == PCAP_TSTAMP_PRECISION_NANO;
    struct pcapfile_packet p = {.len = h->len, .caught = h->caplen, .data = data};

    p.time_ns = (uint64_t)h->ts.tv_sec * 1000000000 + (uint64_t)h->ts.tv_usec * (is_nano ? 1 : 1000);
    pcapfile_put(c->out, &p);
}

static void *run(void *arg)
{
    struct capture *c = arg;
    struct pollfd wait[2] = {{.fd = pcap_get_selectable_fd(c->pcap), .events = POLLIN},
                             {.fd = c->stop, .events = POLLIN}};

    do {
        poll(wait, 2, -1);
        while (pcap_dispatch(c->pcap, -1, take, (u_char *)c) > 0)
            ;
    } while (wait[1].revents == 0);
    return NULL;
}

static void free_capture(struct capture *c)
{
    if (c->out != NULL)
        fclose(c->out);
    if (c->pcap != NULL)
        pcap_close(c->pcap);
    if (c->stop >= 0)
        close(c->stop);
    free(c);
}

static bool open_out(struct capture *c, const char *path, int snaplen, char err[CAPTURE_ERROR_SIZE])
{
    c->out = fopen(path, "wbe");
    if (c->out != NULL && pcapfile_put_head(c->out, file_link(c->pcap), (uint32_t)snaplen) == 0)
        return true;
    snprintf(err, CAPTURE_ERROR_SIZE, "%.200s cannot be written: %s", path, strerror(errno));
    return false;
}

struct capture *capture_start(const char *interface, const char *path, int snaplen,
                              char err[CAPTURE_ERROR_SIZE])
{
    char why[PCAP_ERRBUF_SIZE] = "";
    struct capture *c = mem_zalloc(sizeof *c);

    c->comes_in_blocks = snaplen > HEADS_MAX;
    c->stop = eventfd(0, EFD_CLOEXEC);
    c->pcap = pcap_create(interface, why);
    if (c->pcap == NULL) {
        snprintf(err, CAPTURE_ERROR_SIZE, "%s", why);
    } else if (activate(c->pcap, snaplen, err) == 0 && open_out(c, path, snaplen, err)) {
        if (pthread_create(&c->thread, NULL, run, c) == 0)
            return c;
        snprintf(err, CAPTURE_ERROR_SIZE, "no thread can be started");
    }
    free_capture(c);
    return NULL;
}

uint64_t capture_stop(struct capture *c)
{
    struct pcap_stat counts = {0};
    uint64_t one = 1, dropped;

    if (c == NULL)
        return 0;
    if (c->comes_in_blocks) /* the last one is not full */
        poll(NULL, 0, 3 * BLOCK_MS);
    while (write(c->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(c->thread, NULL);
    dropped = pcap_stats(c->pcap, &counts) == 0 ? counts.ps_drop : 0;
    free_capture(c);
    return dropped;
}

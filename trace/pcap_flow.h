/* pcap_flow.h: a capture's connections, put into a model: who talks to whom, sequence numbers counted from
 * each side's SYN, windows in bytes, what was sent again. One thread; packets in the order of the capture. */
#ifndef TRACE_PCAP_FLOW_H
#define TRACE_PCAP_FLOW_H

#include "trace/model.h"
#include "trace/pcap_file.h"

struct pcapflow;

/* origin: the capture's name, for model_open_conn; copied by the model. */
struct pcapflow *pcapflow_new(struct model *m, const char *origin);
void pcapflow_free(struct pcapflow *f); /* what it found stays in the model; NULL is fine */
void pcapflow_take(struct pcapflow *f, const struct pcapfile_packet *p);

/* All of a file (see pcapfile_open for "-"). 0; -1 and why in err where the file is no capture, is cut or
 * garbled, or has no TCP: what came before a fault is in the model then. What could not be decoded is counted
 * in a remark. */
int pcapflow_read(struct model *m, const char *path, char err[PCAPFILE_ERROR_SIZE]);

#endif

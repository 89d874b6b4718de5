/* lab_kinds.h: the labs; each is a struct in one of the lab_*.c files, and has its line in lab.c. */
#ifndef TRACE_LAB_KINDS_H
#define TRACE_LAB_KINDS_H

#include "trace/lab_run.h"

extern const struct lab_kind lab_handshake, lab_syn_lost, lab_syn_received, lab_backlog,
    lab_fast_open; /* lab_open.c */
extern const struct lab_kind lab_half_close, lab_three_or_four, lab_simultaneous_close,
    lab_orphan_fin_wait_2;                                                         /* lab_close.c */
extern const struct lab_kind lab_rst_unread, lab_lingering_close, lab_linger_zero; /* lab_reset.c */
extern const struct lab_kind lab_time_wait, lab_half_open, lab_zero_window;        /* lab_wait.c */
extern const struct lab_kind lab_tls_close;                                        /* lab_tls.c */

#endif

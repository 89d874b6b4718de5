/* merge.h: brings together what a model has of the same connections; called by model_finish. One thread. */
#ifndef TRACE_MERGE_H
#define TRACE_MERGE_H

#include "trace/model.h"

void merge_model(struct model *m);

/* merge_clock.c: finds by how much the server's clock is ahead of the client's, from bytes that each has
 * sent and the other has received, and puts it into end[MODEL_SERVER].clock_offset_ns (to be added to the
 * server's times). Only where both have logs and the hosts differ. */
void merge_estimate_offset(struct model_conn *c);

/* merge_clock.c: behind that: whose clock the capture has, by whose calls are near its segments, into
 * capture_side. */
void merge_place_capture(struct model_conn *c);

/* merge_clock.c: two captures of one connection become one: a segment that both have gets the time of its
 * leaving and of its arrival; what only one has stays. from's segments are taken over or freed. */
void merge_captures(struct model_conn *into, struct model_conn *from);

/* infer.c, infer_states.c: segments, where nothing was captured, and states that nobody has seen. Events are in order
 * before, and not after. */
void infer_segments(struct model *m, struct model_conn *c);
void infer_reset(struct model *m, struct model_conn *c); /* an RST that a call told of and no capture has */
void infer_states(struct model *m, struct model_conn *c);

void merge_sort_events(struct model_conn *c);

#endif

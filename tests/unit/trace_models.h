/* trace_models.h: connections made by hand for the tests of merge, verdict and ladders. Times are in µs. */
#ifndef TESTS_TRACE_MODELS_H
#define TESTS_TRACE_MODELS_H

#include "trace/model.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define TRACE_START 1795464499000000000LL

static inline struct tcp_addr trace_addr(const char *ip, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct tcp_addr a;

    inet_pton(AF_INET, ip, &in.sin_addr);
    tcp_addr_from(&a, (struct sockaddr *)&in);
    return a;
}

static inline struct model_conn *trace_conn(struct model *m, const char *origin)
{
    struct tcp_addr client = trace_addr("127.0.0.1", 50000), server = trace_addr("127.0.0.1", 7000);

    return model_open_conn(m, origin, &client, &server);
}

struct trace_made {
    struct model *m;
    struct model_conn *c; /* of one origin, still empty */
};

/* A test's set-up and its end. */
static inline int trace_make(void **state)
{
    struct trace_made *x = malloc(sizeof *x);

    if (x == NULL)
        return -1;
    x->m = model_new();
    x->c = trace_conn(x->m, "x");
    *state = x;
    return 0;
}

static inline int trace_unmake(void **state)
{
    struct trace_made *x = *state;

    model_free(x->m);
    free(x);
    return 0;
}

static inline void trace_seg(struct model *m, struct model_conn *c, int us, enum model_side from, int flags,
                             uint32_t seq, uint32_t ack, uint32_t len)
{
    model_add_segment(m, c,
                      &(struct model_segment){.time_ns = TRACE_START + us * 1000LL,
                                              .from = from,
                                              .source = MODEL_CAPTURE,
                                              .flags = (uint8_t)flags,
                                              .seq = seq,
                                              .ack = ack,
                                              .len = len,
                                              .window = 65536});
}

static inline void trace_did(struct model *m, struct model_conn *c, int us, enum model_side side,
                             const char *name, int64_t result, int err, const char *detail)
{
    model_add_call(m, c,
                   &(struct model_call){.time_ns = TRACE_START + us * 1000LL,
                                        .side = side,
                                        .name = name,
                                        .detail = detail,
                                        .result = result,
                                        .err = err,
                                        .has_result = true});
}

static inline void trace_is_in(struct model *m, struct model_conn *c, int us, enum model_side side,
                               enum tcp_state state, enum model_source source)
{
    model_add_state(
        m, c,
        &(struct model_state){
            .time_ns = TRACE_START + us * 1000LL, .side = side, .state = state, .source = source});
}

enum { A = MODEL_ACK, S = MODEL_SYN, F = MODEL_FIN, R = MODEL_RST, P = MODEL_PSH };

static inline void trace_open_up(struct model *m, struct model_conn *c)
{
    trace_seg(m, c, 0, MODEL_CLIENT, S, 0, 0, 0);
    trace_seg(m, c, 10, MODEL_SERVER, S | A, 0, 1, 0);
    trace_seg(m, c, 20, MODEL_CLIENT, A, 1, 1, 0);
    trace_seg(m, c, 1000, MODEL_CLIENT, P | A, 1, 1, 27);
    trace_seg(m, c, 1010, MODEL_SERVER, A, 1, 28, 0);
}

#endif

/* lab_show.c: see lab_show.h. */
#include "trace/lab_show.h"

#include "trace/show.h"

#include <stdio.h>

void lab_show(const struct lab *l)
{
    struct ladder_options options;

    show_default_options(&options);
    for (unsigned i = 0; i < l->conn_count; i++) {
        const struct lab_conn *c = &l->conns[i];

        if (c->model == NULL)
            continue;
        printf("-- %s\n", c->label);
        show_conn(stdout, c->model, options.ascii ? SHOW_ASCII : SHOW_TERMINAL, &options);
        printf("\n");
    }
}

#include "trace/ladder.h"
void ladder_write_html(FILE *to, const struct ladder *l) { (void)to, (void)l; }

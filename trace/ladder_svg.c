#include "trace/ladder.h"
void ladder_write_svg(FILE *to, const struct ladder *l) { (void)to, (void)l; }

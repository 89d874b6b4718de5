/* library.h: where the ready scenarios and the report's page are: beside the source for a build that was not installed,
 * else where they were installed; the variable CHATBOT_DATA overrules both. */
#ifndef BOTS_LIBRARY_H
#define BOTS_LIBRARY_H

#include <stdio.h>

/* The file of a scenario's name, or of a path as it is. NULL and a sentence on stderr where there is none. The caller
 * frees both; *name: for people, *sentence: the first line's, or NULL. */
char *library_find_script(const char *script, char **sentence);

void library_list(void); /* prints name and sentence of each scenario */

/* The page's template, to be freed; NULL, and that is said on stderr, where it is not there. */
char *library_read_page(void);
char *library_read_file(const char *path); /* to be freed; NULL: errno */

#endif

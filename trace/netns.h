/* netns.h: a network of one's own: a new user and network namespace in which the calling process may capture,
 * set sysctls and drop segments, without being root. Linux. Called before threads are started. */
#ifndef TRACE_NETNS_H
#define TRACE_NETNS_H

#define NETNS_ERROR_SIZE 160

/* Leaves the network that the process is in for an empty one whose lo is up. The user stays who he was, and
 * what he executes has no more rights than before. 0; -1 and why in err (containers and some distributions
 * forbid it), and then nothing has changed. */
int netns_enter(char err[NETNS_ERROR_SIZE]);

/* "net.ipv4.tcp_fin_timeout", "2". 0, or -errno. */
int netns_set(const char *name, const char *value);

#endif

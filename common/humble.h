/* humble.h: a thread whose work can wait for that of others. */
#ifndef COMMON_HUMBLE_H
#define COMMON_HUMBLE_H

/* The calling thread alone, from now on: it runs when the others leave a processor free. Where the platform
 * has no such thing for a single thread, nothing changes. */
void thread_be_humble(void);

#endif

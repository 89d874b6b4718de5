/* hasher.h: a thread that makes verifiers of passwords, which takes as long as is meant to stop guessing: no
 * reactor waits for it, and it waits for all of them. Few are let in line. */
#ifndef CHAT_HASHER_H
#define CHAT_HASHER_H

#include "common/scram.h"
#include "server/net/mailbox.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASHER_WAITING 64 /* passwords in line */

struct reactor;

struct hash_job {
    struct post post; /* first */
    struct reactor *home;
    post_fn *done;  /* called on home's thread */
    char *password; /* of the heap; wiped and freed when it is used */
    size_t len;
    unsigned char salt[SCRAM_SALT_SIZE];
    uint32_t iterations;
    struct scram_keys keys; /* the outcome */
    bool ok;
    struct hash_job *next; /* the hasher's */
};

struct hasher {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    struct hash_job *oldest, *newest;
    unsigned waiting;
    bool runs, stops;
};

void hasher_init(struct hasher *h);

/* A reactor's thread. false, and nothing is done, where too many wait. */
bool hasher_put(struct hasher *h, struct hash_job *job);

/* The main thread, when no reactor runs any more: all jobs are back in their mailboxes then, those that waited
 * as not ok. Whether there was a thread. */
bool hasher_settle(struct hasher *h);
void hasher_deinit(struct hasher *h);

#endif

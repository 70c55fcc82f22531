/*
 * As much of io_uring as the load generator needs: sends and receives that go
 * to the kernel together, where each would be a system call otherwise.
 */

#ifndef BENCH_LOAD_URING_H
#define BENCH_LOAD_URING_H


#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>


typedef struct {
    int                   fd;
    unsigned              entries;
    unsigned              pending;      /* not submitted */

    unsigned             *sq_head;
    unsigned             *sq_tail;
    unsigned              sq_mask;
    unsigned             *sq_array;
    struct io_uring_sqe  *sqes;

    unsigned             *cq_head;
    unsigned             *cq_tail;
    unsigned              cq_mask;
    struct io_uring_cqe  *cqes;
} load_uring_t;


/* -1 where the kernel has none, or none that is new enough. */
int load_uring_init(load_uring_t *uring, unsigned entries);

/* Of a send only a failure is reported; both have the data of their caller. */
int load_uring_send(load_uring_t *uring, int fd, const char *data, size_t len,
    uint64_t user);
int load_uring_recv(load_uring_t *uring, int fd, char *data, size_t len,
    uint64_t user);

/* Submits what there is and waits for a completion, at most so many ns. */
int load_uring_wait(load_uring_t *uring, int64_t ns);

/* Takes a completion; 0 if there is none. */
int load_uring_next(load_uring_t *uring, uint64_t *user, int32_t *result);


#endif /* BENCH_LOAD_URING_H */

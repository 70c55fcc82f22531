
#define _GNU_SOURCE

#include "load_uring.h"

#include <errno.h>
#include <linux/time_types.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>


static int load_uring_enter(load_uring_t *uring, unsigned wait, int64_t ns);
static struct io_uring_sqe *load_uring_sqe(load_uring_t *uring);


int
load_uring_init(load_uring_t *uring, unsigned entries)
{
    char                    *ring;
    size_t                   sq_size, cq_size;
    struct io_uring_params   params;

    memset(uring, 0, sizeof(load_uring_t));
    memset(&params, 0, sizeof(params));

    /* completions are worked on when they are waited for, and not before */

    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

    uring->fd = (int) syscall(__NR_io_uring_setup, entries, &params);

    if (uring->fd == -1) {
        return -1;
    }

    if (!(params.features & IORING_FEAT_SINGLE_MMAP)
        || !(params.features & IORING_FEAT_EXT_ARG)
        || !(params.features & IORING_FEAT_CQE_SKIP))
    {
        (void) close(uring->fd);
        return -1;
    }

    sq_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    cq_size = params.cq_off.cqes
              + params.cq_entries * sizeof(struct io_uring_cqe);

    ring = mmap(NULL, sq_size > cq_size ? sq_size : cq_size,
                PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring->fd,
                IORING_OFF_SQ_RING);

    uring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe),
                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                       uring->fd, IORING_OFF_SQES);

    if (ring == MAP_FAILED || (void *) uring->sqes == MAP_FAILED) {
        (void) close(uring->fd);
        return -1;
    }

    uring->entries = params.sq_entries;

    uring->sq_head = (unsigned *) (ring + params.sq_off.head);
    uring->sq_tail = (unsigned *) (ring + params.sq_off.tail);
    uring->sq_mask = *(unsigned *) (ring + params.sq_off.ring_mask);
    uring->sq_array = (unsigned *) (ring + params.sq_off.array);

    uring->cq_head = (unsigned *) (ring + params.cq_off.head);
    uring->cq_tail = (unsigned *) (ring + params.cq_off.tail);
    uring->cq_mask = *(unsigned *) (ring + params.cq_off.ring_mask);
    uring->cqes = (struct io_uring_cqe *) (ring + params.cq_off.cqes);

    return 0;
}


int
load_uring_send(load_uring_t *uring, int fd, const char *data, size_t len,
    uint64_t user)
{
    struct io_uring_sqe  *sqe;

    sqe = load_uring_sqe(uring);
    if (sqe == NULL) {
        return -1;
    }

    sqe->opcode = IORING_OP_SEND;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = fd;
    sqe->addr = (uint64_t) (uintptr_t) data;
    sqe->len = (uint32_t) len;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    sqe->user_data = user;

    return 0;
}


int
load_uring_recv(load_uring_t *uring, int fd, char *data, size_t len,
    uint64_t user)
{
    struct io_uring_sqe  *sqe;

    sqe = load_uring_sqe(uring);
    if (sqe == NULL) {
        return -1;
    }

    /* nothing can be there yet */

    sqe->opcode = IORING_OP_RECV;
    sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    sqe->fd = fd;
    sqe->addr = (uint64_t) (uintptr_t) data;
    sqe->len = (uint32_t) len;
    sqe->user_data = user;

    return 0;
}


int
load_uring_wait(load_uring_t *uring, int64_t ns)
{
    return load_uring_enter(uring, 1, ns);
}


int
load_uring_next(load_uring_t *uring, uint64_t *user, int32_t *result)
{
    unsigned              head;
    struct io_uring_cqe  *cqe;

    head = *uring->cq_head;

    if (head == __atomic_load_n(uring->cq_tail, __ATOMIC_ACQUIRE)) {
        return 0;
    }

    cqe = &uring->cqes[head & uring->cq_mask];

    *user = cqe->user_data;
    *result = cqe->res;

    __atomic_store_n(uring->cq_head, head + 1, __ATOMIC_RELEASE);

    return 1;
}


static int
load_uring_enter(load_uring_t *uring, unsigned wait, int64_t ns)
{
    long                            n;
    struct __kernel_timespec        ts;
    struct io_uring_getevents_arg   arg;

    ts.tv_sec = ns / 1000000000;
    ts.tv_nsec = ns % 1000000000;

    memset(&arg, 0, sizeof(arg));
    arg.ts = (uint64_t) (uintptr_t) &ts;

    n = syscall(__NR_io_uring_enter, uring->fd, uring->pending, wait,
                wait ? IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG : 0,
                wait ? &arg : NULL, wait ? sizeof(arg) : 0);

    if (n >= 0) {
        uring->pending -= (unsigned) n;
        return 0;
    }

    /* in vain waited is not failed: then everything was submitted before */

    if (errno == ETIME || errno == EINTR) {
        uring->pending = *uring->sq_tail
                         - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
        return 0;
    }

    return -1;
}


static struct io_uring_sqe *
load_uring_sqe(load_uring_t *uring)
{
    unsigned              tail, index;
    struct io_uring_sqe  *sqe;

    tail = *uring->sq_tail;

    if (tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE)
        == uring->entries
        && load_uring_enter(uring, 0, 0) != 0)
    {
        return NULL;
    }

    index = tail & uring->sq_mask;
    sqe = &uring->sqes[index];

    memset(sqe, 0, sizeof(struct io_uring_sqe));

    uring->sq_array[index] = index;
    uring->pending++;

    __atomic_store_n(uring->sq_tail, tail + 1, __ATOMIC_RELEASE);

    return sqe;
}

/* The plain C interface of the selective scan. Python fills these structs through ctypes: keep cpu_backend.py in step. */
#ifndef MADNET_SCAN_H
#define MADNET_SCAN_H

#include <stdint.h>

#if defined(_WIN32)
#define SCAN_EXPORT __declspec(dllexport)
#else
#define SCAN_EXPORT __attribute__((visibility("default")))
#endif

/* Steps between two stored states; the backward pass recomputes one such chunk at a time. */
#define SCAN_CHUNK 32

/* A strided float32 tensor with the axes (batch, group, lane, step); a lane is a channel, or a state for B and C.
 * Two directions of one tensor share their data through a group stride of zero. */
typedef struct {
    float *data;
    int64_t batch, group, lane, step;
} ScanView;

typedef struct {
    int64_t batch, groups, channels; /* channels of one group */
    int64_t states, length;
    int64_t height, width; /* of the map that groups 0..3 cross in four directions; 0 for plain sequences */
    int64_t splits;        /* parts that the channels of a group are cut into, to have work for all threads */
    int32_t softplus, threads;
    ScanView u, delta, B, C;
    const float *A, *D, *bias; /* (groups * channels, states), (groups * channels), (groups * channels); D, bias or NULL */
    ScanView y;                /* written; summed over the groups where height > 0 */
    float *checkpoints;        /* (batch, groups, blocks, chunks - 1, states, lanes), written forward, read backward, or NULL */
    ScanView grad, du, ddelta; /* du is summed over the groups where height > 0 */
    ScanView dB, dC;           /* batch axis of splits * batch: one partial sum for each split */
    float *dA, *dD, *dbias;    /* written; dD, dbias or NULL */
} ScanProblem;

#endif

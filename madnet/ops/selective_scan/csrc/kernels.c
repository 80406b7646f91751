/* Selective scan, forward and backward, for one instruction set: compiled once for each, SCAN_NAME names the variant.
 *
 * A vector holds the same step of LANES neighbouring channels, so the recurrence needs no shuffles and B_tn, C_tn are
 * broadcast. Time is cut into chunks of SCAN_CHUNK steps whose inputs are brought into small buffers (step, lane) first:
 * by transposing where time is contiguous, by copying rows where channels are. Behind the buffers plain sequences and
 * the four directions over a map are the same computation.
 *
 * Written with the vector extensions of GCC and Clang; intrinsics only where these have no good form. */
#include "scan.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define CHUNK SCAN_CHUNK
#define PANEL (8 * CHUNK) /* steps for which B and C are brought in at once, to serve all channels of a group */
#define TILE 4 /* states that are carried through a chunk together: their h, A and sums fit the registers */

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define EXPORTED(name) JOIN(name, SCAN_NAME)
#define INLINE static inline __attribute__((always_inline))
#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }
INLINE vec splat(float x) { return x - (vec){0}; } /* not x + 0: that would turn −0 into 0 */

/* A NaN in x passes through at_least and at_most: the bound is the first operand. */
#if defined(__AVX__)
INLINE vec at_least(vec x, vec low) { return (vec)_mm256_max_ps((__m256)low, (__m256)x); }
INLINE vec at_most(vec x, vec high) { return (vec)_mm256_min_ps((__m256)high, (__m256)x); }
#elif defined(__SSE2__)
INLINE vec at_least(vec x, vec low) { return (vec)_mm_max_ps((__m128)low, (__m128)x); }
INLINE vec at_most(vec x, vec high) { return (vec)_mm_min_ps((__m128)high, (__m128)x); }
#else
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
INLINE vec at_least(vec x, vec low) { return choose((ivec)(low > x), low, x); }
INLINE vec at_most(vec x, vec high) { return choose((ivec)(high < x), high, x); }
#endif

INLINE float horizontal_sum(vec v)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += v[i];
    return sum;
}

/* 2^f = 1 + f P(f) for f in [-1/2, 1/2], relative error 2e-9 before rounding. The constant is exactly 1: a decay close to
 * 1 is raised to high powers by the recurrence, and an error there would grow with the length of the sequence. */
#define P0 6.931471825e-1f
#define P1 2.402264774e-1f
#define P2 5.550332367e-2f
#define P3 9.618436918e-3f
#define P4 1.339887385e-3f
#define P5 1.535336196e-4f

INLINE vec exp2_fraction(vec f)
{
    vec q = f * f, p = (splat(P5) * f + splat(P4)) * q + (splat(P3) * f + splat(P2));
    return (p * q + (splat(P1) * f + splat(P0))) * f + splat(1.0f);
}

/* 2^x. Adding 1.5·2^23 rounds to an integer and leaves that integer in the low bits, from where it is shifted into the
 * exponent. The bounds make it 0 (to 1e-38) below and exactly infinity above; x that never grows, where no step is
 * negative and no A positive, needs no bound above. Do not compile with -ffast-math. */
INLINE vec exp2_vec(vec x, int growing)
{
    x = at_least(x, splat(-126.0f));
    if (growing)
        x = at_most(x, splat(128.0f));
    const vec magic = splat(12582912.0f);
    vec shifted = x + magic;
    vec p = exp2_fraction(x - (shifted - magic));
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* exp(x) for x <= 0 with a small *relative* error also far out: ln 2 is subtracted in two parts. */
INLINE vec exp_negative(vec x)
{
    x = at_least(x, splat(-87.0f));
    const vec magic = splat(12582912.0f);
    vec shifted = x * splat(LOG2E) + magic;
    vec n = shifted - magic;
    vec r = x - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    return (vec)((ivec)exp2_fraction(r * splat(LOG2E)) + ((ivec)shifted << 23));
}

/* softplus(x) = max(x, 0) + log(1 + e), e = exp(−|x|), the logarithm as 2 atanh(e / (2 + e)); the sigmoid from the same
 * e. Above 20 this rounds to x and 1 by itself. */
INLINE vec softplus_vec(vec x, vec *sigmoid)
{
    const vec zero = splat(0.0f), one = splat(1.0f);
    vec positive = at_least(x, zero);
    vec e = exp_negative(at_most(x, zero) - positive);
    vec s = e / (e + splat(2.0f)), q = s * s;
    vec p = splat(2.819154561e-1f) * q + splat(2.795766592e-1f);
    p = p * q + splat(4.002511501e-1f);
    p = p * q + splat(6.666631103e-1f);
    p = p * q + splat(2.0f);
    if (sigmoid) {
        ivec negative = (ivec)(x < zero);
        vec numerator = (vec)((negative & (ivec)e) | (~negative & (ivec)one));
        *sigmoid = numerator / (one + e);
    }
    return positive + p * s;
}

/* Long sums of short ones: in double, or their error would grow with batch and length. */
INLINE void accumulate(double *sum, vec v)
{
    for (int i = 0; i < LANES; i++)
        sum[i] += v[i];
}

/* ---- between tensors and (step, lane) buffers ---- */

#if LANES == 8
INLINE void transpose8(__m256 *r)
{
    __m256 t[8], q[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        q[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        q[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        q[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        q[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x31);
    }
}

/* The sums of eight vectors that lie `stride` floats apart, as one vector. */
INLINE __m256 eight_sums(const float *p, int64_t stride)
{
    __m256 v[8];
    for (int i = 0; i < 8; i++)
        v[i] = _mm256_loadu_ps(p + i * stride);
    __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
#endif

/* buffer[t * pitch + lane] = src[lane * lane_stride + step[t] * step_stride]; lanes up to `padded` are filled with 0. */
static void gather(float *buffer, int pitch, const float *src, int64_t lane_stride, int64_t step_stride,
                   const int64_t *step, int steps, int ordered, int lanes, int padded)
{
    if (lane_stride == 1) {
        for (int t = 0; t < steps; t++) {
            const float *row = src + step[t] * step_stride;
            float *to = buffer + t * pitch;
            int i = 0;
            for (; i + LANES <= lanes; i += LANES)
                store(to + i, load(row + i));
            for (; i < lanes; i++)
                to[i] = row[i];
            for (; i < padded; i++)
                to[i] = 0;
        }
        return;
    }
    int lane = 0;
#if LANES == 8
    if (ordered && step_stride == 1)
        for (; lane + 8 <= lanes; lane += 8) {
            const float *rows = src + lane * lane_stride + step[0];
            int t = 0;
            for (; t + 8 <= steps; t += 8) {
                __m256 r[8];
                for (int i = 0; i < 8; i++)
                    r[i] = _mm256_loadu_ps(rows + i * lane_stride + t);
                transpose8(r);
                for (int i = 0; i < 8; i++)
                    _mm256_storeu_ps(buffer + (t + i) * pitch + lane, r[i]);
            }
            for (; t < steps; t++)
                for (int i = 0; i < 8; i++)
                    buffer[t * pitch + lane + i] = rows[i * lane_stride + t];
        }
#else
    (void)ordered;
#endif
    for (int i = lane; i < lanes; i++)
        for (int t = 0; t < steps; t++)
            buffer[t * pitch + i] = src[i * lane_stride + step[t] * step_stride];
    for (int i = lanes; i < padded; i++)
        for (int t = 0; t < steps; t++)
            buffer[t * pitch + i] = 0;
}

/* The way back for one block of channels, added to what is there where `add` is set. */
static void scatter(const float *buffer, float *dst, int64_t lane_stride, int64_t step_stride, const int64_t *step,
                    int steps, int ordered, int lanes, int add)
{
    if (lane_stride == 1 && lanes == LANES) {
        for (int t = 0; t < steps; t++) {
            float *row = dst + step[t] * step_stride;
            vec v = load(buffer + t * LANES);
            store(row, add ? load(row) + v : v);
        }
        return;
    }
    int t = 0;
#if LANES == 8
    if (ordered && step_stride == 1 && lanes == 8 && !add)
        for (; t + 8 <= steps; t += 8) {
            __m256 r[8];
            for (int i = 0; i < 8; i++)
                r[i] = _mm256_loadu_ps(buffer + (t + i) * 8);
            transpose8(r);
            for (int i = 0; i < 8; i++)
                _mm256_storeu_ps(dst + i * lane_stride + step[0] + t, r[i]);
        }
#else
    (void)ordered;
#endif
    for (; t < steps; t++)
        for (int i = 0; i < lanes; i++) {
            float *to = dst + i * lane_stride + step[t] * step_stride;
            *to = buffer[t * LANES + i] + (add ? *to : 0.0f);
        }
}

/* dst[state, step] = sum over the lanes of sums[(t * pitch + state) * LANES]. */
static void scatter_sums(const float *sums, int pitch, float *dst, int64_t lane_stride, int64_t step_stride,
                         const int64_t *step, int steps, int ordered, int states)
{
    int n = 0, t = 0;
#if LANES == 8
    if (lane_stride == 1) {
        for (; n + 8 <= states; n += 8)
            for (t = 0; t < steps; t++)
                _mm256_storeu_ps(dst + n + step[t] * step_stride, eight_sums(sums + (t * pitch + n) * 8, 8));
    } else if (ordered && step_stride == 1) {
        for (; t + 8 <= steps; t += 8)
            for (int i = 0; i < states; i++)
                _mm256_storeu_ps(dst + i * lane_stride + step[0] + t, eight_sums(sums + (t * pitch + i) * 8, pitch * 8));
        for (; t < steps; t++)
            for (int i = 0; i < states; i++)
                dst[i * lane_stride + step[t]] = horizontal_sum(load(sums + (t * pitch + i) * 8));
        return;
    }
#else
    (void)ordered;
#endif
    for (; n < states; n++)
        for (t = 0; t < steps; t++)
            dst[n * lane_stride + step[t] * step_stride] = horizontal_sum(load(sums + (t * pitch + n) * LANES));
}

/* Where the steps start .. start + steps − 1 of a group lie. Over a map: group 0 goes along rows, 1 along columns, 2 and
 * 3 the same backwards. */
static void locate(const ScanProblem *p, int64_t group, int64_t start, int steps, int64_t *step)
{
    if (p->height == 0 || group == 0) {
        for (int t = 0; t < steps; t++)
            step[t] = start + t;
        return;
    }
    int backwards = group >= 2;
    int64_t s = backwards ? p->length - 1 - start : start;
    if (group == 2) {
        for (int t = 0; t < steps; t++)
            step[t] = s - t;
        return;
    }
    int64_t row = s % p->height, column = s / p->height;
    for (int t = 0; t < steps; t++) {
        step[t] = row * p->width + column;
        if (backwards) {
            if (--row < 0) {
                row = p->height - 1;
                column--;
            }
        } else if (++row == p->height) {
            row = 0;
            column++;
        }
    }
}

/* ---- parameters, packed once for each call: (group, block, ...) with the lanes last, missing channels 0 ---- */

typedef struct {
    int64_t blocks;
    int padded;  /* states, rounded up for the buffers of B and C */
    int growing; /* whether any decay may exceed 1 */
    float *A, *D, *bias;
} Packed;

static void *allocate(int64_t floats) { return malloc((size_t)(floats > 0 ? floats : 1) * sizeof(float)); }

static void release(Packed *k)
{
    free(k->A);
    free(k->D);
    free(k->bias);
}

static int pack(const ScanProblem *p, Packed *k)
{
    k->blocks = (p->channels + LANES - 1) / LANES;
    k->padded = (int)((p->states + LANES - 1) / LANES * LANES);
    int64_t all = p->groups * k->blocks;
    k->A = allocate(all * p->states * LANES);
    k->D = allocate(all * LANES);
    k->bias = allocate(all * LANES);
    if (!k->A || !k->D || !k->bias) {
        release(k);
        return 1;
    }
    k->growing = !p->softplus;
    for (int64_t i = 0; i < p->groups * p->channels * p->states; i++)
        k->growing |= !(p->A[i] <= 0.0f);
    for (int64_t b = 0; b < all; b++)
        for (int lane = 0; lane < LANES; lane++) {
            int64_t in_group = b % k->blocks * LANES + lane, channel = b / k->blocks * p->channels + in_group;
            int there = in_group < p->channels;
            k->D[b * LANES + lane] = there && p->D ? p->D[channel] : 0.0f;
            k->bias[b * LANES + lane] = there && p->bias ? p->bias[channel] : 0.0f;
            for (int64_t n = 0; n < p->states; n++)
                k->A[(b * p->states + n) * LANES + lane] = there ? p->A[channel * p->states + n] * LOG2E : 0.0f;
        }
    return 0;
}

/* A decayed state soon becomes denormal, and then every operation on it takes a hundred cycles: round those to 0. */
#if defined(__SSE2__)
INLINE unsigned flush_denormals(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
INLINE void restore_denormals(unsigned before) { _mm_setcsr(before); }
#else
INLINE unsigned flush_denormals(void) { return 0; }
INLINE void restore_denormals(unsigned before) { (void)before; }
#endif

INLINE int thread_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* The stored state that enters a chunk; the first is entered with 0, which is not stored. */
INLINE float *checkpoint(const ScanProblem *p, const Packed *k, int64_t batch, int64_t block, int64_t chunk)
{
    const int64_t stored = (p->length - 1) / CHUNK;
    return p->checkpoints + ((batch * p->groups * k->blocks + block) * stored + chunk - 1) * p->states * LANES;
}

/* TILE_OF(count, growing) for all states, with both arguments constant, so that each case is compiled for itself. */
#define EACH_TILE(growing, states)                                                                                     \
    for (int n = 0, count; n < states; n += count) {                                                                   \
        count = states - n < TILE ? 1 : TILE;                                                                          \
        if (count == TILE && !growing)                                                                                 \
            TILE_OF(TILE, 0);                                                                                          \
        else if (count == TILE)                                                                                        \
            TILE_OF(TILE, 1);                                                                                          \
        else                                                                                                           \
            TILE_OF(1, 1);                                                                                             \
    }

/* ---- forward ---- */

/* `count` states through one chunk: y_t += sum over n of C_tn h_tn. B and C point at the first of these states. */
INLINE void forward_tile(int count, int growing, int steps, int padded, const float *dt, const float *dtu, const float *A,
                         const float *B, const float *C, float *state, float *y)
{
    vec h[TILE], a[TILE];
    for (int n = 0; n < count; n++) {
        h[n] = load(state + n * LANES);
        a[n] = load(A + n * LANES);
    }
    for (int t = 0; t < steps; t++) {
        vec d = load(dt + t * LANES), x = load(dtu + t * LANES), sum = load(y + t * LANES);
        const float *Bt = B + t * padded, *Ct = C + t * padded;
        for (int n = 0; n < count; n++) {
            h[n] = exp2_vec(d * a[n], growing) * h[n] + x * splat(Bt[n]);
            sum += h[n] * splat(Ct[n]);
        }
        store(y + t * LANES, sum);
    }
    for (int n = 0; n < count; n++)
        store(state + n * LANES, h[n]);
}

#define HERE(view) (p->view.data + batch * p->view.batch + group * p->view.group)
#define CHANNELS(view) (HERE(view) + first * p->view.lane), p->view.lane, p->view.step

/* One block of channels through one chunk. */
static void forward_block(const ScanProblem *p, const Packed *k, int64_t batch, int64_t group, int64_t block, int64_t chunk,
                          const int64_t *step, int steps, const float *B, const float *C, float *state)
{
    float u[CHUNK * LANES], dt[CHUNK * LANES], dtu[CHUNK * LANES], y[CHUNK * LANES];
    const int N = (int)p->states, padded = k->padded;
    const int64_t first = block * LANES, at = group * k->blocks + block;
    const int lanes = (int)(p->channels - first < LANES ? p->channels - first : LANES);
    const int ordered = p->height == 0 || group == 0, add = p->height > 0 && group > 0;
    const float *A = k->A + at * N * LANES;
    const vec D = load(k->D + at * LANES), bias = load(k->bias + at * LANES);
    if (chunk && p->checkpoints)
        memcpy(checkpoint(p, k, batch, at, chunk), state, sizeof(float) * N * LANES);
    gather(u, LANES, CHANNELS(u), step, steps, ordered, lanes, LANES);
    gather(dt, LANES, CHANNELS(delta), step, steps, ordered, lanes, LANES);
    for (int t = 0; t < steps; t++) {
        vec d = load(dt + t * LANES) + bias, x = load(u + t * LANES);
        if (p->softplus)
            d = softplus_vec(d, NULL);
        store(dt + t * LANES, d);
        store(dtu + t * LANES, d * x);
        store(y + t * LANES, D * x);
    }
#define TILE_OF(count, growing)                                                                                        \
    forward_tile(count, growing, steps, padded, dt, dtu, A + n * LANES, B + n, C + n, state + n * LANES, y)
    EACH_TILE(k->growing, N)
#undef TILE_OF
    scatter(y, CHANNELS(y), step, steps, ordered, lanes, add);
}

/* One split of the channels of one group of one sequence, from its first chunk to its last. */
static void forward_sequence(const ScanProblem *p, const Packed *k, int64_t batch, int64_t group, int64_t split,
                             float *state, float *B, float *C)
{
    int64_t step[PANEL];
    const int N = (int)p->states, padded = k->padded;
    const int64_t begin = split * k->blocks / p->splits, end = (split + 1) * k->blocks / p->splits;
    const int ordered = p->height == 0 || group == 0;
    memset(state, 0, sizeof(float) * (end - begin) * N * LANES);
    for (int64_t start = 0; start < p->length; start += PANEL) {
        const int panel = (int)(p->length - start < PANEL ? p->length - start : PANEL);
        locate(p, group, start, panel, step);
        gather(B, padded, HERE(B), p->B.lane, p->B.step, step, panel, ordered, N, padded);
        gather(C, padded, HERE(C), p->C.lane, p->C.step, step, panel, ordered, N, padded);
        for (int64_t block = begin; block < end; block++)
            for (int t = 0; t < panel; t += CHUNK)
                forward_block(p, k, batch, group, block, (start + t) / CHUNK, step + t, panel - t < CHUNK ? panel - t : CHUNK,
                              B + t * padded, C + t * padded, state + (block - begin) * N * LANES);
    }
}

/* Returns 0, or 1 where memory ran out. */
SCAN_EXPORT int EXPORTED(scan_forward)(const ScanProblem *p)
{
    Packed k;
    if (pack(p, &k))
        return 1;
    /* The directions over a map add into one output: they belong to one task. */
    const int64_t apart = p->height ? 1 : p->groups, tasks = p->splits * p->batch * apart;
    int failed = 0;
#pragma omp parallel num_threads(p->threads) reduction(| : failed)
    {
        const unsigned mode = flush_denormals();
        const int64_t buffer = PANEL * (int64_t)k.padded, widest = (k.blocks + p->splits - 1) / p->splits;
        float *scratch = allocate(widest * p->states * LANES + 2 * buffer);
        failed |= !scratch;
        float *state = scratch, *B = scratch + widest * p->states * LANES, *C = B + buffer;
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++) {
            if (!scratch)
                continue;
            const int64_t split = task % p->splits, batch = task / (p->splits * apart);
            if (p->height)
                for (int64_t group = 0; group < p->groups; group++)
                    forward_sequence(p, &k, batch, group, split, state, B, C);
            else
                forward_sequence(p, &k, batch, task / p->splits % apart, split, state, B, C);
        }
        free(scratch);
        restore_denormals(mode);
    }
    release(&k);
    return failed;
}

/* ---- backward ---- */

/* `count` states through one chunk: forwards again for a_t and p_t = a_t h_{t−1}, then backwards with
 * λ_t = g_t C_t + a_{t+1} λ_{t+1}. beta_t += λ_t B_t, decay_t += λ_t p_t A (A in units of log2 e), dA += λ_t Δ_t p_t;
 * dB, dC: the products for each lane, to be summed over the lanes, added to what is there unless `fresh`. */
INLINE void backward_tile(int count, int growing, int steps, int padded, int fresh, const float *dt, const float *dtu, const float *g,
                          const float *A, const float *B, const float *C, const float *state, float *lambda, double *dA,
                          float *beta, float *decay, float *dB, float *dC)
{
    float as[CHUNK * TILE * LANES], ps[CHUNK * TILE * LANES];
    vec h[TILE], l[TILE], sum[TILE], coefficient[TILE];
    for (int n = 0; n < count; n++) {
        h[n] = load(state + n * LANES);
        l[n] = load(lambda + n * LANES);
        sum[n] = splat(0.0f);
        coefficient[n] = load(A + n * LANES);
    }
    for (int t = 0; t < steps; t++) {
        vec d = load(dt + t * LANES), x = load(dtu + t * LANES);
        for (int n = 0; n < count; n++) {
            vec a = exp2_vec(d * coefficient[n], growing);
            vec p = a * h[n];
            h[n] = p + x * splat(B[t * padded + n]);
            store(as + (t * TILE + n) * LANES, a);
            store(ps + (t * TILE + n) * LANES, p);
        }
    }
    for (int t = steps - 1; t >= 0; t--) {
        vec d = load(dt + t * LANES), x = load(dtu + t * LANES), grad = load(g + t * LANES);
        vec b = load(beta + t * LANES), e = load(decay + t * LANES);
        for (int n = 0; n < count; n++) {
            vec p = load(ps + (t * TILE + n) * LANES), Bt = splat(B[t * padded + n]);
            vec lam = l[n] + grad * splat(C[t * padded + n]), lp = lam * p;
            vec onB = lam * x, onC = grad * (p + x * Bt);
            float *toB = dB + (t * padded + n) * LANES, *toC = dC + (t * padded + n) * LANES;
            store(toB, fresh ? onB : load(toB) + onB);
            store(toC, fresh ? onC : load(toC) + onC);
            b += lam * Bt;
            e += lp * coefficient[n];
            sum[n] += lp * d;
            l[n] = load(as + (t * TILE + n) * LANES) * lam;
        }
        store(beta + t * LANES, b);
        store(decay + t * LANES, e);
    }
    for (int n = 0; n < count; n++) {
        store(lambda + n * LANES, l[n]);
        accumulate(dA + n * LANES, sum[n]);
    }
}

/* What a thread owns; the sums over batch and time stay with the thread, so they do not grow with the batch. */
typedef struct {
    float *lambda, *state, *B, *C, *dB, *dC; /* of the task at hand */
    double *dA, *dD, *dbias;                 /* (groups, blocks, states or 1, lanes) */
} Workspace;

static void backward_block(const ScanProblem *p, const Packed *k, const Workspace *w, int64_t batch, int64_t group,
                           int64_t block, int64_t chunk, const int64_t *step, int steps, int fresh, float *lambda)
{
    float u[CHUNK * LANES], dt[CHUNK * LANES], dtu[CHUNK * LANES], g[CHUNK * LANES], slope[CHUNK * LANES];
    float beta[CHUNK * LANES], decay[CHUNK * LANES];
    const int N = (int)p->states, padded = k->padded;
    const int64_t first = block * LANES, at = group * k->blocks + block;
    const int lanes = (int)(p->channels - first < LANES ? p->channels - first : LANES);
    const int ordered = p->height == 0 || group == 0, add = p->height > 0 && group > 0;
    const float *A = k->A + at * N * LANES;
    const vec D = load(k->D + at * LANES), bias = load(k->bias + at * LANES);
    if (chunk)
        memcpy(w->state, checkpoint(p, k, batch, at, chunk), sizeof(float) * N * LANES);
    else
        memset(w->state, 0, sizeof(float) * N * LANES);
    gather(u, LANES, CHANNELS(u), step, steps, ordered, lanes, LANES);
    gather(dt, LANES, CHANNELS(delta), step, steps, ordered, lanes, LANES);
    gather(g, LANES, CHANNELS(grad), step, steps, ordered, lanes, LANES);
    for (int t = 0; t < steps; t++) {
        vec d = load(dt + t * LANES) + bias, s = splat(1.0f);
        if (p->softplus)
            d = softplus_vec(d, &s);
        store(dt + t * LANES, d);
        store(slope + t * LANES, s);
        store(dtu + t * LANES, d * load(u + t * LANES));
        store(beta + t * LANES, splat(0.0f));
        store(decay + t * LANES, splat(0.0f));
    }
#define TILE_OF(count, growing)                                                                                        \
    backward_tile(count, growing, steps, padded, fresh, dt, dtu, g, A + n * LANES, w->B + n, w->C + n, w->state + n * LANES,   \
                  lambda + n * LANES, w->dA + (at * N + n) * LANES, beta, decay, w->dB + n * LANES, w->dC + n * LANES)
    EACH_TILE(k->growing, N)
#undef TILE_OF
    vec sumD = splat(0.0f), sumbias = splat(0.0f);
    for (int t = 0; t < steps; t++) {
        vec x = load(u + t * LANES), grad = load(g + t * LANES), b = load(beta + t * LANES);
        vec dd = (x * b + splat(LN2) * load(decay + t * LANES)) * load(slope + t * LANES);
        store(u + t * LANES, D * grad + load(dt + t * LANES) * b);
        store(dt + t * LANES, dd);
        sumD += grad * x;
        sumbias += dd;
    }
    accumulate(w->dD + at * LANES, sumD);
    accumulate(w->dbias + at * LANES, sumbias);
    scatter(u, CHANNELS(du), step, steps, ordered, lanes, add);
    scatter(dt, CHANNELS(ddelta), step, steps, ordered, lanes, 0);
}

/* One split of the channels of one group of one sequence, from its last chunk to its first. */
static void backward_sequence(const ScanProblem *p, const Packed *k, const Workspace *w, int64_t batch, int64_t group,
                              int64_t split)
{
    int64_t step[CHUNK];
    const int N = (int)p->states, padded = k->padded;
    const int64_t begin = split * k->blocks / p->splits, end = (split + 1) * k->blocks / p->splits;
    const int ordered = p->height == 0 || group == 0;
    memset(w->lambda, 0, sizeof(float) * (end - begin) * N * LANES);
    for (int64_t chunk = (p->length - 1) / CHUNK; chunk >= 0; chunk--) {
        const int steps = (int)(p->length - chunk * CHUNK < CHUNK ? p->length - chunk * CHUNK : CHUNK);
        locate(p, group, chunk * CHUNK, steps, step);
        gather(w->B, padded, HERE(B), p->B.lane, p->B.step, step, steps, ordered, N, padded);
        gather(w->C, padded, HERE(C), p->C.lane, p->C.step, step, steps, ordered, N, padded);
        for (int64_t block = begin; block < end; block++)
            backward_block(p, k, w, batch, group, block, chunk, step, steps, block == begin,
                           w->lambda + (block - begin) * N * LANES);
#define PARTIAL(view) (p->view.data + (split * p->batch + batch) * p->view.batch + group * p->view.group)
        scatter_sums(w->dB, padded, PARTIAL(dB), p->dB.lane, p->dB.step, step, steps, ordered, N);
        scatter_sums(w->dC, padded, PARTIAL(dC), p->dC.lane, p->dC.step, step, steps, ordered, N);
#undef PARTIAL
    }
}

/* Returns 0, or 1 where memory ran out. Sums are taken in an order that depends on the number of threads alone. */
SCAN_EXPORT int EXPORTED(scan_backward)(const ScanProblem *p)
{
    Packed k;
    if (pack(p, &k))
        return 1;
    const int64_t N = p->states, all = p->groups * k.blocks, apart = p->height ? 1 : p->groups;
    const int64_t tasks = p->splits * p->batch * apart, sums = all * (N + 2) * LANES;
    const int threads = p->threads;
    double *partial = calloc((size_t)(sums * threads > 0 ? sums * threads : 1), sizeof(double));
    if (!partial) {
        release(&k);
        return 1;
    }
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        const unsigned mode = flush_denormals();
        const int64_t buffer = CHUNK * (int64_t)k.padded, widest = (k.blocks + p->splits - 1) / p->splits;
        float *scratch = allocate((widest + 1) * N * LANES + 2 * buffer + 2 * buffer * LANES);
        failed |= !scratch;
        Workspace w = {.lambda = scratch};
        w.state = w.lambda + widest * N * LANES;
        w.B = w.state + N * LANES;
        w.C = w.B + buffer;
        w.dB = w.C + buffer;
        w.dC = w.dB + buffer * LANES;
        w.dA = partial + thread_index() * sums;
        w.dD = w.dA + all * N * LANES;
        w.dbias = w.dD + all * LANES;
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++) {
            if (!scratch)
                continue;
            const int64_t split = task % p->splits, batch = task / (p->splits * apart);
            if (p->height)
                for (int64_t group = 0; group < p->groups; group++)
                    backward_sequence(p, &k, &w, batch, group, split);
            else
                backward_sequence(p, &k, &w, batch, task / p->splits % apart, split);
        }
        free(scratch);
        restore_denormals(mode);
    }
    for (int thread = 1; thread < threads; thread++)
        for (int64_t i = 0; i < sums; i++)
            partial[i] += partial[thread * sums + i];
    for (int64_t channel = 0; channel < p->groups * p->channels; channel++) {
        const int64_t in_group = channel % p->channels, lane = in_group % LANES;
        const int64_t at = channel / p->channels * k.blocks + in_group / LANES;
        for (int64_t n = 0; n < N; n++)
            p->dA[channel * N + n] = (float)partial[(at * N + n) * LANES + lane];
        if (p->dD)
            p->dD[channel] = (float)partial[(all * N + at) * LANES + lane];
        if (p->dbias)
            p->dbias[channel] = (float)partial[(all * (N + 1) + at) * LANES + lane];
    }
    free(partial);
    release(&k);
    return failed;
}

/* Channels to a vector: decides the shape of the checkpoints. */
SCAN_EXPORT int EXPORTED(scan_lanes)(void) { return LANES; }

/* `count` exponentials from registers, the same code as in the scan: the speed that nothing here can exceed. */
SCAN_EXPORT double EXPORTED(scan_exp_probe)(int64_t count)
{
    vec x[8], sum[8];
    for (int i = 0; i < 8; i++) {
        x[i] = splat(-0.01f * (float)(i + 1));
        sum[i] = splat(0.0f);
    }
    for (int64_t i = 0; i < count / (8 * LANES); i++)
        for (int j = 0; j < 8; j++) {
            sum[j] += exp2_vec(x[j], 0);
            x[j] -= splat(1e-6f);
        }
    double total = 0;
    for (int i = 0; i < 8; i++)
        total += horizontal_sum(sum[i]);
    return total;
}

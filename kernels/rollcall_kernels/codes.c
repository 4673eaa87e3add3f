/* Two bits a dimension: short codes of rows, and the scan that finds the likely ones.
 *
 * A row is turned by a fixed random rotation, so that its numbers are alike whatever the model,
 * and each becomes one of four levels. With the level's centre c the product of a query with the
 * row is estimated without bias as <q, c> |x|^2 / <x, c>, as in RaBitQ (Gao and Long, 2024), whose
 * correction factor this is; two bits instead of one halve the error of the estimate.
 *
 * The rotation is four rounds of random signs and a Hadamard transform, which costs D log D. A
 * transform has a power of two numbers; for other D it is applied to the first and to the last of
 * them in turn.
 *
 * 128 numbers are 32 bytes: byte j holds numbers j, j + 32, j + 64, j + 96, the first lowest.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "best.h"
#include "machine.h"

enum { GROUP = 128, GROUP_BYTES = 32, ROUNDS = 4, AHEAD = 4096 };

/* The width of a level that loses least of a normal distribution, in standard deviations. */
static const float STEP = 0.9957f;

static int64_t groups_of(int64_t dimension) { return (dimension + GROUP - 1) / GROUP; }

/* --- the rotation ------------------------------------------------------------------------------*/

/* splitmix64: the signs must be the same in every process and for ever. */
static uint64_t scrambled(uint64_t number) {
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
    number = (number ^ number >> 27) * 0x94d049bb133111ebu;
    return number ^ number >> 31;
}

/* +-1 for each number of each round, times what keeps the length. */
static void signs_of(int64_t dimension, int64_t width, float *signs) {
    float keep = 1 / sqrtf((float)width);
    int64_t round, at;
    for (round = 0; round < ROUNDS; round++)
        for (at = 0; at < dimension; at++) {
            float sign = scrambled((uint64_t)(round * dimension + at)) & 1 ? 1.0f : -1.0f;
            int64_t first = round & 1 ? dimension - width : 0;
            signs[round * dimension + at] =
                at >= first && at < first + width ? sign * keep : sign;
        }
}

INLINE void eight_in_place(float *p) {
    float a0 = p[0] + p[1], a1 = p[0] - p[1], a2 = p[2] + p[3], a3 = p[2] - p[3];
    float a4 = p[4] + p[5], a5 = p[4] - p[5], a6 = p[6] + p[7], a7 = p[6] - p[7];
    float b0 = a0 + a2, b1 = a1 + a3, b2 = a0 - a2, b3 = a1 - a3;
    float b4 = a4 + a6, b5 = a5 + a7, b6 = a4 - a6, b7 = a5 - a7;
    p[0] = b0 + b4, p[1] = b1 + b5, p[2] = b2 + b6, p[3] = b3 + b7;
    p[4] = b0 - b4, p[5] = b1 - b5, p[6] = b2 - b6, p[7] = b3 - b7;
}

INLINE void hadamard(float *part, int64_t width) {
    int64_t at, half = 1, first;
    int lane;
    if (width >= 8) {
        for (at = 0; at < width; at += 8) eight_in_place(part + at);
        half = 8;
    }
    for (; half < width; half *= 2)
        for (first = 0; first < width; first += 2 * half) {
            float *low = part + first, *high = low + half;
            if (half < 8)
                for (at = 0; at < half; at++) {
                    float a = low[at], b = high[at];
                    low[at] = a + b, high[at] = a - b;
                }
            else
                for (at = 0; at < half; at += 8) {
                    float a[8], b[8];
                    for (lane = 0; lane < 8; lane++) a[lane] = low[at + lane];
                    for (lane = 0; lane < 8; lane++) b[lane] = high[at + lane];
                    for (lane = 0; lane < 8; lane++) low[at + lane] = a[lane] + b[lane];
                    for (lane = 0; lane < 8; lane++) high[at + lane] = a[lane] - b[lane];
                }
        }
}

INLINE void rotate_by(float *vector, int64_t dimension, int64_t width, const float *signs) {
    int64_t round, at;
    for (round = 0; round < ROUNDS; round++) {
        for (at = 0; at < dimension; at++) vector[at] *= signs[round * dimension + at];
        hadamard(vector + (round & 1 ? dimension - width : 0), width);
    }
}

/* room: two times whole groups of numbers. */
INLINE void encode_by(const float *vector, float *room, int64_t dimension, int64_t width,
                      const float *signs, uint8_t *codes, float *factor) {
    int64_t padded = groups_of(dimension) * GROUP, at;
    float spread = sqrtf((float)dimension) / STEP, squares[8] = {0}, alongs[8] = {0};
    float square = 0, along = 0, *levels = room + padded;
    int lane;
    memset(room + dimension, 0, (size_t)(padded - dimension) * sizeof *room);
    memcpy(room, vector, (size_t)dimension * sizeof *room);
    rotate_by(room, dimension, width, signs);
    for (at = 0; at < padded; at += 8)
        for (lane = 0; lane < 8; lane++) {
            float number = room[at + lane], level = floorf(number * spread + 2);
            level = level < 0 ? 0 : level > 3 ? 3 : level;
            levels[at + lane] = level;
            squares[lane] += number * number;
            alongs[lane] += number * (level - 1.5f);
        }
    for (lane = 0; lane < 8; lane++) square += squares[lane], along += alongs[lane];
    for (; padded; padded -= GROUP, levels += GROUP, codes += GROUP_BYTES)
        for (at = 0; at < GROUP_BYTES; at++)
            codes[at] = (uint8_t)((int)levels[at] | (int)levels[at + 32] << 2 |
                                  (int)levels[at + 64] << 4 | (int)levels[at + 96] << 6);
    *factor = square / along;
}

#if X86
FAST static void rotate_fast(float *vector, int64_t dimension, int64_t width, const float *signs) {
    rotate_by(vector, dimension, width, signs);
}
FAST static void encode_fast(const float *vector, float *room, int64_t dimension, int64_t width,
                             const float *signs, uint8_t *codes, float *factor) {
    encode_by(vector, room, dimension, width, signs, codes, factor);
}
#endif

/* NULL where there is no memory; the caller frees it. `width` is the greatest power of two. */
static float *new_signs(int64_t dimension, int64_t *width) {
    float *signs = malloc((size_t)(ROUNDS * dimension) * sizeof *signs);
    for (*width = 1; *width * 2 <= dimension;) *width *= 2;
    if (signs) signs_of(dimension, *width, signs);
    return signs;
}

int rollcall_encode_codes(const float *vectors, int64_t rows, int64_t dimension, uint8_t *codes,
                          float *factors) {
    int64_t row, width, size = groups_of(dimension) * GROUP_BYTES;
    float *signs = new_signs(dimension, &width), *room;
    room = malloc((size_t)(2 * groups_of(dimension) * GROUP) * sizeof *room);
    if (!signs || !room) {
        free(signs), free(room);
        return -1;
    }
    for (row = 0; row < rows; row++) {
#if X86
        if (rollcall_is_fast()) {
            encode_fast(vectors + row * dimension, room, dimension, width, signs,
                        codes + row * size, factors + row);
            continue;
        }
#endif
        encode_by(vectors + row * dimension, room, dimension, width, signs, codes + row * size,
                  factors + row);
    }
    free(signs), free(room);
    return 0;
}

/* --- the scan ----------------------------------------------------------------------------------*/

typedef struct {
    const int8_t *numbers; /* padded to whole groups with zeros */
    float scale, offset;   /* <q, c> = scale (sum of numbers times codes - offset) */
} asked_t;

static asked_t short_query(const float *query, int64_t dimension, int64_t padded, int8_t *out) {
    asked_t asked = {out, 0, 0};
    float most = 0;
    int32_t sum = 0;
    int64_t at;
    for (at = 0; at < dimension; at++) most = fmaxf(most, fabsf(query[at]));
    asked.scale = most / 127;
    memset(out, 0, (size_t)padded);
    for (at = 0; at < dimension; at++) {
        out[at] = (int8_t)nearbyintf(query[at] / asked.scale);
        sum += out[at];
    }
    asked.offset = 1.5f * (float)sum;
    return asked;
}

INLINE void offer_one(best_t *best, float score, const uint8_t *skipped, int64_t row,
                      int64_t before) {
    if (score > best->least && !(skipped && skipped[row]))
        best_offer(best, score, (uint32_t)(before + row));
}

static int32_t sum_plain(const uint8_t *code, const int8_t *numbers, int64_t groups) {
    int32_t sum = 0;
    int64_t group;
    int at, part;
    for (group = 0; group < groups; group++, code += GROUP_BYTES, numbers += GROUP)
        for (part = 0; part < 4; part++)
            for (at = 0; at < GROUP_BYTES; at++)
                sum += (code[at] >> 2 * part & 3) * numbers[part * GROUP_BYTES + at];
    return sum;
}

static void scan_plain(const uint8_t *codes, const float *factors, const uint8_t *skipped,
                       int64_t first, int64_t used, int64_t groups, const asked_t *asked,
                       best_t *best, int64_t before) {
    int64_t row;
    for (row = first; row < used; row++) {
        int32_t sum = sum_plain(codes + row * groups * GROUP_BYTES, asked->numbers, groups);
        float score = factors[row] * asked->scale * ((float)sum - asked->offset);
        offer_one(best, score, skipped, row, before);
    }
}

#if X86

/* Eight sums of 32 bits: added up, four times the product of a row with the query. Codes in the
 * upper half of each four bits are left there, so they count four times. */
FAST INLINE __m256i product(const uint8_t *code, const int8_t *numbers, int64_t groups) {
    const __m256i lower = _mm256_set1_epi8(0x03), upper = _mm256_set1_epi8(0x0c);
    __m256i sum = _mm256_setzero_si256();
    int64_t group, last;
    for (group = 0; group < groups; group = last) {
        __m256i low = _mm256_setzero_si256(), high = low;
        /* 4 groups: 4 x 2 x 2 x 12 x 127 is the most that 16 bits hold */
        last = groups - group < 4 ? groups : group + 4;
#pragma GCC unroll 4
        for (; group < last; group++) {
            const __m256i *query = (const __m256i *)(numbers + group * GROUP);
            __m256i bits = _mm256_loadu_si256((const __m256i *)(code + group * GROUP_BYTES));
            __m256i next = _mm256_srli_epi16(bits, 4);
            __m256i a = _mm256_maddubs_epi16(_mm256_and_si256(bits, lower),
                                             _mm256_loadu_si256(query));
            __m256i b = _mm256_maddubs_epi16(_mm256_and_si256(bits, upper),
                                             _mm256_loadu_si256(query + 1));
            __m256i c = _mm256_maddubs_epi16(_mm256_and_si256(next, lower),
                                             _mm256_loadu_si256(query + 2));
            __m256i d = _mm256_maddubs_epi16(_mm256_and_si256(next, upper),
                                             _mm256_loadu_si256(query + 3));
            low = _mm256_add_epi16(low, _mm256_add_epi16(a, c));
            high = _mm256_add_epi16(high, _mm256_add_epi16(b, d));
        }
        sum = _mm256_add_epi32(
            sum, _mm256_add_epi32(_mm256_madd_epi16(low, _mm256_set1_epi16(4)),
                                  _mm256_madd_epi16(high, _mm256_set1_epi16(1))));
    }
    return sum;
}

FAST INLINE __m256i sums_of_eight(const __m256i *parts) {
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(parts[0], parts[1]),
                                  _mm256_hadd_epi32(parts[2], parts[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(parts[4], parts[5]),
                                  _mm256_hadd_epi32(parts[6], parts[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

FAST INLINE void scan_eight(const uint8_t *codes, const float *factors, const uint8_t *skipped,
                            int64_t row, int64_t groups, const asked_t *asked, best_t *best,
                            int64_t before) {
    const uint8_t *here = codes + row * groups * GROUP_BYTES;
    int64_t line;
    __m256i parts[8];
    __m256 scores;
    float each[8];
    int at, above;
    for (line = 0; line < 8 * groups * GROUP_BYTES; line += 64)
        _mm_prefetch((const char *)here + AHEAD + line, _MM_HINT_T0);
#pragma GCC unroll 8
    for (at = 0; at < 8; at++)
        parts[at] = product(here + at * groups * GROUP_BYTES, asked->numbers, groups);
    scores = _mm256_mul_ps(_mm256_cvtepi32_ps(sums_of_eight(parts)), _mm256_set1_ps(0.25f));
    scores = _mm256_mul_ps(
        _mm256_mul_ps(_mm256_loadu_ps(factors + row), _mm256_set1_ps(asked->scale)),
        _mm256_sub_ps(scores, _mm256_set1_ps(asked->offset)));
    above = _mm256_movemask_ps(_mm256_cmp_ps(scores, _mm256_set1_ps(best->least), _CMP_GT_OQ));
    if (!above) return;
    _mm256_storeu_ps(each, scores);
    for (at = 0; at < 8; at++) offer_one(best, each[at], skipped, row + at, before);
}

FAST static void scan_fast(const uint8_t *codes, const float *factors, const uint8_t *skipped,
                           int64_t first, int64_t used, int64_t groups, const asked_t *asked,
                           best_t *best, int64_t before) {
    int64_t row = first;
    if (groups == 4) /* unrolled for 512 dimensions */
        for (; row + 8 <= used; row += 8)
            scan_eight(codes, factors, skipped, row, 4, asked, best, before);
    else
        for (; row + 8 <= used; row += 8)
            scan_eight(codes, factors, skipped, row, groups, asked, best, before);
    scan_plain(codes, factors, skipped, row, used, groups, asked, best, before);
}

#endif

/* The likely best `count` rows of all blocks together, for each query. Rows are numbered through
 * all blocks; `skipped` of a block is NULL, or a byte for each row that is not 0 where it does not
 * count. */
int rollcall_scan_codes(const uint8_t *const *codes, const float *const *factors,
                        const uint8_t *const *skipped, const int64_t *used, int64_t blocks,
                        int64_t dimension, const float *queries, int64_t asked, int64_t count,
                        float *scores, int64_t *where) {
    enum { TOGETHER = 256 }; /* rows that stay in the cache while each query looks at them */
    int64_t groups = groups_of(dimension), padded = groups * GROUP, room = best_room(count);
    int64_t width, q, block, before = 0, first;
    float *signs = new_signs(dimension, &width);
    float *turned = malloc((size_t)dimension * sizeof *turned);
    int8_t *numbers = malloc((size_t)(asked * padded));
    asked_t *all = malloc((size_t)asked * sizeof *all);
    best_t *best = malloc((size_t)asked * sizeof *best);
    uint64_t *keys = malloc((size_t)(asked * room) * sizeof *keys);
    int fast = rollcall_is_fast();
    int failed = !signs || !turned || !numbers || !all || !best || !keys;
    for (q = 0; q < asked && !failed; q++) {
        memcpy(turned, queries + q * dimension, (size_t)dimension * sizeof *turned);
#if X86
        if (fast) rotate_fast(turned, dimension, width, signs);
        else
#endif
            rotate_by(turned, dimension, width, signs);
        all[q] = short_query(turned, dimension, padded, numbers + q * padded);
        best_begin(best + q, keys + q * room, count);
    }
    for (block = 0; block < blocks && !failed; before += used[block++])
        for (first = 0; first < used[block]; first += TOGETHER) {
            int64_t last = used[block] - first < TOGETHER ? used[block] : first + TOGETHER;
            for (q = 0; q < asked; q++) {
#if X86
                if (fast) {
                    scan_fast(codes[block], factors[block], skipped[block], first, last, groups,
                              all + q, best + q, before);
                    continue;
                }
#endif
                scan_plain(codes[block], factors[block], skipped[block], first, last, groups,
                           all + q, best + q, before);
            }
        }
    for (q = 0; q < asked && !failed; q++) best_end(best + q, scores + q * count, where + q * count);
    free(signs), free(turned), free(numbers), free(all), free(best), free(keys);
    return failed ? -1 : 0;
}

/* --- the second look -----------------------------------------------------------------------------*/

INLINE float product_of(const float *row, const float *query, int64_t dimension) {
    float sums[16] = {0}, sum = 0;
    int64_t at = 0;
    int lane;
    for (; at + 16 <= dimension; at += 16)
        for (lane = 0; lane < 16; lane++) sums[lane] += row[at + lane] * query[at + lane];
    for (; at < dimension; at++) sum += row[at] * query[at];
    for (lane = 0; lane < 16; lane++) sum += sums[lane];
    return sum;
}

INLINE void score_by(const float *const *rows, const int64_t *owners, const int64_t *places,
                     int64_t count, int64_t dimension, const float *query, float *scores) {
    int64_t at, line;
    for (at = 0; at < count; at++) {
        if (at + 1 < count) { /* the next row lies anywhere: ask for it early */
            const float *next = rows[owners[at + 1]] + places[at + 1] * dimension;
            for (line = 0; line < dimension; line += 16) __builtin_prefetch(next + line);
        }
        scores[at] = product_of(rows[owners[at]] + places[at] * dimension, query, dimension);
    }
}

#if X86
FAST static void score_fast(const float *const *rows, const int64_t *owners, const int64_t *places,
                            int64_t count, int64_t dimension, const float *query, float *scores) {
    score_by(rows, owners, places, count, dimension, query, scores);
}
#endif

/* Products of one query with rows that lie apart: row `places[i]` of block `owners[i]`. */
void rollcall_score_places(const float *const *rows, const int64_t *owners, const int64_t *places,
                           int64_t count, int64_t dimension, const float *query, float *scores) {
#if X86
    if (rollcall_is_fast()) {
        score_fast(rows, owners, places, count, dimension, query, scores);
        return;
    }
#endif
    score_by(rows, owners, places, count, dimension, query, scores);
}

/* Rows as float16 and as int8 with one scale a row: how they are made, and how they are scanned.
 *
 * A scan takes dot products of four rows with up to three queries at once, which fills the sixteen
 * registers of AVX2, and each product feeds the gathering of its query. Many queries at once share
 * the unpacking of a tile of rows, which stays in the first cache.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "best.h"
#include "machine.h"

enum { TILE = 16, ROWS = 4, QUERIES = 3 };
enum { FLOATS, HALVES };

/* --- portable ----------------------------------------------------------------------------------*/

static float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, bits = half & 0x7fff;
    float value;
    if (bits >= 0x7c00) bits = (bits << 13) | 0x7f800000u;
    else if (bits >= 0x0400) bits = (bits << 13) + 0x38000000u;
    else return (sign ? -1.0f : 1.0f) * (float)bits * 0x1p-24f;
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even; rows are of length one, so nothing is too large. */
static uint16_t float_to_half(float value) {
    uint32_t bits, sign;
    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        float size;
        memcpy(&size, &bits, sizeof size);
        return (uint16_t)(sign | (uint32_t)nearbyintf(size * 0x1p24f));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000u) >> 13);
}

INLINE float dot_plain(const void *row, int kind, const float *query, int64_t dimension) {
    float sums[8] = {0}, sum = 0;
    int64_t at = 0;
    int lane;
    if (kind == FLOATS) {
        const float *numbers = row;
        for (; at + 8 <= dimension; at += 8)
            for (lane = 0; lane < 8; lane++) sums[lane] += numbers[at + lane] * query[at + lane];
        for (; at < dimension; at++) sum += numbers[at] * query[at];
    } else {
        const uint16_t *numbers = row;
        for (; at < dimension; at++) sums[at & 7] += half_to_float(numbers[at]) * query[at];
    }
    for (lane = 0; lane < 8; lane++) sum += sums[lane];
    return sum;
}

static int32_t dot_bytes_plain(const int8_t *row, const int16_t *query, int64_t dimension) {
    int32_t sum = 0;
    int64_t at;
    for (at = 0; at < dimension; at++) sum += (int32_t)row[at] * query[at];
    return sum;
}

/* --- AVX2 --------------------------------------------------------------------------------------*/

#if X86

FAST INLINE __m128 sums_of_four(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

FAST INLINE __m128i sums_of_four_whole(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

FAST INLINE __m256 eight(const void *row, int kind, int64_t at) {
    if (kind == FLOATS) return _mm256_loadu_ps((const float *)row + at);
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)row + at)));
}

/* out[query][row] of four rows, `stride` bytes apart, with `asked` queries, `apart` numbers apart.
 * Sums of one product are always taken in the same order, whatever `asked` is. */
FAST INLINE void dots(const char *rows, int64_t stride, int kind, const float *queries,
                      int64_t apart, int asked, int64_t dimension, float out[QUERIES][ROWS]) {
    __m256 sums[QUERIES][ROWS];
    int64_t at = 0;
    int q, r;
    for (q = 0; q < asked; q++)
        for (r = 0; r < ROWS; r++) sums[q][r] = _mm256_setzero_ps();
    for (; at + 8 <= dimension; at += 8) {
        __m256 wanted[QUERIES];
        for (q = 0; q < asked; q++) wanted[q] = _mm256_loadu_ps(queries + q * apart + at);
        for (r = 0; r < ROWS; r++) {
            __m256 row = eight(rows + r * stride, kind, at);
            for (q = 0; q < asked; q++) sums[q][r] = _mm256_fmadd_ps(row, wanted[q], sums[q][r]);
        }
    }
    for (q = 0; q < asked; q++)
        _mm_storeu_ps(out[q], sums_of_four(sums[q][0], sums[q][1], sums[q][2], sums[q][3]));
    for (; at < dimension; at++) /* of float32 rows alone: the others are padded */
        for (q = 0; q < asked; q++)
            for (r = 0; r < ROWS; r++)
                out[q][r] += ((const float *)(rows + r * stride))[at] * queries[q * apart + at];
}

FAST INLINE __m256i sixteen(const void *row, int packed, int64_t at) {
    if (packed)
        return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)((const int8_t *)row + at)));
    return _mm256_loadu_si256((const __m256i *)((const int16_t *)row + at));
}

/* As `dots`, exactly: rows of int8 (packed) or int16. */
FAST INLINE void dots_whole(const char *rows, int64_t stride, int packed, const int16_t *queries,
                            int asked, int64_t padded, int32_t out[QUERIES][ROWS]) {
    __m256i sums[QUERIES][ROWS];
    int64_t at;
    int q, r;
    for (q = 0; q < asked; q++)
        for (r = 0; r < ROWS; r++) sums[q][r] = _mm256_setzero_si256();
    for (at = 0; at < padded; at += 16) {
        __m256i wanted[QUERIES];
        for (q = 0; q < asked; q++)
            wanted[q] = _mm256_loadu_si256((const __m256i *)(queries + q * padded + at));
        for (r = 0; r < ROWS; r++) {
            __m256i row = sixteen(rows + r * stride, packed, at);
            for (q = 0; q < asked; q++)
                sums[q][r] = _mm256_add_epi32(sums[q][r], _mm256_madd_epi16(row, wanted[q]));
        }
    }
    for (q = 0; q < asked; q++)
        _mm_storeu_si128((__m128i *)out[q],
                         sums_of_four_whole(sums[q][0], sums[q][1], sums[q][2], sums[q][3]));
}

/* The number of queries must be known where the loops above are unrolled. */
FAST static void dots_of(const char *rows, int64_t stride, int kind, const float *queries,
                         int64_t apart, int asked, int64_t dimension, float out[QUERIES][ROWS]) {
    if (kind == FLOATS) {
        if (asked == 1) dots(rows, stride, FLOATS, queries, apart, 1, dimension, out);
        else if (asked == 2) dots(rows, stride, FLOATS, queries, apart, 2, dimension, out);
        else dots(rows, stride, FLOATS, queries, apart, 3, dimension, out);
    } else {
        if (asked == 1) dots(rows, stride, HALVES, queries, apart, 1, dimension, out);
        else if (asked == 2) dots(rows, stride, HALVES, queries, apart, 2, dimension, out);
        else dots(rows, stride, HALVES, queries, apart, 3, dimension, out);
    }
}

FAST static void dots_whole_of(const char *rows, int64_t stride, int packed,
                               const int16_t *queries, int asked, int64_t padded,
                               int32_t out[QUERIES][ROWS]) {
    if (packed) {
        if (asked == 1) dots_whole(rows, stride, 1, queries, 1, padded, out);
        else if (asked == 2) dots_whole(rows, stride, 1, queries, 2, padded, out);
        else dots_whole(rows, stride, 1, queries, 3, padded, out);
    } else {
        if (asked == 1) dots_whole(rows, stride, 0, queries, 1, padded, out);
        else if (asked == 2) dots_whole(rows, stride, 0, queries, 2, padded, out);
        else dots_whole(rows, stride, 0, queries, 3, padded, out);
    }
}

FAST static void unpack_halves(const uint16_t *rows, int64_t numbers, float *out) {
    int64_t at;
    for (at = 0; at < numbers; at += 8) _mm256_storeu_ps(out + at, eight(rows, HALVES, at));
}

FAST static void unpack_bytes(const int8_t *rows, int64_t numbers, int16_t *out) {
    int64_t at;
    for (at = 0; at < numbers; at += 16)
        _mm256_storeu_si256((__m256i *)(out + at), sixteen(rows, 1, at));
}

#else

static void dots_of(const char *rows, int64_t stride, int kind, const float *queries, int64_t apart,
                    int asked, int64_t dimension, float out[QUERIES][ROWS]) {
    (void)rows, (void)stride, (void)kind, (void)queries, (void)apart, (void)asked;
    (void)dimension, (void)out;
}
static void dots_whole_of(const char *rows, int64_t stride, int packed, const int16_t *queries,
                          int asked, int64_t padded, int32_t out[QUERIES][ROWS]) {
    (void)rows, (void)stride, (void)packed, (void)queries, (void)asked, (void)padded, (void)out;
}
static void unpack_halves(const uint16_t *rows, int64_t numbers, float *out) {
    (void)rows, (void)numbers, (void)out;
}
static void unpack_bytes(const int8_t *rows, int64_t numbers, int16_t *out) {
    (void)rows, (void)numbers, (void)out;
}

#endif

/* --- scans -------------------------------------------------------------------------------------*/

/* Gatherings for `asked` queries, in one piece of memory that the caller frees; NULL: none left. */
static best_t *gatherings(int64_t asked, int64_t count) {
    int64_t room = best_room(count), at;
    best_t *all = malloc((size_t)asked * (sizeof(best_t) + (size_t)room * sizeof(uint64_t)));
    if (!all) return NULL;
    for (at = 0; at < asked; at++) best_begin(all + at, (uint64_t *)(all + asked) + at * room, count);
    return all;
}

static void finish(best_t *all, int64_t asked, int64_t count, float *scores, int64_t *where) {
    int64_t at;
    for (at = 0; at < asked; at++) best_end(all + at, scores + at * count, where + at * count);
    free(all);
}

INLINE void offer_all(best_t *best, const float *scores, int64_t count, int64_t first) {
    int64_t at;
    for (at = 0; at < count; at++)
        if (scores[at] > best->least) best_offer(best, scores[at], (uint32_t)(first + at));
}

/* A tile of rows as floats, shared by all queries. The last rows are fewer than four: what is
 * computed beside them is not offered, and lies in the tile, so nothing foreign is read. */
static void scan_tile(const char *rows, int64_t stride, int kind, int64_t count, int64_t first,
                      const float *queries, int64_t asked, int64_t apart, int64_t dimension,
                      best_t *all) {
    float found[QUERIES][ROWS];
    int64_t from, row;
    int q, together;
    for (from = 0; from < asked; from += QUERIES) {
        together = asked - from < QUERIES ? (int)(asked - from) : QUERIES;
        for (row = 0; row < count; row += ROWS) {
            dots_of(rows + row * stride, stride, kind, queries + from * apart, apart, together,
                    dimension, found);
            for (q = 0; q < together; q++)
                offer_all(all + from + q, found[q], count - row < ROWS ? count - row : ROWS,
                          first + row);
        }
    }
}

/* kind: FLOATS with stride == dimension, or HALVES padded with zeros to `stride`. */
static int scan(const void *rows, int kind, int64_t used, int64_t dimension, int64_t stride,
                const float *queries, int64_t asked, int64_t count, float *scores,
                int64_t *where) {
    int64_t size = kind == FLOATS ? 4 : 2, first, q, row;
    best_t *all = gatherings(asked, count);
    if (!all) return -1;
    if (!rollcall_is_fast()) {
        for (row = 0; row < used; row++)
            for (q = 0; q < asked; q++) {
                float score = dot_plain((const char *)rows + row * stride * size, kind,
                                        queries + q * dimension, dimension);
                offer_all(all + q, &score, 1, row);
            }
    } else {
        float *wanted = calloc((size_t)asked, (size_t)stride * sizeof(float));
        float *tile = calloc((size_t)TILE, (size_t)stride * sizeof(float));
        if (!wanted || !tile) {
            free(wanted), free(tile), free(all);
            return -1;
        }
        for (q = 0; q < asked; q++)
            memcpy(wanted + q * stride, queries + q * dimension, (size_t)dimension * sizeof(float));
        for (first = 0; first < used; first += TILE) {
            int64_t together = used - first < TILE ? used - first : TILE;
            const char *here = (const char *)rows + first * stride * size;
            if (kind == HALVES && (asked > QUERIES || together % ROWS)) {
                unpack_halves((const uint16_t *)here, together * stride, tile);
                scan_tile((const char *)tile, stride * 4, FLOATS, together, first, wanted, asked,
                          stride, stride, all);
            } else if (together % ROWS) {
                memcpy(tile, here, (size_t)(together * stride * size));
                scan_tile((const char *)tile, stride * 4, FLOATS, together, first, wanted, asked,
                          stride, stride, all);
            } else {
                scan_tile(here, stride * size, kind, together, first, wanted, asked, stride, stride,
                          all);
            }
        }
        free(wanted), free(tile);
    }
    finish(all, asked, count, scores, where);
    return 0;
}

int rollcall_scan_float(const float *rows, int64_t used, int64_t dimension, const float *queries,
                        int64_t asked, int64_t count, float *scores, int64_t *where) {
    return scan(rows, FLOATS, used, dimension, dimension, queries, asked, count, scores, where);
}

int rollcall_scan_half(const uint16_t *rows, int64_t used, int64_t dimension, int64_t stride,
                       const float *queries, int64_t asked, int64_t count, float *scores,
                       int64_t *where) {
    return scan(rows, HALVES, used, dimension, stride, queries, asked, count, scores, where);
}

/* A query as int16 with a scale, small enough that no sum of `padded` products with int8 is too
 * large for int32. Its numbers are off by half a scale at most. */
static float whole_query(const float *query, int64_t dimension, int64_t padded, int16_t *out) {
    float most = 0, limit = floorf(2147483000.0f / (127.0f * (float)padded)), scale;
    int64_t at;
    if (limit > 32767) limit = 32767;
    for (at = 0; at < dimension; at++) most = fmaxf(most, fabsf(query[at]));
    scale = most / limit;
    memset(out, 0, (size_t)padded * sizeof *out);
    for (at = 0; at < dimension; at++) {
        float number = nearbyintf(query[at] / scale);
        out[at] = (int16_t)(number > limit ? limit : number < -limit ? -limit : number);
    }
    return scale;
}

int rollcall_scan_bytes(const int8_t *rows, const float *scales, int64_t used, int64_t dimension,
                        int64_t stride, const float *queries, int64_t asked, int64_t count,
                        float *scores, int64_t *where) {
    int fast = rollcall_is_fast();
    int64_t first, from, row, q, each;
    best_t *all = gatherings(asked, count);
    int16_t *wanted = malloc((size_t)(asked * stride) * sizeof *wanted);
    int16_t *tile = calloc((size_t)(TILE * stride), sizeof *tile);
    float *steps = malloc((size_t)asked * sizeof *steps);
    if (!all || !wanted || !tile || !steps) {
        free(all), free(wanted), free(tile), free(steps);
        return -1;
    }
    for (q = 0; q < asked; q++)
        steps[q] = whole_query(queries + q * dimension, dimension, stride, wanted + q * stride);
    for (first = 0; first < used; first += TILE) {
        int64_t together = used - first < TILE ? used - first : TILE;
        const int8_t *here = rows + first * stride;
        int packed = asked <= QUERIES && together % ROWS == 0;
        if (fast && !packed) unpack_bytes(here, together * stride, tile);
        for (from = 0; from < asked; from += QUERIES) {
            int group = asked - from < QUERIES ? (int)(asked - from) : QUERIES;
            for (row = 0; row < together; row += ROWS) {
                int64_t count_here = together - row < ROWS ? together - row : ROWS;
                int32_t sums[QUERIES][ROWS];
                float found[ROWS];
                if (!fast) {
                    for (q = 0; q < group; q++)
                        for (each = 0; each < count_here; each++)
                            sums[q][each] = dot_bytes_plain(here + (row + each) * stride,
                                                            wanted + (from + q) * stride, stride);
                } else if (packed) {
                    dots_whole_of((const char *)(here + row * stride), stride, 1,
                                  wanted + from * stride, group, stride, sums);
                } else {
                    dots_whole_of((const char *)(tile + row * stride), 2 * stride, 0,
                                  wanted + from * stride, group, stride, sums);
                }
                for (q = 0; q < group; q++) {
                    for (each = 0; each < count_here; each++)
                        found[each] =
                            (float)sums[q][each] * (scales[first + row + each] * steps[from + q]);
                    offer_all(all + from + q, found, count_here, first + row);
                }
            }
        }
    }
    free(wanted), free(tile), free(steps);
    finish(all, asked, count, scores, where);
    return 0;
}

/* --- making rows -------------------------------------------------------------------------------*/

#if X86
FAST static void halves_of(const float *vector, int64_t dimension, uint16_t *out) {
    int64_t at = 0;
    for (; at + 8 <= dimension; at += 8)
        _mm_storeu_si128((__m128i *)(out + at),
                         _mm256_cvtps_ph(_mm256_loadu_ps(vector + at), _MM_FROUND_TO_NEAREST_INT));
    for (; at < dimension; at++) out[at] = float_to_half(vector[at]);
}
#else
static void halves_of(const float *vector, int64_t dimension, uint16_t *out) {
    (void)vector, (void)dimension, (void)out;
}
#endif

/* How far the farthest row is from what was kept of it (Euclidean). */
double rollcall_encode_half(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                            uint16_t *out) {
    double most = 0;
    int fast = rollcall_is_fast();
    int64_t row, at;
    for (row = 0; row < rows; row++, vectors += dimension, out += stride) {
        double square = 0;
        if (fast) halves_of(vectors, dimension, out);
        else
            for (at = 0; at < dimension; at++) out[at] = float_to_half(vectors[at]);
        memset(out + dimension, 0, (size_t)(stride - dimension) * sizeof *out);
        for (at = 0; at < dimension; at++) {
            double off = (double)vectors[at] - half_to_float(out[at]);
            square += off * off;
        }
        if (square > most) most = square;
    }
    return sqrt(most);
}

/* As above; row = scale * out. */
double rollcall_encode_bytes(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                             int8_t *out, float *scales) {
    double most = 0;
    int64_t row, at;
    for (row = 0; row < rows; row++, vectors += dimension, out += stride) {
        double square = 0;
        float largest = 0, scale;
        for (at = 0; at < dimension; at++) largest = fmaxf(largest, fabsf(vectors[at]));
        scale = scales[row] = largest / 127;
        for (at = 0; at < dimension; at++) {
            float number = nearbyintf(vectors[at] / scale);
            double off;
            number = number > 127 ? 127 : number < -127 ? -127 : number;
            out[at] = (int8_t)number;
            off = (double)vectors[at] - (double)scale * number;
            square += off * off;
        }
        memset(out + dimension, 0, (size_t)(stride - dimension));
        if (square > most) most = square;
    }
    return sqrt(most);
}

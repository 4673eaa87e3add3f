/* Rows as float16 and as int8 with one scale a row: how they are made, and how they are scanned.
 *
 * One query takes rows as they come, one after the other, which is how memory is read fastest. For
 * more, a tile of rows is unpacked into the first cache, and products of four rows with up to
 * three queries are taken at once, as many as the sixteen registers of AVX2 hold. Each product feeds
 * the gathering of its query.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "best.h"
#include "machine.h"

enum { TILE = 8, ROWS = 4, QUERIES = 3, WHOLE_QUERIES = 2, AHEAD = 2048 };

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

static float dot_half_plain(const uint16_t *row, const float *query, int64_t dimension) {
    float sums[8] = {0}, sum = 0;
    int64_t at;
    int lane;
    for (at = 0; at < dimension; at++) sums[at & 7] += half_to_float(row[at]) * query[at];
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

FAST INLINE __m256 eight(const uint16_t *halves) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
}

FAST INLINE __m256i sixteen(const int8_t *bytes) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)bytes));
}

FAST INLINE __m256i product_of_sixteen(const int8_t *row, const int16_t *query) {
    return _mm256_madd_epi16(sixteen(row), _mm256_loadu_si256((const __m256i *)query));
}

/* Products of four rows with one query, each row read from end to end. */
FAST static void products_half(const uint16_t *rows, int64_t stride, const float *query,
                               float out[ROWS]) {
    __m256 sums[ROWS];
    int64_t at;
    int r;
    for (r = 0; r < ROWS; r++, rows += stride) {
        __m256 a = _mm256_setzero_ps(), b = a;
        for (at = 0; at < stride; at += 16) {
            if (at % 32 == 0) _mm_prefetch((const char *)(rows + at) + AHEAD, _MM_HINT_T0);
            a = _mm256_fmadd_ps(eight(rows + at), _mm256_loadu_ps(query + at), a);
            b = _mm256_fmadd_ps(eight(rows + at + 8), _mm256_loadu_ps(query + at + 8), b);
        }
        sums[r] = _mm256_add_ps(a, b);
    }
    _mm_storeu_ps(out, sums_of_four(sums[0], sums[1], sums[2], sums[3]));
}

FAST static void products_bytes(const int8_t *rows, int64_t stride, const int16_t *query,
                                int32_t out[ROWS]) {
    __m256i sums[ROWS];
    int64_t at;
    int r;
    for (r = 0; r < ROWS; r++, rows += stride) {
        __m256i a = _mm256_setzero_si256(), b = a;
        for (at = 0; at + 64 <= stride; at += 64) { /* a line of the cache */
            _mm_prefetch((const char *)(rows + at) + AHEAD, _MM_HINT_T0);
            a = _mm256_add_epi32(a, product_of_sixteen(rows + at, query + at));
            b = _mm256_add_epi32(b, product_of_sixteen(rows + at + 16, query + at + 16));
            a = _mm256_add_epi32(a, product_of_sixteen(rows + at + 32, query + at + 32));
            b = _mm256_add_epi32(b, product_of_sixteen(rows + at + 48, query + at + 48));
        }
        for (; at < stride; at += 16)
            a = _mm256_add_epi32(a, product_of_sixteen(rows + at, query + at));
        sums[r] = _mm256_add_epi32(a, b);
    }
    _mm_storeu_si128((__m128i *)out, sums_of_four_whole(sums[0], sums[1], sums[2], sums[3]));
}

/* out[query][row] of four rows and `asked` queries, all `stride` numbers apart. */
FAST INLINE void dots(const float *rows, const float *queries, int asked, int64_t stride,
                      float out[QUERIES][ROWS]) {
    __m256 sums[QUERIES][ROWS];
    int64_t at;
    int q, r;
    for (q = 0; q < asked; q++)
        for (r = 0; r < ROWS; r++) sums[q][r] = _mm256_setzero_ps();
    for (at = 0; at < stride; at += 8)
        for (r = 0; r < ROWS; r++) {
            __m256 row = _mm256_loadu_ps(rows + r * stride + at);
            for (q = 0; q < asked; q++)
                sums[q][r] = _mm256_fmadd_ps(row, _mm256_loadu_ps(queries + q * stride + at),
                                             sums[q][r]);
        }
    for (q = 0; q < asked; q++)
        _mm_storeu_ps(out[q], sums_of_four(sums[q][0], sums[q][1], sums[q][2], sums[q][3]));
}

/* As `dots`; a product and its sum take a register more than one fused of floats. */
FAST INLINE void dots_whole(const int16_t *rows, const int16_t *queries, int asked, int64_t stride,
                            int32_t out[WHOLE_QUERIES][ROWS]) {
    __m256i sums[WHOLE_QUERIES][ROWS];
    int64_t at;
    int q, r;
    for (q = 0; q < asked; q++)
        for (r = 0; r < ROWS; r++) sums[q][r] = _mm256_setzero_si256();
    for (at = 0; at < stride; at += 16)
        for (r = 0; r < ROWS; r++) {
            __m256i row = _mm256_loadu_si256((const __m256i *)(rows + r * stride + at));
            for (q = 0; q < asked; q++) {
                __m256i query = _mm256_loadu_si256((const __m256i *)(queries + q * stride + at));
                sums[q][r] = _mm256_add_epi32(sums[q][r], _mm256_madd_epi16(row, query));
            }
        }
    for (q = 0; q < asked; q++)
        _mm_storeu_si128((__m128i *)out[q],
                         sums_of_four_whole(sums[q][0], sums[q][1], sums[q][2], sums[q][3]));
}

/* The number of queries must be known where the loops above are unrolled. */
FAST static void products_tile(const float *rows, const float *queries, int asked, int64_t stride,
                               float out[QUERIES][ROWS]) {
    if (asked == 1) dots(rows, queries, 1, stride, out);
    else if (asked == 2) dots(rows, queries, 2, stride, out);
    else dots(rows, queries, 3, stride, out);
}

FAST static void products_tile_whole(const int16_t *rows, const int16_t *queries, int asked,
                                     int64_t stride, int32_t out[WHOLE_QUERIES][ROWS]) {
    if (asked == 1) dots_whole(rows, queries, 1, stride, out);
    else dots_whole(rows, queries, 2, stride, out);
}

FAST static void unpack_halves(const uint16_t *rows, int64_t numbers, float *out) {
    int64_t at;
    for (at = 0; at < numbers; at += 16) {
        _mm_prefetch((const char *)(rows + at) + AHEAD, _MM_HINT_T0);
        _mm256_storeu_ps(out + at, eight(rows + at));
        _mm256_storeu_ps(out + at + 8, eight(rows + at + 8));
    }
}

FAST static void unpack_bytes(const int8_t *rows, int64_t numbers, int16_t *out) {
    int64_t at;
    for (at = 0; at < numbers; at += 16) {
        _mm_prefetch((const char *)(rows + at) + AHEAD, _MM_HINT_T0);
        _mm256_storeu_si256((__m256i *)(out + at), sixteen(rows + at));
    }
}

#else /* never called: `rollcall_is_fast` is 0 */

static void products_half(const uint16_t *rows, int64_t stride, const float *query, float *out) {
    (void)rows, (void)stride, (void)query, (void)out;
}
static void products_bytes(const int8_t *rows, int64_t stride, const int16_t *query, int32_t *out) {
    (void)rows, (void)stride, (void)query, (void)out;
}
static void products_tile(const float *rows, const float *queries, int asked, int64_t stride,
                          float out[QUERIES][ROWS]) {
    (void)rows, (void)queries, (void)asked, (void)stride, (void)out;
}
static void products_tile_whole(const int16_t *rows, const int16_t *queries, int asked,
                                int64_t stride, int32_t out[WHOLE_QUERIES][ROWS]) {
    (void)rows, (void)queries, (void)asked, (void)stride, (void)out;
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

/* Four rows at a time; the last are fewer, and lie in a tile, so that nothing foreign is read. */
INLINE int64_t rows_from(int64_t row, int64_t end) { return end - row < ROWS ? end - row : ROWS; }

int rollcall_scan_half(const uint16_t *rows, int64_t used, int64_t dimension, int64_t stride,
                       const float *queries, int64_t asked, int64_t count, float *scores,
                       int64_t *where) {
    int fast = rollcall_is_fast();
    int64_t first, row, from, q;
    float found[QUERIES][ROWS], *wanted, *tile;
    best_t *all = gatherings(asked, count);
    wanted = calloc((size_t)asked, (size_t)stride * sizeof *wanted);
    tile = calloc((size_t)TILE, (size_t)stride * sizeof *tile);
    if (!all || !wanted || !tile) {
        free(all), free(wanted), free(tile);
        return -1;
    }
    for (q = 0; q < asked; q++)
        memcpy(wanted + q * stride, queries + q * dimension, (size_t)dimension * sizeof *wanted);
    for (first = 0; first < used; first += TILE) {
        int64_t end = used - first < TILE ? used : first + TILE;
        int straight = asked == 1 && (end - first) % ROWS == 0;
        if (!fast) {
            for (row = first; row < end; row++)
                for (q = 0; q < asked; q++) {
                    float score = dot_half_plain(rows + row * stride, wanted + q * stride, stride);
                    offer_all(all + q, &score, 1, row);
                }
            continue;
        }
        if (!straight) unpack_halves(rows + first * stride, (end - first) * stride, tile);
        for (from = 0; from < asked; from += QUERIES) {
            int together = asked - from < QUERIES ? (int)(asked - from) : QUERIES;
            for (row = first; row < end; row += ROWS) {
                if (straight) products_half(rows + row * stride, stride, wanted, found[0]);
                else
                    products_tile(tile + (row - first) * stride, wanted + from * stride, together,
                                  stride, found);
                for (q = 0; q < together; q++)
                    offer_all(all + from + q, found[q], rows_from(row, end), row);
            }
        }
    }
    free(wanted), free(tile);
    finish(all, asked, count, scores, where);
    return 0;
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
    int32_t sums[WHOLE_QUERIES][ROWS];
    float found[ROWS];
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
        int64_t end = used - first < TILE ? used : first + TILE;
        int straight = asked == 1 && (end - first) % ROWS == 0;
        if (fast && !straight) unpack_bytes(rows + first * stride, (end - first) * stride, tile);
        for (from = 0; from < asked; from += WHOLE_QUERIES) {
            int together = asked - from < WHOLE_QUERIES ? (int)(asked - from) : WHOLE_QUERIES;
            for (row = first; row < end; row += ROWS) {
                int64_t here = rows_from(row, end);
                if (!fast) {
                    for (q = 0; q < together; q++)
                        for (each = 0; each < here; each++)
                            sums[q][each] = dot_bytes_plain(rows + (row + each) * stride,
                                                            wanted + (from + q) * stride, stride);
                } else if (straight) {
                    products_bytes(rows + row * stride, stride, wanted, sums[0]);
                } else {
                    products_tile_whole(tile + (row - first) * stride, wanted + from * stride,
                                        together, stride, sums);
                }
                for (q = 0; q < together; q++) {
                    for (each = 0; each < here; each++)
                        found[each] = (float)sums[q][each] * (scales[row + each] * steps[from + q]);
                    offer_all(all + from + q, found, here, row);
                }
            }
        }
    }
    free(wanted), free(tile), free(steps);
    finish(all, asked, count, scores, where);
    return 0;
}

/* --- making rows -------------------------------------------------------------------------------*/

/* Eight lanes, so that a compiler may take them side by side: sums in order would forbid it. */

INLINE float largest_of(const float *vector, int64_t dimension) {
    float lanes[8] = {0}, largest = 0;
    int64_t at = 0;
    int lane;
    for (; at + 8 <= dimension; at += 8)
        for (lane = 0; lane < 8; lane++) {
            float size = fabsf(vector[at + lane]);
            lanes[lane] = size > lanes[lane] ? size : lanes[lane];
        }
    for (; at < dimension; at++)
        lanes[0] = fabsf(vector[at]) > lanes[0] ? fabsf(vector[at]) : lanes[0];
    for (lane = 0; lane < 8; lane++) largest = lanes[lane] > largest ? lanes[lane] : largest;
    return largest;
}

/* Numbers in steps of `scale`, and the squared distance to what they stand for. */
INLINE double bytes_of(const float *vector, int64_t dimension, float scale, int8_t *out) {
    double lanes[8] = {0}, square = 0;
    float times = 1 / scale;
    int64_t at = 0;
    int lane;
    for (; at < dimension; at += 8) {
        int most = dimension - at < 8 ? (int)(dimension - at) : 8;
        for (lane = 0; lane < most; lane++) {
            float number = nearbyintf(vector[at + lane] * times);
            double off;
            number = number > 127 ? 127 : number < -127 ? -127 : number;
            out[at + lane] = (int8_t)number;
            off = (double)vector[at + lane] - (double)scale * (double)number;
            lanes[lane] += off * off;
        }
    }
    for (lane = 0; lane < 8; lane++) square += lanes[lane];
    return square;
}

static double half_plain(const float *vector, int64_t dimension, uint16_t *out) {
    double square = 0;
    int64_t at;
    for (at = 0; at < dimension; at++) {
        double off;
        out[at] = float_to_half(vector[at]);
        off = (double)vector[at] - (double)half_to_float(out[at]);
        square += off * off;
    }
    return square;
}

#if X86
FAST static double half_fast(const float *vector, int64_t dimension, uint16_t *out) {
    __m256d low = _mm256_setzero_pd(), high = low;
    double lanes[4], square;
    int64_t at = 0;
    for (; at + 8 <= dimension; at += 8) {
        __m256 numbers = _mm256_loadu_ps(vector + at), off;
        __m128i halves = _mm256_cvtps_ph(numbers, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(out + at), halves);
        off = _mm256_sub_ps(numbers, _mm256_cvtph_ps(halves)); /* exact: they are so near */
        low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(off)),
                              _mm256_cvtps_pd(_mm256_castps256_ps128(off)), low);
        high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(off, 1)),
                               _mm256_cvtps_pd(_mm256_extractf128_ps(off, 1)), high);
    }
    _mm256_storeu_pd(lanes, _mm256_add_pd(low, high));
    square = half_plain(vector + at, dimension - at, out + at);
    return square + lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
FAST static float largest_fast(const float *vector, int64_t dimension) {
    return largest_of(vector, dimension);
}
FAST static double bytes_fast(const float *vector, int64_t dimension, float scale, int8_t *out) {
    return bytes_of(vector, dimension, scale, out);
}
#else
#define half_fast half_plain
#define largest_fast largest_of
#define bytes_fast bytes_of
#endif

/* How far the farthest row is from what was kept of it (Euclidean). */
double rollcall_encode_half(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                            uint16_t *out) {
    double most = 0;
    int fast = rollcall_is_fast();
    int64_t row;
    for (row = 0; row < rows; row++, vectors += dimension, out += stride) {
        double square = fast ? half_fast(vectors, dimension, out)
                             : half_plain(vectors, dimension, out);
        memset(out + dimension, 0, (size_t)(stride - dimension) * sizeof *out);
        if (square > most) most = square;
    }
    return sqrt(most);
}

/* As above; row = scale * out. */
double rollcall_encode_bytes(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                             int8_t *out, float *scales) {
    double most = 0;
    int fast = rollcall_is_fast();
    int64_t row;
    for (row = 0; row < rows; row++, vectors += dimension, out += stride) {
        float largest = fast ? largest_fast(vectors, dimension) : largest_of(vectors, dimension);
        double square;
        scales[row] = largest / 127;
        square = fast ? bytes_fast(vectors, dimension, scales[row], out)
                      : bytes_of(vectors, dimension, scales[row], out);
        memset(out + dimension, 0, (size_t)(stride - dimension));
        if (square > most) most = square;
    }
    return sqrt(most);
}

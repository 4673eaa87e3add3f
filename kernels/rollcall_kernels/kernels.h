/* What Python sees (it reads this file; `cdef` takes no preprocessor, so there is none below).
 *
 * Each call runs on the calling thread alone. Rows are `stride` numbers apart. Functions that need
 * memory return 0, or -1 where there was none. Queries are float32[queries, dimension].
 */
int rollcall_version(void);
int rollcall_fast(int allowed);

double rollcall_encode_half(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                            uint16_t *out);
double rollcall_encode_bytes(const float *vectors, int64_t rows, int64_t dimension, int64_t stride,
                             int8_t *out, float *scales);

int rollcall_scan_half(const uint16_t *rows, int64_t used, int64_t dimension, int64_t stride,
                       const float *queries, int64_t asked, int64_t count, float *scores,
                       int64_t *where);
int rollcall_scan_bytes(const int8_t *rows, const float *scales, int64_t used, int64_t dimension,
                        int64_t stride, const float *queries, int64_t asked, int64_t count,
                        float *scores, int64_t *where);

int rollcall_encode_codes(const float *vectors, int64_t rows, int64_t dimension, uint8_t *codes,
                          float *factors);
int rollcall_scan_codes(const uint8_t *const *codes, const float *const *factors,
                        const uint8_t *const *skipped, const int64_t *used, int64_t blocks,
                        int64_t dimension, const float *queries, int64_t asked, int64_t count,
                        float *scores, int64_t *where);
void rollcall_score_places(const float *const *rows, const int64_t *owners, const int64_t *places,
                           int64_t count, int64_t dimension, const float *query, float *scores);

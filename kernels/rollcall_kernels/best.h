/* The `count` best of a stream of scores, for one query.
 *
 * A score and its position are one number, so that there are no ties: of equal scores the earlier
 * position is the better. What is offered is gathered, and cut to the best `count` each time the
 * room is full; from then on most scores fail one comparison with `least`.
 */
#ifndef ROLLCALL_BEST_H
#define ROLLCALL_BEST_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t *keys;
    int64_t count, room, held;
    float least; /* nothing that is not above it can be among the best */
} best_t;

/* Numbers a gathering of `count` needs. */
static inline int64_t best_room(int64_t count) { return 2 * count + 64; }

static inline void best_begin(best_t *best, uint64_t *keys, int64_t count) {
    best->keys = keys;
    best->count = count;
    best->room = best_room(count);
    best->held = 0;
    best->least = -INFINITY;
}

/* Greater for a higher score; for equal ones, for a lower position. */
static inline uint64_t best_key(float score, uint32_t position) {
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    bits = (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~position;
}

static inline float best_score(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float score;
    bits = (bits & 0x80000000u) ? bits & 0x7fffffffu : ~bits;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static inline uint32_t best_position(uint64_t key) { return ~(uint32_t)key; }

/* Put the `count` greatest first (Hoare's selection); no two keys are equal. */
static void best_select(uint64_t *keys, int64_t held, int64_t count) {
    int64_t low = 0, high = held - 1, last = count - 1;
    while (low < high) {
        uint64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high];
        uint64_t middle = a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b));
        int64_t left = low, right = high;
        while (left <= right) {
            while (keys[left] > middle) left++;
            while (keys[right] < middle) right--;
            if (left <= right) {
                uint64_t moved = keys[left];
                keys[left++] = keys[right];
                keys[right--] = moved;
            }
        }
        if (last <= right) high = right;
        else if (last >= left) low = left;
        else return;
    }
}

static void best_cut(best_t *best) {
    uint64_t last;
    int64_t at;
    if (best->held <= best->count) return;
    best_select(best->keys, best->held, best->count);
    best->held = best->count;
    last = best->keys[0];
    for (at = 1; at < best->count; at++)
        if (best->keys[at] < last) last = best->keys[at];
    best->least = best_score(last);
}

/* The caller has seen that score > best->least. */
static inline void best_offer(best_t *best, float score, uint32_t position) {
    best->keys[best->held++] = best_key(score, position);
    if (best->held == best->room) best_cut(best);
}

static int best_descending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? 1 : -(a > b);
}

/* Write the best, best first; what is missing has the score -inf and the position -1. */
static void best_end(best_t *best, float *scores, int64_t *positions) {
    int64_t at;
    best_cut(best);
    qsort(best->keys, (size_t)best->held, sizeof *best->keys, best_descending);
    for (at = 0; at < best->count; at++) {
        int there = at < best->held;
        scores[at] = there ? best_score(best->keys[at]) : -INFINITY;
        positions[at] = there ? (int64_t)best_position(best->keys[at]) : -1;
    }
}

#endif

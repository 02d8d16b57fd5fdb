/*
 * Fixed-point arithmetic as gemmlowp defines it and TensorFlow Lite uses it: every operation rounds to the nearest, and
 * half a step away from zero.
 */
#ifndef PULSEPROOF_FIXED_POINT_H
#define PULSEPROOF_FIXED_POINT_H

#include "kernels.h"

static inline int32_t pp_clamp(int32_t x, int32_t least, int32_t most)
{
    return x < least ? least : x > most ? most : x;
}

/* x / 2**power. */
static inline int32_t pp_divide_by_power(int32_t x, int32_t power)
{
    const int32_t mask = (int32_t)((1u << power) - 1u);
    const int32_t remainder = x & mask;
    const int32_t half = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> power) + (remainder > half ? 1 : 0);
}

/* x * multiplier * 2**(shift - 31), rounded behind the multiplier and again behind the shift. */
static inline int32_t pp_rescale(int32_t x, pp_factor factor)
{
    const int32_t left = factor.shift > 0 ? factor.shift : 0;
    const int32_t right = factor.shift > 0 ? 0 : -factor.shift;
    const int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * factor.multiplier;
    return pp_divide_by_power((int32_t)((product + (1ll << 30)) >> 31), right);
}

#endif

/*
 * FULLY_CONNECTED. CMSIS-NN has a kernel for it, which rounds twice, behind the multiplier and behind the shift; LiteRT's
 * rounds once here. They differ by a step in one sum of some hundred, and what ends a network is its scores.
 */
#include "fixed_point.h"

/* x * multiplier * 2**(shift - 31), rounded once; half a step goes up. */
static int32_t rescaled_once(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t right = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + (1ll << (right - 1))) >> right);
}

void pp_dense(const pp_dense_layer *layer, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < layer->rows; row++, x += layer->inputs)
        for (int32_t i = 0; i < layer->outputs; i++)
        {
            const int8_t *weights = layer->weights + i * layer->inputs;
            int32_t sum = layer->bias[i]; /* with what the input's zero point adds */
            for (int32_t j = 0; j < layer->inputs; j++)
                sum += x[j] * weights[j];
            const int32_t whole = rescaled_once(sum, layer->multipliers[i], layer->shifts[i]) + layer->output_offset;
            *y++ = (int8_t)pp_clamp(whole, layer->least, layer->most);
        }
}

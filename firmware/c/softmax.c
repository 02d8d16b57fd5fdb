/*
 * SOFTMAX along rows. As TensorFlow Lite's optimized_ops.h (Softmax with a table of exponentials), the kernel that
 * LiteRT runs for int8. Its sums are float32, and every operation here is one of IEEE 754 in the same order: it must be
 * compiled without -ffast-math.
 */
#include "fixed_point.h"

/* Half a step goes away from zero, as in TensorFlow Lite's TfLiteRound. */
static int32_t rounded(float x)
{
    const int32_t whole = (int32_t)x;
    const float rest = x - (float)whole;
    return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

void pp_softmax(const float powers[256], int32_t rows, int32_t classes, float y_scale, int32_t y_offset,
                const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < rows; row++, x += classes, y += classes)
    {
        int32_t largest = x[0];
        for (int32_t i = 1; i < classes; i++)
            largest = x[i] > largest ? x[i] : largest;
        const float *power = powers + 255 - largest; /* power[x] is exp of x less the largest */
        float sum = 0.0f;
        for (int32_t i = 0; i < classes; i++)
            sum += power[x[i]];
        const float by = 1.0f / (sum * y_scale);
        for (int32_t i = 0; i < classes; i++)
            y[i] = (int8_t)pp_clamp(rounded(power[x[i]] * by) + y_offset, INT8_MIN, INT8_MAX);
    }
}

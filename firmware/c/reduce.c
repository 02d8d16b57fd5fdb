/*
 * MEAN and REDUCE_MAX over any axes. As TensorFlow Lite's reference_ops/reduce.h (QuantizedMeanOrSum): the sum of the
 * numbers less their zero point is rescaled once, by a factor that holds 1 / count.
 */
#include "fixed_point.h"

static int32_t sum_of(const pp_reduction *how, const int8_t *x)
{
    const int32_t *n = how->summed_size, *step = how->summed_step;
    int32_t sum = 0;
    for (int32_t i = 0; i < n[0]; i++)
        for (int32_t j = 0; j < n[1]; j++)
            for (int32_t k = 0; k < n[2]; k++)
                for (int32_t l = 0; l < n[3]; l++)
                {
                    const int8_t *row = x + i * step[0] + j * step[1] + k * step[2] + l * step[3];
                    for (int32_t m = 0; m < n[4]; m++)
                        sum += row[m * step[4]];
                }
    return sum;
}

static int32_t largest_of(const pp_reduction *how, const int8_t *x)
{
    const int32_t *n = how->summed_size, *step = how->summed_step;
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < n[0]; i++)
        for (int32_t j = 0; j < n[1]; j++)
            for (int32_t k = 0; k < n[2]; k++)
                for (int32_t l = 0; l < n[3]; l++)
                {
                    const int8_t *row = x + i * step[0] + j * step[1] + k * step[2] + l * step[3];
                    for (int32_t m = 0; m < n[4]; m++)
                        if (row[m * step[4]] > largest)
                            largest = row[m * step[4]];
                }
    return largest;
}

/* Where output number `at` of the axes that stay begins in the input. */
static int32_t place_of(const pp_reduction *how, int32_t at)
{
    int32_t place = 0;
    for (int32_t axis = PP_AXES - 1; axis >= 0; axis--)
    {
        place += at % how->kept_size[axis] * how->kept_step[axis];
        at /= how->kept_size[axis];
    }
    return place;
}

static int32_t count_of(const int32_t size[PP_AXES])
{
    int32_t count = 1;
    for (int32_t axis = 0; axis < PP_AXES; axis++)
        count *= size[axis];
    return count;
}

void pp_mean(const pp_reduction *how, pp_factor factor, int32_t x_offset, int32_t y_offset, const int8_t *x, int8_t *y)
{
    const int32_t count = count_of(how->kept_size), summed = count_of(how->summed_size);
    for (int32_t at = 0; at < count; at++)
    {
        const int32_t sum = sum_of(how, x + place_of(how, at)) + summed * x_offset;
        y[at] = (int8_t)pp_clamp(pp_rescale(sum, factor) + y_offset, INT8_MIN, INT8_MAX);
    }
}

void pp_largest(const pp_reduction *how, const int8_t *x, int8_t *y)
{
    const int32_t count = count_of(how->kept_size);
    for (int32_t at = 0; at < count; at++)
        y[at] = (int8_t)largest_of(how, x + place_of(how, at));
}

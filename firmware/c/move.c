/*
 * Numbers moved and not changed: TRANSPOSE, SLICE, CONCATENATION, the inside of PAD, blocks to batches and back. All of
 * these are one copy with a step along each axis.
 */
#include <string.h>

#include "kernels.h"

void pp_copy(const pp_move *move, const int8_t *x, int8_t *y)
{
    const int32_t *n = move->size, *from = move->from, *to = move->to;
    const int32_t whole_row = from[4] == 1 && to[4] == 1;
    for (int32_t i = 0; i < n[0]; i++)
        for (int32_t j = 0; j < n[1]; j++)
            for (int32_t k = 0; k < n[2]; k++)
                for (int32_t l = 0; l < n[3]; l++)
                {
                    const int8_t *source = x + i * from[0] + j * from[1] + k * from[2] + l * from[3];
                    int8_t *target = y + i * to[0] + j * to[1] + k * to[2] + l * to[3];
                    if (whole_row)
                    {
                        memcpy(target, source, (size_t)n[4]);
                        continue;
                    }
                    for (int32_t m = 0; m < n[4]; m++)
                        target[m * to[4]] = source[m * from[4]];
                }
}

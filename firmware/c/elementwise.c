/*
 * ADD, SUB and MUL of two tensors, with broadcasting. As TensorFlow Lite's reference_integer_ops/add.h and mul.h.
 */
#include "fixed_point.h"

#define LEFT_SHIFT 20 /* bits behind the point in a sum */

typedef struct
{
    const void *how;
    const int8_t *a;
    const int8_t *b;
    int8_t *y;
} operands;

static inline int8_t added(const pp_sum *sum, int32_t a, int32_t b)
{
    const int32_t left = pp_rescale((a + sum->a_offset) * (1 << LEFT_SHIFT), sum->a_factor);
    const int32_t right = pp_rescale((b + sum->b_offset) * (1 << LEFT_SHIFT), sum->b_factor);
    const int32_t y = pp_rescale(left + sum->sign * right, sum->output_factor) + sum->output_offset;
    return (int8_t)pp_clamp(y, sum->least, sum->most);
}

static inline int8_t multiplied(const pp_product *product, int32_t a, int32_t b)
{
    const int32_t whole = (a + product->a_offset) * (b + product->b_offset);
    const int32_t y = pp_rescale(whole, product->output_factor) + product->output_offset;
    return (int8_t)pp_clamp(y, product->least, product->most);
}

/* Calls `row` for each row along the last axis, with the places where it begins. */
static void walk_rows(const pp_walk *walk, operands at, void (*row)(const pp_walk *, operands))
{
    const int32_t *n = walk->size;
    for (int32_t i = 0; i < n[0]; i++)
        for (int32_t j = 0; j < n[1]; j++)
            for (int32_t k = 0; k < n[2]; k++)
                for (int32_t l = 0; l < n[3]; l++)
                {
                    operands here = at;
                    here.a += i * walk->a[0] + j * walk->a[1] + k * walk->a[2] + l * walk->a[3];
                    here.b += i * walk->b[0] + j * walk->b[1] + k * walk->b[2] + l * walk->b[3];
                    row(walk, here);
                    at.y += n[4];
                }
}

static void add_row(const pp_walk *walk, operands at)
{
    const int32_t a_step = walk->a[4], b_step = walk->b[4];
    for (int32_t i = 0; i < walk->size[4]; i++)
        at.y[i] = added(at.how, at.a[i * a_step], at.b[i * b_step]);
}

static void multiply_row(const pp_walk *walk, operands at)
{
    const int32_t a_step = walk->a[4], b_step = walk->b[4];
    for (int32_t i = 0; i < walk->size[4]; i++)
        at.y[i] = multiplied(at.how, at.a[i * a_step], at.b[i * b_step]);
}

void pp_add(const pp_walk *walk, const pp_sum *sum, const int8_t *a, const int8_t *b, int8_t *y)
{
    walk_rows(walk, (operands){sum, a, b, y}, add_row);
}

void pp_multiply(const pp_walk *walk, const pp_product *product, const int8_t *a, const int8_t *b, int8_t *y)
{
    walk_rows(walk, (operands){product, a, b, y}, multiply_row);
}

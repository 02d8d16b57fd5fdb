/*
 * What a network needs beside CMSIS-NN: operators for which that library has no kernel, or not in the version that is
 * used here. Each computes what TensorFlow Lite's reference kernel computes, bit for bit.
 *
 * No heap, no state, no operating system. Tensors are int8, in row-major order.
 */
#ifndef PULSEPROOF_KERNELS_H
#define PULSEPROOF_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define PP_AXES 5 /* axes that are left after neighbours were joined; the generator refuses more */

/* A factor in fixed point: multiplier * 2**(shift - 31). */
typedef struct
{
    int32_t multiplier;
    int32_t shift;
} pp_factor;

/* How two inputs are walked through while an output is written from its first number to its last. A step of 0 repeats
 * an input along that axis. */
typedef struct
{
    int32_t size[PP_AXES];
    int32_t a[PP_AXES];
    int32_t b[PP_AXES];
} pp_walk;

/* How numbers are copied: sizes, and the step along each axis in the input and in the output. */
typedef struct
{
    int32_t size[PP_AXES];
    int32_t from[PP_AXES];
    int32_t to[PP_AXES];
} pp_move;

/* How an input is reduced: the axes that stay, and those over which it is summed. */
typedef struct
{
    int32_t kept_size[PP_AXES];
    int32_t kept_step[PP_AXES];
    int32_t summed_size[PP_AXES];
    int32_t summed_step[PP_AXES];
} pp_reduction;

/* ADD and SUB: both inputs are brought to twice the larger scale with 20 bits behind the point. */
typedef struct
{
    int32_t a_offset;
    int32_t b_offset;
    int32_t output_offset;
    pp_factor a_factor;
    pp_factor b_factor;
    pp_factor output_factor;
    int32_t sign; /* 1: a + b; -1: a - b */
    int32_t least;
    int32_t most;
} pp_sum;

typedef struct
{
    int32_t a_offset;
    int32_t b_offset;
    int32_t output_offset;
    pp_factor output_factor;
    int32_t least;
    int32_t most;
} pp_product;

/* One gate of a recurrent layer. The biases hold what the zero points of input and state add to each sum. */
typedef struct
{
    const int8_t *input_weights; /* (cells, inputs) */
    const int8_t *state_weights; /* (cells, cells) */
    const int32_t *input_bias;   /* (cells) */
    const int32_t *state_bias;   /* (cells) */
    pp_factor input_factor;
    pp_factor state_factor;
} pp_gate;

typedef struct
{
    int32_t steps;
    int32_t inputs;
    int32_t cells;
    pp_gate input;
    pp_gate forget;
    pp_gate cell;
    pp_gate output;
    pp_factor state_factor;
    int32_t state_offset;
    int32_t cell_bits; /* integer bits of the 16-bit cell */
    int32_t cell_clip; /* 0: none */
} pp_lstm_layer;

/* A linear layer: a factor for each output. The bias holds what the zero point of the input adds to each sum. */
typedef struct
{
    int32_t rows;
    int32_t inputs;
    int32_t outputs;
    const int8_t *weights; /* (outputs, inputs) */
    const int32_t *bias;
    const int32_t *multipliers;
    const int32_t *shifts;
    int32_t output_offset;
    int32_t least;
    int32_t most;
} pp_dense_layer;

void pp_add(const pp_walk *walk, const pp_sum *sum, const int8_t *a, const int8_t *b, int8_t *y);
void pp_multiply(const pp_walk *walk, const pp_product *product, const int8_t *a, const int8_t *b, int8_t *y);
void pp_dense(const pp_dense_layer *layer, const int8_t *x, int8_t *y);
void pp_lookup(const int8_t table[256], int32_t count, const int8_t *x, int8_t *y);
void pp_copy(const pp_move *move, const int8_t *x, int8_t *y);
void pp_mean(const pp_reduction *how, pp_factor factor, int32_t x_offset, int32_t y_offset, const int8_t *x, int8_t *y);
void pp_largest(const pp_reduction *how, const int8_t *x, int8_t *y);
/* Softmax along rows; powers[i] is exp(-(255 - i) * scale of x * beta). */
void pp_softmax(const float powers[256], int32_t rows, int32_t classes, float y_scale, int32_t y_offset,
                const int8_t *x, int8_t *y);
/* All steps of a sequence (steps, inputs) to hidden states (steps, cells). scratch: 5 * cells numbers. */
void pp_lstm(const pp_lstm_layer *layer, const int8_t *x, int8_t *y, int16_t *scratch);

#endif

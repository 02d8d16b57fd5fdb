/*
 * The full-integer LSTM: int8 input and hidden state, int16 gates and cell. As TensorFlow Lite's lstm_eval.cc
 * (LstmStepInteger8x8_16), after Li and Alvarez 2021, "On the quantization of recurrent neural networks",
 * arXiv 2101.05453. Sigmoid and tanh are gemmlowp's fixed-point ones, in 16 bits.
 */
#include <string.h>

#include "fixed_point.h"

#define ONE INT16_MAX /* of numbers between -1 and 1, in units of 2**-15 */

/* exp(-2**k) for k = -2, -1, ... 4, in units of 2**-15. */
static const int16_t powers[] = {25520, 19875, 12055, 4435, 600, 11, 0};

static int32_t doubled(int32_t x, int32_t times)
{
    return pp_clamp(x * (1 << times), INT16_MIN, INT16_MAX);
}

/* The upper half of twice the product, rounded. */
static int32_t times(int32_t a, int32_t b)
{
    const int32_t product = a * b;
    const int32_t nudged = product + (product >= 0 ? 1 << 14 : 1 - (1 << 14));
    const int32_t upper = nudged / (1 << 15);
    return upper > INT16_MAX ? INT16_MAX : upper;
}

/* exp(a) of a <= 0 with `bits` integer bits. */
static int32_t exp_of_negative(int32_t a, int32_t bits)
{
    const int32_t fraction = 15 - bits, quarter = 1 << (fraction - 2);
    const int32_t rest = (a & (quarter - 1)) - quarter;  /* from -1/4 to 0 */
    const int32_t x = doubled(rest, bits) + (1 << 12);   /* Taylor's series around -1/8 */
    const int32_t x2 = times(x, x), x3 = times(x2, x), x4 = times(x2, x2);
    const int32_t third = 10923, exp_eighth = 28918;     /* 1/3 and exp(-1/8) */
    const int32_t series = pp_divide_by_power(times(pp_divide_by_power(x4, 2) + x3, third) + x2, 1);
    int32_t result = pp_clamp(exp_eighth + times(exp_eighth, x + series), INT16_MIN, INT16_MAX);
    if (a == 0)
        return ONE;
    if (bits > 5 && a < -(1 << (fraction + 5)))
        return 0;
    for (int32_t power = -2; power <= 4 && power < bits; power++)
        if ((rest - a) & (1 << (fraction + power)))
            result = times(result, powers[power + 2]);
    return result;
}

/* 2 / (1 + a), in units of 2**-13, by Newton's iteration. */
static int32_t quotient(int32_t a)
{
    const int32_t total = a + ONE, half = total >= 0 ? (total + 1) / 2 : (total - 1) / 2;
    int32_t x = 23130 + times(half, -15420); /* 48/17 - 32/17 half */
    for (int32_t i = 0; i < 3; i++)
        x += doubled(times(x, (1 << 13) - times(half, x)), 2);
    return x;
}

/* Of a number with 3 integer bits. */
static int32_t sigmoid(int32_t a)
{
    if (a == 0)
        return 1 << 14;
    const int32_t positive = doubled(quotient(exp_of_negative(a > 0 ? -a : a, 3)), 1);
    return a > 0 ? positive : ONE - positive;
}

static int32_t hyperbolic_tangent(int32_t a, int32_t bits)
{
    if (a == 0)
        return 0;
    const int32_t size = doubled(quotient(exp_of_negative(a > 0 ? -a : a, bits + 1)) - (1 << 13), 2);
    return a < 0 ? -size : size;
}

static int32_t dot(const int8_t *a, const int8_t *b, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* What a gate is before its sigmoid or tanh, with 3 integer bits. */
static void gate(const pp_lstm_layer *layer, const pp_gate *gate, const int8_t *x, const int8_t *state, int16_t *y)
{
    for (int32_t i = 0; i < layer->cells; i++)
    {
        const int32_t of_x = gate->input_bias[i] + dot(gate->input_weights + i * layer->inputs, x, layer->inputs);
        const int32_t of_state = gate->state_bias[i] + dot(gate->state_weights + i * layer->cells, state, layer->cells);
        const int32_t first = pp_clamp(pp_rescale(of_x, gate->input_factor), INT16_MIN, INT16_MAX);
        y[i] = (int16_t)pp_clamp(first + pp_rescale(of_state, gate->state_factor), INT16_MIN, INT16_MAX);
    }
}

static void step(const pp_lstm_layer *layer, const int8_t *x, const int8_t *state, int8_t *y, int16_t *scratch)
{
    const int32_t cells = layer->cells;
    int16_t *cell = scratch, *entry = cell + cells, *forget = entry + cells, *fresh = forget + cells;
    int16_t *shown = fresh + cells;
    gate(layer, &layer->input, x, state, entry);
    gate(layer, &layer->forget, x, state, forget);
    gate(layer, &layer->cell, x, state, fresh);
    gate(layer, &layer->output, x, state, shown);
    for (int32_t i = 0; i < cells; i++)
    {
        const int32_t kept = (int16_t)pp_divide_by_power(sigmoid(forget[i]) * cell[i], 15);
        const int32_t product = sigmoid(entry[i]) * hyperbolic_tangent(fresh[i], 3);
        const int32_t added = (int16_t)pp_divide_by_power(product, 15 + layer->cell_bits);
        int32_t next = pp_clamp(kept + added, INT16_MIN, INT16_MAX);
        if (layer->cell_clip > 0)
            next = pp_clamp(next, -layer->cell_clip, layer->cell_clip);
        cell[i] = (int16_t)next;
        const int32_t squashed = hyperbolic_tangent(next, layer->cell_bits);
        const int32_t hidden = pp_rescale(sigmoid(shown[i]) * squashed, layer->state_factor) + layer->state_offset;
        y[i] = (int8_t)pp_clamp(hidden, INT8_MIN, INT8_MAX);
    }
}

void pp_lstm(const pp_lstm_layer *layer, const int8_t *x, int8_t *y, int16_t *scratch)
{
    memset(scratch, 0, (size_t)layer->cells * sizeof *scratch); /* the cell */
    memset(y, layer->state_offset, (size_t)layer->cells);       /* the first state is 0.0; step() reads it before y[0] */
    const int8_t *state = y;
    for (int32_t at = 0; at < layer->steps; at++)
    {
        step(layer, x + at * layer->inputs, state, y + at * layer->cells, scratch);
        state = y + at * layer->cells;
    }
}

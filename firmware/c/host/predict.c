/*
 * Recordings from standard input, int8, one after another; their scores to standard output, int8.
 */
#include <stdio.h>

#include "pulseproof_model.h"

#ifdef PULSEPROOF_TRACE
void pulseproof_trace(int32_t operator_index, const int8_t *values, int32_t count);

/* What each operator computed, to standard output instead of the scores. */
void pulseproof_trace(int32_t operator_index, const int8_t *values, int32_t count)
{
    (void)operator_index;
    fwrite(values, 1, (size_t)count, stdout);
}
#endif

int main(void)
{
    static int8_t recording[PULSEPROOF_INPUT_BYTES], scores[PULSEPROOF_OUTPUT_BYTES];
    while (fread(recording, 1, sizeof recording, stdin) == sizeof recording)
    {
        const int status = pulseproof_predict(recording, scores);
        if (status != 0)
            return 1;
#ifndef PULSEPROOF_TRACE
        fwrite(scores, 1, sizeof scores, stdout);
#endif
    }
    return ferror(stdin) || fflush(stdout) ? 2 : 0;
}

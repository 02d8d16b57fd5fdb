/*
 * Recordings from a file, scores and SysTick's count to another, by semihosting: what a run under QEMU needs.
 *
 *     signals.bin    recordings, int8, one after another
 *     scores.bin     a head; a record a recording; a foot. All numbers are little-endian.
 *
 *     head           uint64 ticks of LOOPS turns of a loop of two instructions, by which the count can be checked
 *     record         uint64 ticks of one inference, int8 scores
 *     foot           uint32 bytes of stack that were used at most
 *
 * Built with PULSEPROOF_TRACE, there is instead of a record, for each operator, uint64 ticks since the one before, and
 * what it gave.
 */
#include <stdint.h>

#include "pulseproof_model.h"
#include "semihosting.h"

#define LOOPS 1000000
#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define ENABLED_WITH_INTERRUPT_BY_CORE_CLOCK 7u
#define PERIOD (1u << 24)

uint32_t stack_used(void);
void systick_wrapped(void);

static volatile uint32_t wraps;
static int32_t scores_file;

void systick_wrapped(void)
{
    wraps++;
}

/* SysTick counts down from PERIOD, and the interrupt comes as it reaches 0. */
static uint64_t ticks(void)
{
    uint32_t before, now;
    do
    {
        before = wraps;
        now = SYST_CVR;
    } while (before != wraps);
    return (uint64_t)before * PERIOD + (PERIOD - now) % PERIOD;
}

static void give(const void *from, uint32_t count)
{
    if (semihosting_write(scores_file, from, count) != 0)
    {
        semihosting_say("scores.bin cannot be written\n");
        semihosting_exit(2);
    }
}

#ifdef PULSEPROOF_TRACE
static uint64_t last;
void pulseproof_trace(int32_t operator_index, const int8_t *values, int32_t count);

void pulseproof_trace(int32_t operator_index, const int8_t *values, int32_t count)
{
    const uint64_t taken = ticks() - last;
    (void)operator_index;
    give(&taken, sizeof taken);
    give(values, (uint32_t)count);
    last = ticks();
}
#endif

int main(void)
{
    static int8_t recording[PULSEPROOF_INPUT_BYTES], scores[PULSEPROOF_OUTPUT_BYTES];
    const int32_t signals_file = semihosting_open("signals.bin", READ_BINARY);
    scores_file = semihosting_open("scores.bin", WRITE_BINARY);
    if (signals_file < 0 || scores_file < 0)
    {
        semihosting_say("signals.bin or scores.bin cannot be opened\n");
        return 2;
    }
    SYST_RVR = PERIOD - 1u;
    SYST_CVR = 0;
    SYST_CSR = ENABLED_WITH_INTERRUPT_BY_CORE_CLOCK;

    const uint64_t start = ticks();
    uint32_t turns = LOOPS;
    __asm volatile("1: subs %0, #1\nbne 1b" : "+l"(turns)::"cc");
    const uint64_t looped = ticks() - start;
    give(&looped, sizeof looped);

    while (semihosting_read(signals_file, recording, sizeof recording) == 0)
    {
        const uint64_t before = ticks();
#ifdef PULSEPROOF_TRACE
        last = before;
#endif
        const int status = pulseproof_predict(recording, scores);
        const uint64_t taken = ticks() - before;
        if (status != 0)
        {
            semihosting_say("a kernel refused its arguments\n");
            return 1;
        }
#ifdef PULSEPROOF_TRACE
        (void)taken;
#else
        give(&taken, sizeof taken);
        give(scores, sizeof scores);
#endif
    }
    const uint32_t stack = stack_used();
    give(&stack, sizeof stack);
    return semihosting_close(scores_file);
}

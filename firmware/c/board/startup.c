/*
 * From reset to main on a board of QEMU: vectors, data, the floating point or vector unit, a painted stack.
 *
 * It stands for what a vendor's start-up file does on a real board.
 */
#include <stdint.h>

#include "semihosting.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88) /* who may use the coprocessors */
#define CFSR (*(volatile uint32_t *)0xE000ED28)  /* why a fault came */

extern uint32_t data_source[], data_start[], data_end[], bss_start[], bss_end[], stack_bottom[], stack_top[];
extern int main(void);
void reset(void);
void systick_wrapped(void);
static void fault(void);

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, systick_wrapped,
};

__attribute__((noreturn, naked)) void reset(void)
{
    /* No stack is used before it is painted. */
    __asm volatile("ldr r0, =stack_bottom\n"
                   "ldr r1, =stack_top\n"
                   "ldr r2, =%c0\n"
                   "1: cmp r0, r1\n"
                   "itt lo\n"
                   "strlo r2, [r0], #4\n"
                   "blo 1b\n"
                   "b begin\n" ::"i"(PAINT));
}

__attribute__((noreturn, used)) static void begin(void)
{
    CPACR |= 0xFu << 20; /* full access to the floating point unit, which the vector unit is part of */
    __asm volatile("dsb\nisb" ::: "memory");
    for (uint32_t *from = data_source, *to = data_start; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    semihosting_exit(main());
}

static void fault(void)
{
    semihosting_say("the core stops at a fault, CFSR ");
    semihosting_say_hex(CFSR);
    semihosting_exit(EXIT_FAULT);
}

/* How deep the stack was, in bytes: the paint that is left below it is counted. */
uint32_t stack_used(void)
{
    const uint32_t *low = stack_bottom;
    while (low < stack_top && *low == PAINT)
        low++;
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)low);
}

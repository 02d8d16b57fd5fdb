/* See semihosting.h. */
#include "semihosting.h"

#define SYS_OPEN 0x01
#define SYS_CLOSE 0x02
#define SYS_WRITE0 0x04
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_EXIT_EXTENDED 0x20
#define STOPPED_APPLICATION_EXIT 0x20026

static int32_t ask(uint32_t operation, const void *block)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = block;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static uint32_t length(const char *text)
{
    uint32_t count = 0;
    while (text[count] != '\0')
        count++;
    return count;
}

int32_t semihosting_open(const char *name, int32_t mode)
{
    const uintptr_t block[3] = {(uintptr_t)name, (uintptr_t)mode, length(name)};
    return ask(SYS_OPEN, block);
}

int32_t semihosting_read(int32_t handle, void *to, uint32_t count)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)to, count};
    return ask(SYS_READ, block);
}

int32_t semihosting_write(int32_t handle, const void *from, uint32_t count)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)from, count};
    return ask(SYS_WRITE, block);
}

int32_t semihosting_close(int32_t handle)
{
    const uintptr_t block[1] = {(uintptr_t)handle};
    return ask(SYS_CLOSE, block);
}

void semihosting_say(const char *text)
{
    ask(SYS_WRITE0, text);
}

void semihosting_say_hex(uint32_t number)
{
    char text[] = "0x00000000\n";
    for (int32_t at = 9; at > 1; at--, number >>= 4)
        text[at] = "0123456789abcdef"[number & 0xFu];
    semihosting_say(text);
}

void semihosting_exit(int32_t status)
{
    const uintptr_t block[2] = {STOPPED_APPLICATION_EXIT, (uintptr_t)status};
    ask(SYS_EXIT_EXTENDED, block);
    for (;;)
        ;
}

/*
 * Files and messages of the machine that emulates or debugs this core. Arm, "Semihosting for AArch32 and AArch64",
 * https://github.com/ARM-software/abi-aa/blob/main/semihosting/semihosting.rst.
 */
#ifndef PULSEPROOF_SEMIHOSTING_H
#define PULSEPROOF_SEMIHOSTING_H

#include <stdint.h>

#define PAINT 0xC5C5C5C5u /* of an untouched stack */
#define EXIT_FAULT 3

#define READ_BINARY 1
#define WRITE_BINARY 5

int32_t semihosting_open(const char *name, int32_t mode);                    /* a handle, or -1 */
int32_t semihosting_read(int32_t handle, void *to, uint32_t count);          /* how many bytes are missing */
int32_t semihosting_write(int32_t handle, const void *from, uint32_t count); /* how many bytes were not written */
int32_t semihosting_close(int32_t handle);
void semihosting_say(const char *text);
void semihosting_say_hex(uint32_t number);
__attribute__((noreturn)) void semihosting_exit(int32_t status);

#endif

#include "board.h"

#define SYSTICK ((volatile uint32_t *)0xE000E010U) /* control, reload, value */
#define LARGEST_COUNT 0xFFFFFFU
#define PAINT 0xA5A5A5A5U
#define PAINTED 2048U /* bytes */

extern uint32_t _data, _data_end, _data_source, _bss, _bss_end, _stack_top;

static uint32_t *painted_to;

void start(void);

static void halt(void)
{
    board_print("fault", 1);
    board_exit();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&_stack_top, start, halt, halt, halt, halt, halt, 0, 0, 0, 0, halt, halt, 0, halt, halt,
};

void start(void)
{
    uint32_t *from = &_data_source;
    uint32_t *to;
    for (to = &_data; to < &_data_end; ++to) {
        *to = *from++;
    }
    for (to = &_bss; to < &_bss_end; ++to) {
        *to = 0;
    }
    (void)main();
    board_exit();
}

static uint32_t host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_exit(void)
{
    host(0x18, (const void *)0x20026);
    for (;;) {
    }
}

/* Opens the standard input (mode 1) or output (mode 5). */
static uint32_t opened(uint32_t mode)
{
    const struct {
        const char *name;
        uint32_t mode;
        uint32_t length;
    } request = {":tt", mode, 3};
    return host(0x01, &request);
}

/* Reads (operation 6) or writes (5); returns how many bytes were left. */
static uint32_t moved(uint32_t operation, uint32_t handle, const void *bytes, uint32_t count)
{
    const struct {
        uint32_t handle;
        const void *bytes;
        uint32_t count;
    } request = {handle, bytes, count};
    return host(operation, &request);
}

uint32_t board_read(void *bytes, uint32_t count)
{
    static uint32_t handle;
    static int is_open;
    uint32_t left = count;
    if (!is_open) {
        handle = opened(1);
        is_open = 1;
    }
    while (left != 0U) { /* a pipe gives what it has */
        const uint32_t still = moved(0x06, handle, (char *)bytes + (count - left), left);
        if (still == left) {
            break;
        }
        left = still;
    }
    return count - left;
}

void board_write(const void *bytes, uint32_t count)
{
    static uint32_t handle;
    static int is_open;
    if (!is_open) {
        handle = opened(5);
        is_open = 1;
    }
    (void)moved(0x05, handle, bytes, count);
}

void board_text(const char *text)
{
    host(0x04, text);
}

void board_number(uint32_t number, int width)
{
    char digits[24];
    int k = (int)sizeof digits - 1;
    digits[k] = '\0';
    do {
        digits[--k] = (char)('0' + number % 10U);
        number /= 10U;
    } while (number != 0U);
    while (k > 0 && (int)sizeof digits - 1 - k < width) {
        digits[--k] = ' ';
    }
    board_text(digits + k);
}

void board_print(const char *label, uint32_t number)
{
    board_text(label);
    board_text(" ");
    board_number(number, 1);
    board_text("\n");
}

void board_start(void)
{
    SYSTICK[0] = 0;
    SYSTICK[1] = LARGEST_COUNT;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, by the processor's clock */
}

uint32_t board_ticks(void)
{
    return LARGEST_COUNT - SYSTICK[2];
}

__attribute__((noinline)) void board_spin(uint32_t turns)
{
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(turns) : : "cc");
}

__attribute__((noinline)) void board_paint_stack(void)
{
    uint32_t here;
    uint32_t *p;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    painted_to = (uint32_t *)here - 4;
    for (p = painted_to - PAINTED / 4U; p < painted_to; ++p) {
        *p = PAINT;
    }
}

__attribute__((noinline)) uint32_t board_stack_used(void)
{
    uint32_t *p = painted_to - PAINTED / 4U;
    while (p < painted_to && *p == PAINT) {
        ++p;
    }
    return (uint32_t)((char *)painted_to - (char *)p);
}

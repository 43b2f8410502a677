/* What a program on an emulated Cortex-M needs: bytes and text from and to the host by semihosting, which debug probes
 * have too; a counter of instructions; the depth of the stack. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Bytes of the host's standard input and output. board_read returns how many there were: fewer at the end. */
uint32_t board_read(void *bytes, uint32_t count);
void board_write(const void *bytes, uint32_t count);

/* Text on the host's standard error; a number with blanks in front up to a width; a line "label number". */
void board_text(const char *text);
void board_number(uint32_t number, int width);
void board_print(const char *label, uint32_t number);

void board_exit(void);

/* Starts the counter; board_ticks returns the ticks since then. A tick is a fixed number of instructions. */
void board_start(void);
uint32_t board_ticks(void);

/* Executes 2 * turns instructions (SUBS and BNE), and a few around them. */
void board_spin(uint32_t turns);

/* Paints the free stack; board_stack_used returns how many bytes of it were written since then. */
void board_paint_stack(void);
uint32_t board_stack_used(void);

int main(void);

#endif

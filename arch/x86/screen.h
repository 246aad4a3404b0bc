/*
 * The screen that the boot loader left on: text of the VGA, or a linear framebuffer. What only
 * arch/x86/ needs; screen_write() is in arch.h.
 */
#ifndef ARCH_SCREEN_H
#define ARCH_SCREEN_H

#include "arch/x86/arch.h"

/* As the boot loader describes it; width 0: there is none. */
struct screen_mode {
	hpa_t address;
	u32 pitch;         /* bytes from a row to the next */
	u32 width, height; /* in pixels, or in characters */
	bool text;         /* two bytes a character: code page 437, and colours */
	u8 pixel_bytes;    /* 1 to 4 */
	u32 ink;           /* a pixel of light grey */
};

/* Maps the screen and clears it. Without one, or if its kind is not known or no memory for tables
 * is left, every byte for it is swallowed. Before arch_early_seal(). */
void screen_start(const struct screen_mode *mode);
/* Draws on @memory, which is mapped already: what screen_start() does behind the mapping. Returns
 * whether there is room for two rows of text. */
bool screen_use(volatile void *memory, const struct screen_mode *mode);

#endif

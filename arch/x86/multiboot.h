/*
 * Reading GRUB's multiboot2 information. Pure: everything is copied out, so that the loader's
 * memory may be overwritten afterwards.
 */
#ifndef ARCH_MULTIBOOT_H
#define ARCH_MULTIBOOT_H

#include "arch/x86/arch.h"
#include "arch/x86/screen.h"

struct multiboot_result {
	struct boot_info
		*info; /* filled: command line, RAM, modules; RAM and modules not yet in used[] */
	u8 rsdp[36];   /* ACPI's root pointer, a copy */
	unsigned rsdp_bytes; /* 0: none; the newest one that was handed over */
	char strings[8192];  /* every string of the boot loader; info points in here */
	unsigned strings_used;
	struct screen_mode screen; /* width 0: none that screen.h knows */
};

/*
 * Reads the structure at @data, which the loader says is @bytes long. Returns NULL, or what is
 * wrong with it as a sentence without full stop.
 */
const char *multiboot_parse(const void *data, u64 bytes, struct multiboot_result *result);

/* The same structure's own idea of its length, for the caller's mapping. */
u32 multiboot_bytes(const void *data);

#endif

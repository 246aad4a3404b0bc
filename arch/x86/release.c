/*
 * The end of boot in the address space: what only boot ran is taken out of the image and becomes
 * plain RAM. paging_start() noted where its entries are.
 */
#include "arch/x86/paging.h"
#include "arch/x86/processor.h"

struct init_pages init_pages;

void arch_flush_translations(void)
{
	u64 cr4 = read_cr4();

	/* Changing PGE drops global ones too (Intel SDM vol. 3, 4.10.4.1). */
	if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~CR4_PGE);
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
}

struct boot_range arch_release_init(u64 *text_bytes)
{
	u64 bytes = (u64)(__init_end - __init_start);

	for (u64 i = 0; i < bytes / PAGE_SIZE; i++) {
		WRITE_ONCE(init_pages.image[i], 0UL);
		WRITE_ONCE(init_pages.direct[i], init_pages.direct[i] | PTE_WRITE);
	}
	arch_flush_translations();
	*text_bytes = (u64)(__init_text_end - __init_start);
	return (struct boot_range){hpa(image_to_physical(__init_start)), bytes};
}

/* See windows.h. */
#include "windows.h"

#include <abi/platform.h>
#include <stdint.h>

/* start.S maps the first GiB; the windows' 2 MiB go behind the fourth entry of its PDPT. */
void windows_map(void)
{
	static uint64_t directory[512] __attribute__((aligned(4096)));
	uint64_t cr3, *pml4, *pdpt;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	pml4 = (uint64_t *)(uintptr_t)(cr3 & ~0xfffull);
	pdpt = (uint64_t *)(uintptr_t)(pml4[0] & ~0xfffull);
	directory[(PLATFORM_VIRTIO_BASE >> 21) & 511] = (PLATFORM_VIRTIO_BASE & ~0x1fffffull) |
							0x9b;
	pdpt[3] = (uintptr_t)directory | 0x3;
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

/*
 * vCPU 1, and the window of a filter in this guest's page tables.
 */
#include "litmus.h"

#define TRAMPOLINE 0x8000u /* fixed in common/trampoline.S */
#define X2APIC_ICR 0x830u
#define TO_VCPU_1  (1ul << 32)
#define ICR_INIT   0x4500u
#define ICR_SIPI   0x0600u

#define BLOCK       (2ul << 20)
#define WINDOW_AT   (1ul << 30) /* the second GiB, which start.S leaves empty */
#define PTE_PRESENT 0x1u
#define PTE_WRITE   0x2u
#define PTE_LARGE   0x80u

extern uint8_t trampoline[], trampoline_end[];
extern uint64_t trampoline_cr3, trampoline_stack, trampoline_entry;

static uint8_t second_stack[16384] __attribute__((aligned(16)));
static uint64_t directory[512] __attribute__((aligned(4096)));

static uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static void send(uint64_t command)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(X2APIC_ICR), "a"((uint32_t)command), "d"((uint32_t)(command >> 32))
			 : "memory");
}

void start_second(void (*function)(void))
{
	trampoline_cr3 = read_cr3();
	trampoline_stack = (uintptr_t)second_stack + sizeof(second_stack);
	trampoline_entry = (uintptr_t)function;
	memcpy((void *)(uintptr_t)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	send(TO_VCPU_1 | ICR_INIT);
	send(TO_VCPU_1 | ICR_SIPI | TRAMPOLINE / PAGE);
}

static uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & 0x000ffffffffff000);
}

int64_t window_open(struct window *window, int64_t pool)
{
	/* Across a page's end, as it may lie. */
	static uint8_t room[2 * PAGE] __attribute__((aligned(4096)));
	struct tmem_filter_info *info = (void *)(room + PAGE - 64);
	int64_t result = hypercall2(HYPERCALL_TMEM_FILTER, (uint64_t)pool, (uintptr_t)info);
	uint64_t *pml4 = table_at(read_cr3());

	if (result)
		return result;
	for (unsigned i = 0; i < 512; i++)
		directory[i] = i * BLOCK < info->window_bytes
				       ? (info->window + i * BLOCK) | PTE_PRESENT | PTE_WRITE |
						 PTE_LARGE
				       : 0;
	table_at(pml4[0])[WINDOW_AT >> 30] = (uintptr_t)directory | PTE_PRESENT | PTE_WRITE;
	__asm__ volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
	window->at = (const void *)WINDOW_AT;
	memcpy(window->key, info->key, sizeof(window->key));
	return 0;
}

bool surely_lacks(const struct window *window, uint64_t object, uint32_t index)
{
	const uint64_t words[3] = {object, 0, 0};

	return tmem_filter_surely_lacks(window->at, tmem_filter_object(window->key, words), index);
}

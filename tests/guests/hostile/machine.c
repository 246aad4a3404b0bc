/*
 * Descriptor tables, caught exceptions and extra mappings of the hostile guest.
 */
#include "machine.h"

#include "acts.h"

#define PRESENT  0x1u
#define WRITABLE 0x2u
#define USER     0x4u
#define LARGE    0x80u

#define GATE_INTERRUPT      0x8e
#define GATE_INTERRUPT_USER 0xee

/* Where map_physical() maps: the second GiB, which start.S leaves empty. */
#define WINDOW GIB(1)

struct __attribute__((packed)) tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, io_bitmap;
};

static struct tss tss;
static struct gate idt[256];
static uint8_t ring0_stack[4096] __attribute__((aligned(16)));
static uint64_t window_directory[512] __attribute__((aligned(4096)));

static uint64_t descriptors[9] = {
	[1] = 0x00af9b000000ffff, /* KERNEL_CODE */
	[2] = 0x00cf93000000ffff, /* KERNEL_DATA */
	[3] = 0x00cff3000000ffff, /* USER_DATA */
	[4] = 0x00affb000000ffff, /* USER_CODE */
	[5] = 0x00cffb000000ffff, /* USER_CODE_32 */
	[6] = 0x00cf9b000000ffff, /* KERNEL_CODE_32 */
};

static uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)(entry & 0x000ffffffffff000);
}

/* Everything mapped is for ring 3 too: what is tested here is the hypervisor, not this guest. */
static void open_pages_to_ring3(void)
{
	uint64_t *pml4 = table_at(read_cr3());
	uint64_t *pdpt = table_at(pml4[0]);
	uint64_t *directory = table_at(pdpt[0]);

	pml4[0] |= USER;
	pdpt[0] |= USER;
	for (unsigned i = 0; i < 512; i++)
		directory[i] |= USER;
	pdpt[WINDOW >> 30] = (uint64_t)window_directory | PRESENT | WRITABLE | USER;
	__asm__ volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
}

volatile uint64_t *map_physical(uint64_t physical)
{
	window_directory[0] = (physical & ~(MIB(2) - 1)) | PRESENT | WRITABLE | USER | LARGE;
	__asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
	return (volatile uint64_t *)(WINDOW + (physical & (MIB(2) - 1)));
}

void machine_set_gate(uint8_t vector, const void *handler, uint64_t stack)
{
	uint64_t offset = (uint64_t)handler;

	if (stack)
		tss.ist[0] = stack;
	idt[vector] = (struct gate){
		.offset_low = (uint16_t)offset,
		.selector = KERNEL_CODE,
		.ist = stack ? 1 : 0,
		.type = vector == VECTOR_RETURN || vector == VECTOR_BP ? GATE_INTERRUPT_USER
								       : GATE_INTERRUPT,
		.offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};
}

void machine_init(void)
{
	uint64_t base = (uint64_t)&tss;
	struct table_pointer gdt_pointer = {sizeof(descriptors) - 1, (uint64_t)descriptors};
	struct table_pointer idt_pointer = {sizeof(idt) - 1, (uint64_t)idt};

	tss.rsp[0] = (uint64_t)ring0_stack + sizeof(ring0_stack);
	tss.io_bitmap = sizeof(tss);
	descriptors[TASK / 8] = (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 |
				0x0000890000000000 | (sizeof(tss) - 1);
	descriptors[TASK / 8 + 1] = base >> 32;
	__asm__ volatile("lgdt %0" : : "m"(gdt_pointer));
	__asm__ volatile("ltr %w0" : : "r"(TASK));

	for (unsigned vector = 0; vector < 32; vector++)
		machine_set_gate((uint8_t)vector, exception_stubs + 16 * vector, 0);
	machine_set_gate(VECTOR_RETURN, return_stub, 0);
	__asm__ volatile("lidt %0" : : "m"(idt_pointer));
	open_pages_to_ring3();
}

static void (*ring3_function)(void);

static void enter_ring3(void)
{
	ring3_enter(ring3_function);
}

int fault_in_ring3(void (*function)(void))
{
	ring3_function = function;
	return fault_of(enter_ring3);
}

/*
 * GDT, task segments and IDT of the processors that a guest of this shim uses: one, and one more
 * for threads. The page-fault gate has no IST: its handler may sleep on a disk, so it runs on the
 * stack that faulted, which is never paged out.
 */
#include "guest-shim/trap.h"

#define CODE_SELECTOR        0x08
#define TASK_SELECTOR        0x18
#define TASK_SELECTOR_SECOND 0x28

#define GATE_PRESENT_INTERRUPT 0x8e
#define TSS_PRESENT_AVAILABLE  0x89ull

struct task_segment {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map;
} __packed_struct;
_Static_assert(sizeof(struct task_segment) == 104, "Intel SDM vol. 3, figure 8-11");

struct gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct gate) == 16, "Intel SDM vol. 3, figure 6-8");

struct table_pointer {
	u16 limit;
	u64 base;
} __packed_struct;

extern const char trap_entries[]; /* 16 bytes each */

static u64 gdt[7] = {
	0, 0x00af9b000000ffffull, /* 64-bit code, accessed */
	0x00cf93000000ffffull,    /* data, accessed */
};
static struct task_segment task, second_task;
static struct gate idt[VECTORS];
static u8 stacks[IST_INTERRUPT][PAGE_SIZE] __aligned_to(16);

static void idt_fill(void)
{
	for (unsigned vector = 0; vector < VECTORS; vector++) {
		u64 entry = (u64)trap_entries + vector * 16;

		idt[vector] = (struct gate){
			.offset_low = (u16)entry,
			.selector = CODE_SELECTOR,
			.ist = vector >= VECTOR_TIMER ? IST_INTERRUPT : 0,
			.type = GATE_PRESENT_INTERRUPT,
			.offset_middle = (u16)(entry >> 16),
			.offset_high = (u32)(entry >> 32),
		};
	}
	idt[VECTOR_NMI].ist = IST_NMI;
	idt[VECTOR_MACHINE_CHECK].ist = IST_MACHINE_CHECK;
	idt[VECTOR_VIRTUALIZATION].ist = IST_VIRTUALIZATION;
	idt[VECTOR_DOUBLE_FAULT].ist = IST_DOUBLE_FAULT;
}

static void task_fill(struct task_segment *segment, unsigned selector, u8 *its_stacks)
{
	u64 base = (u64)segment;

	for (unsigned i = 0; i < IST_INTERRUPT; i++)
		segment->ist[i] = (u64)its_stacks + (i + 1) * PAGE_SIZE;
	segment->io_map = sizeof(*segment);
	gdt[selector / 8] = (sizeof(*segment) - 1) | (base & 0xffffff) << 16 |
			    TSS_PRESENT_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
	gdt[selector / 8 + 1] = base >> 32;
}

/* The selectors of start.S mean the same in this table, so the segments need no reload. */
static void load(unsigned task_selector)
{
	struct table_pointer gdt_pointer = {sizeof(gdt) - 1, (u64)gdt};
	struct table_pointer idt_pointer = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lgdt %0" : : "m"(gdt_pointer));
	__asm__ volatile("ltr %w0" : : "r"(task_selector));
	__asm__ volatile("lidt %0" : : "m"(idt_pointer));
}

void descriptors_init(void)
{
	task_fill(&task, TASK_SELECTOR, stacks[0]);
	idt_fill();
	load(TASK_SELECTOR);
}

void descriptors_prepare_second(void *its_stacks)
{
	task_fill(&second_task, TASK_SELECTOR_SECOND, its_stacks);
}

void descriptors_init_second(void)
{
	load(TASK_SELECTOR_SECOND);
}

bool descriptors_are_seconds(void)
{
	u16 selector;

	__asm__ volatile("str %0" : "=r"(selector));
	return selector == TASK_SELECTOR_SECOND;
}

/*
 * Accesses to what is no memory: by data, by code, by descriptor tables, by page tables and by the
 * delivery of exceptions. The hypervisor can only stop the guest.
 */
#include "acts.h"
#include "machine.h"

#define FAR_AWAY 0xf000000000ul /* 960 GiB: within 40 address bits */
#define IOAPIC   0xfec00000ul

/* The act came back: whatever was wrong, the guest was not stopped. */
#define CAME_BACK 210

uint64_t act_wild_read(void)
{
	(void)*map_physical(FAR_AWAY);
	return CAME_BACK;
}

uint64_t act_wild_write(void)
{
	*map_physical(FAR_AWAY) = 1;
	return CAME_BACK;
}

uint64_t act_wild_fetch(void)
{
	void (*code)(void) = (void (*)(void))(uintptr_t)map_physical(FAR_AWAY);

	code();
	return CAME_BACK;
}

uint64_t act_beyond_ram(void)
{
	(void)*map_physical(ram_end(start_info));
	return CAME_BACK;
}

uint64_t act_wild_descriptors(void)
{
	struct table_pointer idt = {0xfff, (uint64_t)map_physical(FAR_AWAY)};

	__asm__ volatile("lidt %0; int3" : : "m"(idt));
	return CAME_BACK;
}

/* No instruction touches the device here: the frame of #UD is pushed into it. */
uint64_t act_device_stack(void)
{
	machine_set_gate(VECTOR_UD, exception_stubs + 16 * VECTOR_UD,
		(uint64_t)map_physical(IOAPIC) + 0x100);
	__asm__ volatile("ud2");
	return CAME_BACK;
}

uint64_t act_device_tables(void)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(IOAPIC) : "memory");
	return CAME_BACK;
}

/* Devices understand MOV and plain arithmetic. */
uint64_t act_device_arithmetic(void)
{
	volatile uint32_t *ioapic = (volatile uint32_t *)map_physical(IOAPIC);
	uint32_t one = 1;

	__asm__ volatile("lock xaddl %0, %1" : "+r"(one), "+m"(*ioapic));
	return CAME_BACK;
}

uint64_t act_triple_fault(void)
{
	struct table_pointer nothing = {0, 0};

	__asm__ volatile("lidt %0; int3" : : "m"(nothing));
	return CAME_BACK;
}

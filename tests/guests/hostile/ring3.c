/*
 * Hypercalls from where they are forbidden: ring 3 and compatibility mode. A process in a guest
 * must not reach what its kernel keeps in tmem.
 */
#include "acts.h"
#include "machine.h"

static int64_t answers[8];
static uint8_t page[PAGE] __attribute__((aligned(4096)));

static void calls(void)
{
	uint64_t frame = (uint64_t)page / PAGE;

	answers[0] = hypercall0(HYPERCALL_NULL);
	answers[1] = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	answers[2] = hypercall6(HYPERCALL_TMEM_GET, 0, 1, 2, 3, frame, 0);
	answers[3] = hypercall6(HYPERCALL_TMEM_PUT, 0, 1, 2, 3, frame, 0);
	answers[4] = hypercall1(HYPERCALL_SHUTDOWN, 1);
	answers[5] = hypercall2(HYPERCALL_CONSOLE_WRITE, (uint64_t)page, 1);
	answers[6] = hypercall2(HYPERCALL_TMEM_BATCH, (uint64_t)page, 1);
	answers[7] = hypercall0(~0ul);
	ring3_return();
}

#define INSTRUCTION(name, ...)                                                                     \
	static void name(void)                                                                     \
	{                                                                                          \
		__asm__ volatile(__VA_ARGS__);                                                     \
		ring3_return();                                                                    \
	}

INSTRUCTION(hlt, "hlt")
INSTRUCTION(cli, "cli")
INSTRUCTION(in, "inb $0x80, %%al" : : : "eax")
INSTRUCTION(rdmsr, "rdmsr" : : "c"(0x1b) : "eax", "edx")
INSTRUCTION(cr8, "mov %0, %%cr8" : : "r"(0ul))
INSTRUCTION(invd, "invd")

uint64_t act_ring3(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);

	CHECK(pool == 0);
	CHECK(hypercall6(HYPERCALL_TMEM_PUT, 0, 1, 2, 3, (uint64_t)page / PAGE, 0) == 0);
	CHECK(fault_in_ring3(calls) == VECTOR_RETURN);
	for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		CHECK(answers[i] == -SLUICE_EPERM);
	CHECK(fault_in_ring3(hlt) == VECTOR_GP);
	CHECK(fault_in_ring3(cli) == VECTOR_GP);
	CHECK(fault_in_ring3(in) == VECTOR_GP);
	CHECK(fault_in_ring3(rdmsr) == VECTOR_GP);
	CHECK(fault_in_ring3(cr8) == VECTOR_GP);
	CHECK(fault_in_ring3(invd) == VECTOR_GP);
	/* The kernel's page is still where it was. */
	CHECK(hypercall6(HYPERCALL_TMEM_GET, 0, 1, 2, 3, (uint64_t)page / PAGE, 0) == 0);
	return 0;
}

/* compatibility.S: a hypercall from a 32-bit code segment of ring 0; EAX of its answer. */
uint32_t compatibility_hypercall(uint32_t number, bool vmmcall);

uint64_t act_compatibility(void)
{
	CHECK((int32_t)compatibility_hypercall(HYPERCALL_NULL, guest_uses_vmmcall()) ==
		-SLUICE_EPERM);
	CHECK((int32_t)compatibility_hypercall(HYPERCALL_SHUTDOWN, guest_uses_vmmcall()) ==
		-SLUICE_EPERM);
	return 0;
}
